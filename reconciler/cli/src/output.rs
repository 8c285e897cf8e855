//! The one place that writes to the terminal: standard output for results, standard error for everything else.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;

use crate::failure::Failure;

/// Standard output and standard error.
pub(crate) struct Output {
    stdout: anstream::AutoStream<std::io::Stdout>,
    stderr: anstream::AutoStream<std::io::Stderr>,
}

impl Output {
    pub(crate) fn new() -> Output {
        Output {
            stdout: anstream::AutoStream::auto(std::io::stdout()),
            stderr: anstream::AutoStream::auto(std::io::stderr()),
        }
    }

    /// Whether a person is looking at standard output.
    pub(crate) fn is_terminal(&self) -> bool {
        std::io::stdout().is_terminal()
    }

    /// Writes a result. A reader that has seen enough (`| head`) ends the program quietly, as with other commands.
    pub(crate) fn print(&mut self, text: &str) {
        if let Err(error) = self.stdout.write_all(text.as_bytes()).and_then(|()| self.stdout.flush()) {
            let code = if error.kind() == ErrorKind::BrokenPipe { 0 } else { 2 };
            std::process::exit(code);
        }
    }

    /// Writes a line of a result.
    pub(crate) fn line(&mut self, text: &str) {
        self.print(&format!("{text}\n"));
    }

    /// Writes a note for people, which programs that read the result do not see.
    pub(crate) fn note(&mut self, text: &str) {
        let _ = writeln!(self.stderr, "{text}");
    }

    /// Writes why a command could not do its work.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        self.note(&format!("taut: {failure}"));
    }
}

/// 1 if there are problems, 0 if not.
pub(crate) fn problems(any: bool) -> ExitCode {
    ExitCode::from(u8::from(any))
}
