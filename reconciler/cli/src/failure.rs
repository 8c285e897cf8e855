//! What keeps a command from doing its work: the world's fault or the command line's, never the mesh's.

use std::fmt;

/// One paragraph that says what happened and what to do.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let words = inner.to_string();
            if !text.contains(&words) {
                text += &format!(": {words}");
            }
            cause = inner.source();
        }
        Failure(text)
    }
}
