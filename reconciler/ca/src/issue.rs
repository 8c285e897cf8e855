//! Who may have which certificate.
//!
//! Owns: the decision, and the sentence for each way in which it is no.
//! May not: hold a key, read a clock or a file. It is told what the time is, what the token says, and what is active.
//! Invariant: a `Grant` is for the identity that the caller has proven, and ends before the issuing certificate does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use taut_identity::{SpiffeId, Validity};
use taut_snapshot::object::Authority;

use crate::{BadToken, TokenEntry, TokenState};

/// The namespace of Taut's own parts. Its identities are those of no workload, and always allowed: without them, there
/// would be nobody to bring a snapshot that allows anything.
pub const SYSTEM_NAMESPACE: &str = "taut-system";

/// How long a certificate is valid if nothing else is asked for (semantics.md §16).
pub const LIFETIME_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest that may be asked for (semantics.md §16).
pub const LIFETIME_MAX: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How far back a certificate begins, so that a peer whose clock is behind accepts it: as Istio's.
const BACKDATED: Duration = Duration::from_secs(120);

/// It is backdated by no more than one of this many parts of its lifetime: it would else be due for renewal at once.
const BACKDATED_PART: u32 = 20;

/// Who asks, as the connection and the folder of tokens tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Someone with a join token.
    Token(TokenEntry),
    /// The holder of a certificate that was verified.
    Holder(SpiffeId),
}

/// What is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) id: SpiffeId,
    /// In whole seconds, as certificates have it.
    pub(crate) validity: Validity,
}

/// What is decided by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// The trust domain of this authority.
    pub(crate) trust_domain: &'a str,
    /// What the active snapshot says; before there is one, nothing.
    pub(crate) authority: Option<&'a Authority>,
    /// The last second of the issuing certificate.
    pub(crate) issuer_ends: SystemTime,
}

/// Why there is no certificate. It is for the caller, or for whoever runs the mesh, to do something about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller has shown nothing.
    #[error("neither a join token nor a certificate was shown: to join, make a token where the authority runs")]
    Anonymous,
    /// The token's text is not a token.
    #[error(transparent)]
    BadToken(#[from] BadToken),
    /// The token names another root.
    #[error("this join token is for another certificate authority: make one where this authority runs")]
    OtherAuthority,
    /// No such token was made here.
    #[error(
        "this join token is not known here: it was never made, or expired long ago; make a new one with `taut ca token`"
    )]
    UnknownToken,
    /// The token was used.
    #[error(
        "this join token was used already, and each is good for one certificate: make a new one with `taut ca token`"
    )]
    UsedToken,
    /// The token is too old.
    #[error("this join token has expired: make a new one with `taut ca token`")]
    ExpiredToken,
    /// The caller's identity is of another trust domain.
    #[error("`{id}` is not of the trust domain `{trust_domain}`, for which this authority issues")]
    TrustDomain {
        /// Who it is.
        id: SpiffeId,
        /// The authority's trust domain.
        trust_domain: String,
    },
    /// The snapshot is that of another trust domain.
    #[error(
        "the mesh has the trust domain `{mesh}`, and this authority issues for `{trust_domain}`: change the one in git, or start an authority for it"
    )]
    OtherMesh {
        /// The mesh's.
        mesh: String,
        /// The authority's.
        trust_domain: String,
    },
    /// The active mesh does not have the identity.
    #[error("the active mesh has no workload with the service account `{account}`: push one that has it")]
    NotInMesh {
        /// `namespace/name`.
        account: String,
    },
    /// The lifetime is longer than is granted.
    #[error("a certificate for {} seconds was asked for: the most is {} (90 days)", asked.as_secs(), LIFETIME_MAX.as_secs())]
    Lifetime {
        /// What was asked for.
        asked: Duration,
    },
    /// The request for the certificate is not one.
    #[error("the certificate request cannot be accepted: {why}")]
    Request {
        /// What is wrong.
        why: String,
    },
    /// The authority itself has expired.
    #[error("the authority's own certificate has expired: see its log")]
    IssuerExpired,
}

/// Decides. `asked` is how long the caller wants the certificate to be valid.
pub(crate) fn decide(
    claim: &Claim,
    asked: Option<Duration>,
    rules: &Rules<'_>,
    now: SystemTime,
) -> Result<Grant, Refusal> {
    let id = authenticated(claim, now)?;
    allowed(id, rules)?;
    let lifetime = asked.unwrap_or(LIFETIME_DEFAULT);
    if LIFETIME_MAX < lifetime {
        return Err(Refusal::Lifetime { asked: lifetime });
    }
    if rules.issuer_ends <= now {
        return Err(Refusal::IssuerExpired);
    }
    let begin = now - BACKDATED.min(lifetime / BACKDATED_PART);
    let end = (now + lifetime + Duration::from_nanos(999_999_999)).min(rules.issuer_ends);
    Ok(Grant { id: id.clone(), validity: Validity { not_before: whole_second(begin), not_after: whole_second(end) } })
}

/// Whether this authority can serve a mesh at all.
pub(crate) fn can_serve(trust_domain: &str, authority: &Authority) -> Result<(), Refusal> {
    match authority.trust_domain == trust_domain {
        true => Ok(()),
        false => {
            Err(Refusal::OtherMesh { mesh: authority.trust_domain.to_string(), trust_domain: trust_domain.to_owned() })
        }
    }
}

fn authenticated(claim: &Claim, now: SystemTime) -> Result<&SpiffeId, Refusal> {
    match claim {
        Claim::Token(token) => match token.state(now) {
            TokenState::Used => Err(Refusal::UsedToken),
            TokenState::Expired => Err(Refusal::ExpiredToken),
            TokenState::Waiting => Ok(&token.id),
        },
        Claim::Holder(id) => Ok(id),
    }
}

