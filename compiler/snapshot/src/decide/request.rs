//! A request as rules see it.

/// The head of a request. The path is normalised and has no query.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// `GET` and so on.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The Host header or `:authority`, as it was sent.
    pub authority: &'a str,
    /// The path.
    pub path: &'a str,
    /// What follows the `?`.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a dyn Headers,
}

/// The headers of a request, however they are kept.
///
/// What a verified token says is among them, under names that no header can have: `@request.auth.principal`,
/// `@request.auth.audiences`, `@request.auth.presenter`, and `@request.auth.claims[a][b]`. Rules and policies look at both alike.
pub trait Headers {
    /// Calls `test` with the values of a header until it says yes. None if there is no such header; names are in lower case.
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> Option<bool>;
}

/// Pairs of names and values, for questions that no socket asks.
impl Headers for [(String, String)] {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> Option<bool> {
        let mut present = None;
        for (_, value) in self.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)) {
            if test(value.as_bytes()) {
                return Some(true);
            }
            present = Some(false);
        }
        present
    }
}

impl Headers for Vec<(String, String)> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> Option<bool> {
        self.as_slice().any(name, test)
    }
}

impl<'a> Request<'a> {
    /// The first value of a query parameter, as it was written (verification.md §4: first value only, not decoded).
    #[must_use]
    pub fn query_parameter(&self, name: &str) -> Option<&'a str> {
        let parameters = self.query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        parameters.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}
