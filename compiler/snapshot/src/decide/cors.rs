//! Which other origins may read an answer (semantics.md §3.13).

use super::pattern::BadPattern;
use super::route::Matcher;
use crate::object::Cors;

/// A policy, ready to be asked.
#[derive(Clone, Debug)]
pub struct CorsPolicy {
    /// What is said to those who may.
    pub said: Cors,
    origins: Vec<Matcher>,
    every_origin: bool,
}

/// What a request is to a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// It goes on, and its answer is as it is.
    None,
    /// It goes on, and its answer names the origin.
    Answer,
    /// It asks for permission, and is given it here.
    Granted,
    /// It asks for permission, and is answered here without.
    Refused,
}

impl CorsPolicy {
    /// Makes a policy ready.
    ///
    /// # Errors
    /// If a pattern cannot be compiled.
    pub fn new(from: &Cors) -> Result<CorsPolicy, BadPattern> {
        let origins: Vec<Matcher> = from.origins.iter().map(Matcher::new).collect::<Result<_, _>>()?;
        // Whatever would match the origin `*` takes all of them (Envoy's `CorsFilter::isOriginAllowed`).
        let every_origin = origins.iter().any(|origin| origin.matches(b"*", false));
        Ok(CorsPolicy { said: from.clone(), origins, every_origin })
    }

    /// What a request with this `origin` is. `asks` says whether it asks for permission alone: OPTIONS with
    /// `access-control-request-method`.
    #[must_use]
    pub fn sharing(&self, origin: Option<&[u8]>, asks: bool) -> Sharing {
        let Some(origin) = origin.filter(|origin| !origin.is_empty()) else { return Sharing::None };
        let allowed = self.every_origin || self.origins.iter().any(|matcher| matcher.matches(origin, false));
        match (allowed, asks) {
            (true, true) => Sharing::Granted,
            (true, false) => Sharing::Answer,
            (false, true) if self.said.ignore_unmatched => Sharing::Refused,
            (false, _) => Sharing::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object;

    fn policy(origins: Vec<object::Matcher>, ignore_unmatched: bool) -> CorsPolicy {
        let said = Cors {
            origins,
            methods: "GET".into(),
            headers: "".into(),
            exposed: "".into(),
            max_age: "".into(),
            credentials: false,
            ignore_unmatched,
        };
        CorsPolicy::new(&said).unwrap()
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn an_origin_that_is_allowed_is_named_and_others_go_on_unless_the_policy_says_otherwise() {
        let exact = object::Matcher::Exact("https://a.example".into());
        let pattern = object::Matcher::Regex(r"https://[a-z]+\.shop\.example".into());
        let table = [
            (Some("https://a.example"),            false, false, Sharing::Answer),
            (Some("https://a.example"),            true,  false, Sharing::Granted),
            (Some("https://x.shop.example"),       true,  false, Sharing::Granted),
            (Some("https://x.shop.example.evil"),  true,  false, Sharing::None),
            (Some("https://x.shop.example.evil"),  true,  true,  Sharing::Refused),
            (Some("https://b.example"),            false, true,  Sharing::None),
            (Some(""),                             true,  true,  Sharing::None),
            (None,                                 true,  true,  Sharing::None),
        ];
        for (origin, asks, ignore, want) in table {
            let policy = policy(vec![exact.clone(), pattern.clone()], ignore);
            assert_eq!(policy.sharing(origin.map(str::as_bytes), asks), want, "{origin:?} {asks} {ignore}");
        }
        let any = policy(vec![object::Matcher::Exact("*".into())], false);
        assert_eq!(any.sharing(Some(b"null"), false), Sharing::Answer);
    }
}
