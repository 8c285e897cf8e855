//! A remote repository, kept as a bare mirror in the reconciler's own folder.

use std::path::Path;
use std::process::Command;

use git2::{AutotagOption, FetchOptions, FetchPrune};

use crate::repository::{IntakeError, Repository};

/// How a remote is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In this process. For paths and `file://` addresses.
    Builtin,
    /// By the `git` program, with the user's own ssh configuration, credential helpers and proxies.
    Program,
}

impl Transport {
    /// The one that fits an address: what needs ssh or TLS is left to the `git` program, which people have set up already.
    #[must_use]
    pub fn for_url(url: &str) -> Transport {
        let remote = url.contains("://") && !url.starts_with("file://");
        // `user@host:path` is ssh's own form.
        let scp = !url.contains("://")
            && url.split_once(':').is_some_and(|(host, _)| host.contains('@') && !host.contains('/'));
        if remote || scp { Transport::Program } else { Transport::Builtin }
    }
}

/// The refs of the remote become those of the mirror, also where its history was rewritten.
const REFSPEC: &str = "+refs/heads/*:refs/heads/*";

/// Opens the mirror of a remote, made if there is none yet, and brings it up to date.
///
/// # Errors
/// If the folder cannot be used, or the remote cannot be fetched.
pub(crate) fn refresh(url: &str, folder: &Path, transport: Transport) -> Result<Repository, IntakeError> {
    if !folder.join("HEAD").exists() {
        git2::Repository::init_bare(folder)
            .map_err(|error| IntakeError::Unreadable { path: folder.to_owned(), why: error.message().to_owned() })?;
    }
    let repository = Repository::open(folder)?;
    let failed = |why: String| IntakeError::Fetch { url: url.to_owned(), why };
    match transport {
        Transport::Builtin => {
            let mut options = FetchOptions::new();
            options.prune(FetchPrune::On).download_tags(AutotagOption::None);
            let remote = repository.git().remote_anonymous(url);
            remote
                .and_then(|mut remote| remote.fetch(&[REFSPEC], Some(&mut options), None))
                .map_err(|error| failed(error.message().to_owned()))?;
        }
        Transport::Program => {
            let output = Command::new("git")
                .arg("-C")
                .arg(folder)
                .args(["fetch", "--quiet", "--prune", "--no-tags", "--", url, REFSPEC])
                .env("GIT_TERMINAL_PROMPT", "0") // nobody is there to answer
                .output()
                .map_err(|error| failed(format!("the `git` program could not be run: {error}")))?;
            if !output.status.success() {
                return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
            }
        }
    }
    Ok(repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_and_https_are_left_to_the_git_program() {
        for url in ["/srv/mesh.git", "file:///srv/mesh.git", "../mesh", "C:/mesh"] {
            assert_eq!(Transport::for_url(url), Transport::Builtin, "{url}");
        }
        for url in ["https://example.com/mesh.git", "ssh://git@example.com/mesh", "git@example.com:mesh.git"] {
            assert_eq!(Transport::for_url(url), Transport::Program, "{url}");
        }
    }
}
