//! Rules put up and taken down: whoever knows the kernel's own languages does it, `nft`, or else `iptables-restore`.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use super::Capture;
use super::rules::{iptables, iptables_gone, nft, nft_gone};

/// Why rules are not put up, or not taken down.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Neither tool is there, or may be run. Installing one mends it.
    #[error("neither `nft` nor `iptables-restore` is in PATH for this user: install nftables or iptables")]
    NoTool,
    /// The kernel did not let it, or does not know how. More rights may mend it.
    #[error(
        "`{tool}` could not change how connections go: {why}; it needs root, or CAP_NET_ADMIN in this network namespace"
    )]
    Refused {
        /// Which one.
        tool: &'static str,
        /// What it said.
        why: String,
    },
    /// The tool could not be run, or not be talked to.
    #[error("`{tool}` could not be run: {source}")]
    Tool {
        /// Which one.
        tool: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// Puts rules up, in place of those that were up before.
///
/// # Errors
/// If there is no tool for it, or the kernel does not let it; then nothing has changed in the one family of addresses
/// that it is about.
pub fn put_up(capture: &Capture) -> Result<(), CaptureError> {
    match run("nft", &["-f", "-"], &nft(capture))? {
        Some(_) => Ok(()),
        None => by_iptables(|before, v4| Some(iptables(capture, v4, before))),
    }
}

/// Takes rules down; it is no error if there are none.
///
/// # Errors
/// If there is no tool for it, or the kernel does not let it.
pub fn take_down() -> Result<(), CaptureError> {
    match run("nft", &["-f", "-"], &nft_gone())? {
        Some(_) => Ok(()),
        None => by_iptables(|before, _| iptables_gone(before)),
    }
}

fn by_iptables(text: impl Fn(&str, bool) -> Option<String>) -> Result<(), CaptureError> {
    let families = [("iptables-save", "iptables-restore", true), ("ip6tables-save", "ip6tables-restore", false)];
    for (save, restore, v4) in families {
        let before = run(save, &["-t", "nat"], "")?.ok_or(CaptureError::NoTool)?;
        if let Some(text) = text(&before, v4) {
            run(restore, &["--noflush"], &text)?.ok_or(CaptureError::NoTool)?;
        }
    }
    Ok(())
}

/// What a tool answers; none if this user has none.
fn run(tool: &'static str, arguments: &[&str], input: &str) -> Result<Option<String>, CaptureError> {
    let spawned =
        Command::new(tool).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        // A folder of PATH that may not be looked into hides that a tool is in none of them.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(None);
        }
        Err(source) => return Err(CaptureError::Tool { tool, source }),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading says why below.
        let _ = stdin.write_all(input.as_bytes());
    }
    let done = child.wait_with_output().map_err(|source| CaptureError::Tool { tool, source })?;
    if done.status.success() {
        return Ok(Some(String::from_utf8_lossy(&done.stdout).into_owned()));
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let why = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it did not say why").to_owned();
    Err(CaptureError::Refused { tool, why })
}
