//! Which tokens a workload takes (semantics.md §10).

use taut_model::request_authentications_of;
use taut_resources::{At, JwtRule, TokenPresence};
use taut_snapshot::Text;
use taut_snapshot::format::codec::Link;
use taut_snapshot::object::{TokenKeys, TokenRule, TokenSet};

use super::Lowering;
use crate::origins::Source;

/// Istio's limit for fetching keys.
const FETCH_MS: u64 = 5_000;

/// Claims that are always lists separated by spaces (Envoy's `jwt_authn`).
const SPACED: &[&str] = &["permission", "scope"];

impl Lowering<'_, '_> {
    /// The tokens of a workload; none if no resource speaks of any.
    pub(super) fn tokens(&mut self, namespace: &str, labels: &taut_model::LabelSet) -> Option<Link<TokenSet>> {
        let (mut rules, mut sources) = (Vec::new(), Vec::new());
        for authentication in request_authentications_of(self.mesh, namespace, labels) {
            sources.push(Source::new(0, authentication.resource, authentication.spec.span));
            rules.extend(authentication.spec.jwt_rules.iter().map(rule));
        }
        if rules.is_empty() {
            return None;
        }
        // §10.2: sorted by issuer. What is alike in all is one rule.
        rules.sort();
        rules.dedup();
        let link = self.objects.insert(&TokenSet { rules });
        self.origins.add(link.digest, sources);
        Some(link)
    }
}

fn rule(from: &JwtRule) -> TokenRule {
    let text = |field: &Option<At<Text>>| field.as_ref().map(|it| it.value.clone()).unwrap_or_default();
    let texts = |list: &[At<Text>]| list.iter().map(|it| it.value.clone()).collect::<Vec<Text>>();
    let lower = |name: &str| Text::new(name.to_ascii_lowercase());
    let mut headers: Vec<(Text, Text)> =
        from.from_headers.iter().map(|header| (lower(&header.name), text(&header.prefix))).collect();
    let mut params = texts(&from.from_params);
    let cookies = texts(&from.from_cookies);
    if headers.is_empty() && params.is_empty() && cookies.is_empty() {
        // Any place of one's own takes these away: the trap of §10.2.
        headers.push(("authorization".into(), "Bearer ".into()));
        params.push("access_token".into());
    }
    let mut spaced = texts(&from.space_delimited_claims);
    spaced.extend(SPACED.iter().map(Text::new));
    spaced.sort();
    spaced.dedup();
    TokenRule {
        issuer: text(&from.issuer),
        audiences: texts(&from.audiences),
        keys: match (text(&from.jwks), text(&from.jwks_uri)) {
            (jwks, _) if !jwks.is_empty() => TokenKeys::Inline(jwks),
            (_, uri) if !uri.is_empty() => TokenKeys::Fetched(uri),
            _ => TokenKeys::Discovered,
        },
        headers,
        params,
        cookies,
        payload_header: lower(&text(&from.output_payload_to_header)),
        claim_headers: from
            .output_claim_to_headers
            .iter()
            .map(|it| (lower(&it.header), it.claim.value.clone()))
            .collect(),
        forward: from.forward_original_token.is_some_and(|forward| forward.value),
        timeout_ms: from.timeout.as_ref().map_or(FETCH_MS, |timeout| timeout.as_millis()),
        spaced,
        required: from.presence.is_some_and(|presence| presence.value == TokenPresence::Required),
    }
}
