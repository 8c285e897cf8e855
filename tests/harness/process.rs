//! Processes of the binary that serve until the test is over.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::binary::{Run, taut};

/// Anything that takes longer than this is stuck, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that ends when this goes out of scope.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    /// The first line that it printed.
    pub first_line: String,
    said: Arc<Mutex<String>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Its standard input closes as well; but a test that fails does not wait for it to drain.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(self) {
        drop(self);
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// If it cannot be waited for, or fails.
    pub fn end(mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("it can be waited for");
        assert!(status.success(), "it ended with {status}: {}", self.said());
    }

    /// What it has said so far beside its output.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().expect("nobody panics with it").clone()
    }
}

/// Starts the binary, and waits for the first line that it prints; or for its end, if that comes first.
///
/// # Errors
/// What it left, if it ended without a line.
///
/// # Panics
/// If it neither says anything nor ends.
pub fn serving(arguments: &[&str]) -> Result<Serving, Run> {
    let mut child = Command::new(taut())
        .args(arguments)
        .arg("--until-stdin-closes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let (mut stdout, stderr) =
        (BufReader::new(child.stdout.take().expect("piped")), child.stderr.take().expect("piped"));
    let said = Arc::new(Mutex::new(String::new()));
    let listening = std::thread::spawn({
        let said = said.clone();
        move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned() + "\n";
                said.lock().expect("nobody panics with it").push_str(&line);
            }
        }
    });
    let (line_sender, line) = mpsc::channel();
    std::thread::spawn(move || {
        let mut first = String::new();
        let _ = stdout.read_line(&mut first);
        let _ = line_sender.send(first.trim().to_owned());
        let _ = std::io::copy(&mut stdout, &mut std::io::sink());
    });
    let first_line = line.recv_timeout(PATIENCE).expect("it says something, or ends");
    let mut serving = Serving { child, first_line, said };
    if serving.first_line.is_empty() {
        let status = serving.child.wait().expect("it can be waited for").code().unwrap_or(-1);
        listening.join().expect("the reader does not panic");
        return Err(Run { status, stdout: String::new(), stderr: serving.said() });
    }
    Ok(serving)
}

/// A git repository with one commit of these files, on the branch `main`.
///
/// # Panics
/// If git cannot be run.
pub fn repository(folder: &Path, files: &[(&str, &[u8])]) -> String {
    std::fs::create_dir_all(folder).expect("a folder can be made");
    git(folder, &["init", "--quiet", "--initial-branch=main"]);
    commit(folder, files)
}

/// Another commit, which writes these files.
///
/// # Panics
/// If git cannot be run.
pub fn commit(folder: &Path, files: &[(&str, &[u8])]) -> String {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder can be made");
        std::fs::write(path, bytes).expect("a file can be written");
    }
    git(folder, &["add", "."]);
    git(folder, &["commit", "--quiet", "--allow-empty", "--message", "a commit"]);
    git(folder, &["rev-parse", "HEAD"])
}

/// Runs git as nobody in particular.
///
/// # Panics
/// If it fails.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "core.hooksPath=/dev/null"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
