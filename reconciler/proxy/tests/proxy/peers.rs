//! Programs that others have written, as processes of their own: how they get onto this machine, and that they end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A process that ends with the test.
pub(crate) struct Peer(pub(crate) Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The folder of a program in the build folder. What is not there yet is put into it, once, by whoever holds the lock.
///
/// # Errors
/// If it is not to be had: why.
pub(crate) fn installed(name: &str, install: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("peers");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let home = folder.join(name);
    if !home.exists() {
        let partial = folder.join(format!("{name}.partial"));
        let _ = fs::remove_dir_all(&partial);
        install(&partial)?;
        fs::rename(&partial, &home).unwrap();
    }
    Ok(home)
}

/// Runs what installs something.
///
/// # Errors
/// If it does not do so: the line that says why.
pub(crate) fn run(program: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let why = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            let error = said.lines().find(|line| line.contains("ERROR"));
            error.or(said.lines().last()).unwrap_or_default().to_owned()
        }
        Err(error) => error.to_string(),
    };
    Err(format!("which `{} {}` could not get: {why}", program.display(), arguments.join(" ")))
}
