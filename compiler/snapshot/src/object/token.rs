//! Which tokens a workload takes (semantics.md §10).

use super::Links;
use crate::format::codec::{choice, record};
use crate::{Digest, Text};

record! {
    /// The tokens of a workload's clients.
    pub struct TokenSet {
        /// One for each issuer, in order.
        pub rules: Vec<TokenRule> = 1,
    }
}

record! {
    /// The tokens of one issuer.
    pub struct TokenRule {
        /// Who issues them; anybody with these keys if empty.
        pub issuer: Text = 1,
        /// For whom: any of these; anyone if empty.
        pub audiences: Vec<Text> = 2,
        /// What they are signed with.
        pub keys: TokenKeys = 3,
        /// Headers that a token may stand in, in lower case, and what stands before it.
        pub headers: Vec<(Text, Text)> = 4,
        /// Query parameters that it may stand in.
        pub params: Vec<Text> = 5,
        /// Cookies that it may stand in.
        pub cookies: Vec<Text> = 6,
        /// The header that the token's content goes to.
        pub payload_header: Text = 7,
        /// Headers, in lower case, and the claims that go to them.
        pub claim_headers: Vec<(Text, Text)> = 8,
        /// Whether the service sees the token.
        pub forward: bool = 9,
        /// The most that fetching keys may take, in milliseconds.
        pub timeout_ms: u64 = 10,
        /// Claims that are lists, separated by spaces. Sorted.
        pub spaced: Vec<Text> = 11,
        /// Whether a request must have a token.
        pub required: bool = 12,
    }
}

choice! {
    /// Where keys come from.
    pub enum TokenKeys {
        /// They are these, as a JSON Web Key Set.
        Inline(Text) = 0,
        /// They are fetched from this address.
        Fetched(Text) = 1,
        /// Their address is asked of the issuer (OpenID Connect Discovery).
        Discovered = 2,
    }
}

impl Links for TokenSet {
    fn links(&self) -> Vec<Digest> {
        Vec::new()
    }
}