fn allowed(id: &SpiffeId, rules: &Rules<'_>) -> Result<(), Refusal> {
    if id.trust_domain() != rules.trust_domain {
        return Err(Refusal::TrustDomain { id: id.clone(), trust_domain: rules.trust_domain.to_owned() });
    }
    let Some(authority) = rules.authority else { return Ok(()) };
    if id.namespace() == SYSTEM_NAMESPACE {
        return Ok(());
    }
    can_serve(rules.trust_domain, authority)?;
    let account = format!("{}/{}", id.namespace(), id.service_account());
    match authority.identities.iter().any(|it| *it == account) {
        true => Ok(()),
        false => Err(Refusal::NotInMesh { account }),
    }
}

fn whole_second(time: SystemTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn id(text: &str) -> SpiffeId {
        SpiffeId::parse(text).unwrap()
    }

    fn mesh(trust_domain: &str, identities: &[&str]) -> Authority {
        Authority { trust_domain: trust_domain.into(), identities: identities.iter().map(|it| (*it).into()).collect() }
    }

    fn rules(authority: Option<&Authority>) -> Rules<'_> {
        Rules { trust_domain: "td", authority, issuer_ends: at(0) + 365 * DAY }
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn identities_come_from_the_caller_and_must_be_of_the_mesh() {
        let name = taut_snapshot::Digest::of(b"");
        let token = |text, expires, used| Claim::Token(TokenEntry { name, id: id(text), expires: at(expires), used });
        let holder = |text| Claim::Holder(id(text));
        let (orders, payments, system) =
            ("spiffe://td/ns/shop/sa/orders", "spiffe://td/ns/shop/sa/payments", "spiffe://td/ns/taut-system/sa/reconciler");
        let (ours, others) = (mesh("td", &["shop/orders", "shop/web"]), mesh("cluster.local", &["shop/orders"]));
        let missing = Refusal::NotInMesh { account: "shop/payments".to_owned() };
        let foreign = Refusal::TrustDomain { id: id("spiffe://x/ns/shop/sa/orders"), trust_domain: "td".to_owned() };
        let other = Refusal::OtherMesh { mesh: "cluster.local".to_owned(), trust_domain: "td".to_owned() };
        let table = [
            (token(orders, 10, false),                None,          Ok(orders)),
            (token(orders, 10, false),                Some(&ours),   Ok(orders)),
            (token(orders, 10, true),                 Some(&ours),   Err(Refusal::UsedToken)),
            (token(orders, 0, false),                 Some(&ours),   Err(Refusal::ExpiredToken)),
            (token(orders, 0, true),                  Some(&ours),   Err(Refusal::UsedToken)),
            (token(payments, 10, false),              None,          Ok(payments)),
            (token(payments, 10, false),              Some(&ours),   Err(missing.clone())),
            (holder(orders),                          Some(&ours),   Ok(orders)),
            (holder(payments),                        Some(&ours),   Err(missing)), // removed from the mesh: no renewal
            (holder(payments),                        None,          Ok(payments)),
            (holder(system),                          Some(&ours),   Ok(system)),
            (token(system, 10, false),                Some(&others), Ok(system)),
            (holder(orders),                          Some(&others), Err(other)),
            (holder("spiffe://x/ns/shop/sa/orders"),  None,          Err(foreign.clone())),
            (holder("spiffe://x/ns/shop/sa/orders"),  Some(&ours),   Err(foreign)),
        ];
        for (claim, authority, want) in table {
            let got = decide(&claim, None, &rules(authority), at(0)).map(|grant| grant.id);
            assert_eq!(got, want.map(id), "{claim:?} with {authority:?}");
        }
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn lifetimes_are_a_day_or_what_is_asked_for_up_to_a_limit() {
        let seconds = Duration::from_secs;
        let claim = Claim::Holder(id("spiffe://td/ns/shop/sa/orders"));
        let table = [ // asked for, and how many seconds before and after now the certificate begins and ends
            (None,                        Ok((120, 86_400))),
            (Some(seconds(3_600)),        Ok((120, 3_600))),
            (Some(seconds(600)),          Ok((30, 600))),
            (Some(seconds(2)),            Ok((1, 2))), // it has whole seconds alone
            (Some(90 * DAY),              Ok((120, 90 * 86_400))),
            (Some(90 * DAY + seconds(1)), Err(Refusal::Lifetime { asked: 90 * DAY + seconds(1) })),
            (Some(Duration::MAX),         Err(Refusal::Lifetime { asked: Duration::MAX })),
        ];
        for (asked, want) in table {
            let got = decide(&claim, asked, &rules(None), at(100)).map(|Grant { validity, .. }| {
                let before = at(100).duration_since(validity.not_before).unwrap().as_secs();
                (before, validity.not_after.duration_since(at(100)).unwrap().as_secs())
            });
            assert_eq!(got, want, "{asked:?}");
        }
        let within_a_second = at(100) + Duration::from_millis(300);
        let grant = decide(&claim, Some(seconds(2)), &rules(None), within_a_second).unwrap();
        assert_eq!(grant.validity.not_after, at(103), "never less than was asked for");
    }

    #[test]
    fn no_certificate_outlives_the_one_that_issued_it() {
        let claim = Claim::Holder(id("spiffe://td/ns/shop/sa/orders"));
        let rules = Rules { issuer_ends: at(1_000), ..rules(None) };
        assert_eq!(decide(&claim, None, &rules, at(0)).unwrap().validity.not_after, at(1_000));
        assert_eq!(decide(&claim, None, &rules, at(1_000)), Err(Refusal::IssuerExpired));
    }
}
