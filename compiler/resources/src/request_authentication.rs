//! RequestAuthentication (semantics.md §10): which tokens a workload takes.

use serde_json::Value;
use taut_source::{Node, Text};

use crate::Duration;
use crate::grammar::{HTTP_URL, PLAIN_HEADER};
use crate::message::{keyword, message};
use crate::read::{At, List, Reader};
use crate::rules;
use crate::selector::{Selector, TargetRef};

message! {
    /// Which tokens some workloads take.
    pub struct RequestAuthentication {
        /// The workloads; all of the namespace if missing, all of the mesh in the root namespace.
        selector: Option<Selector> = "selector";
        /// A Gateway instead of workloads.
        target_ref: Option<Box<TargetRef>> = "targetRef";
        /// Gateways instead of workloads.
        target_refs: List<TargetRef> = "targetRefs", items(..=16);
        /// The issuers.
        jwt_rules: List<JwtRule> = "jwtRules", items(..=4096);
    }
    where at_most_one("selector", "targetRef", "targetRefs");
}

keyword! {
    /// Whether a request must have a token.
    pub enum TokenPresence {
        /// It need not.
        Optional = "OPTIONAL";
        /// It must.
        Required = "REQUIRED";
    }
}

message! {
    /// The tokens of one issuer.
    pub struct JwtRule {
        /// Who issues them.
        issuer: Option<At<Text>> = "issuer", chars(1..);
        /// For whom: any of these; anyone if empty.
        audiences: List<At<Text>> = "audiences", chars(1..);
        /// Where the keys are; found through the issuer if missing.
        jwks_uri: Option<At<Text>> = "jwksUri", alias("jwks_uri"), chars(1..=2048), is(HTTP_URL);
        /// The keys themselves, as JSON.
        jwks: Option<At<Text>> = "jwks";
        /// Headers that the token may stand in.
        from_headers: List<JwtHeader> = "fromHeaders";
        /// Query parameters that the token may stand in.
        from_params: List<At<Text>> = "fromParams", chars(1..);
        /// Cookies that the token may stand in.
        from_cookies: List<At<Text>> = "fromCookies", chars(1..);
        /// The header that the token's content goes to.
        output_payload_to_header: Option<At<Text>> = "outputPayloadToHeader";
        /// Claims that go to headers.
        output_claim_to_headers: List<ClaimHeader> = "outputClaimToHeaders";
        /// Whether the service sees the token.
        forward_original_token: Option<At<bool>> = "forwardOriginalToken";
        /// The most that fetching the keys may take; 5s if missing.
        timeout: Option<At<Duration>> = "timeout";
        /// Claims that are lists, separated by spaces.
        space_delimited_claims: List<At<Text>> = "spaceDelimitedClaims", items(..=64), chars(1..);
        /// Whether a request must have a token.
        presence: Option<At<TokenPresence>> = "presence";
    }
    where at_most_one("jwksUri", "jwks_uri", "jwks"), check(JwtRule::check);
}

message! {
    /// A header that a token may stand in.
    pub struct JwtHeader {
        /// Its name.
        name: At<Text> = "name", chars(1..);
        /// What stands before the token.
        prefix: Option<At<Text>> = "prefix";
    }
}

message! {
    /// A claim that goes to a header.
    pub struct ClaimHeader {
        /// The header.
        header: At<Text> = "header", chars(1..), is(PLAIN_HEADER);
        /// The claim; dots lead into it.
        claim: At<Text> = "claim", chars(1..);
    }
}

impl JwtRule {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let written = |field: &Option<At<Text>>| field.as_ref().is_some_and(|text| !text.is_empty());
        if !written(&self.issuer) && !written(&self.jwks_uri) {
            let help = "add `issuer:` or `jwksUri:`";
            cx.say(&rules::NEEDED, self.span, "neither issuer nor keys are known, so no token can be checked", help);
        }
        let Some(jwks) = self.jwks.as_ref().filter(|jwks| !jwks.is_empty()) else { return };
        match serde_json::from_str::<Value>(jwks) {
            Ok(Value::Object(set)) => {
                let keys = set.get("keys").and_then(Value::as_array);
                // `d` is the private number of RSA and EC keys, `k` the whole of a symmetric one (RFC 7518).
                if keys.into_iter().flatten().any(|key| key.get("d").is_some() || key.get("k").is_some()) {
                    let message = "a private key stands in `jwks`: whoever reads this can issue tokens";
                    cx.say(&rules::DOUBTFUL, jwks.span, message, "keep the public part alone, and replace the key");
                }
            }
            _ => cx.say(&rules::BAD_VALUE, jwks.span, "`jwks` is no JSON object", "write `{\"keys\": [...]}`"),
        }
    }
}
