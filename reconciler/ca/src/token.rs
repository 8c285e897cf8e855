//! Join tokens: what someone who has no certificate yet shows to get its first.
//!
//! Owns: the text of a token, `taut1.SECRET.FINGERPRINT`: 32 random bytes in unpadded base64url, and the fingerprint of
//! the root below which the authority must prove itself before it is shown the secret.
//! Invariant: the secret is in no log and in no file of ours. Files are named by its digest.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use taut_identity::Fingerprint;
use taut_snapshot::Digest;

/// What the text of every token begins with: its form, so that another can be told apart.
const FORM: &str = "taut1";

/// The bytes of a secret: none is found by guessing.
const SECRET_BYTES: usize = 32;

/// A secret that is good for one certificate, and the root of the authority that made it.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    secret: [u8; SECRET_BYTES],
    root: Fingerprint,
}

/// The text is not that of a join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It does not have three parts with the right beginning.
    #[error("not a join token: `taut1.`, a secret, `.` and a fingerprint are expected; copy all of it")]
    Form,
    /// The middle is not a secret.
    #[error("the secret of the join token is damaged: copy all of it, as one line")]
    Secret,
    /// The end is not a fingerprint.
    #[error("the fingerprint at the end of the join token is damaged: copy all of it, as one line")]
    Fingerprint,
}

impl JoinToken {
    /// Draws a secret.
    pub(crate) fn generate(root: Fingerprint) -> JoinToken {
        let mut secret = [0; SECRET_BYTES];
        aws_lc_rs::rand::fill(&mut secret).expect("the system has randomness, or no key could be made either");
        JoinToken { secret, root }
    }

    /// The text, to be given to whoever is to join. It is a secret, which is why a token is not `Display`.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{FORM}.{}.{}", URL_SAFE_NO_PAD.encode(self.secret), self.root)
    }

    /// The root of the authority that it is for.
    #[must_use]
    pub fn root(&self) -> Fingerprint {
        self.root
    }

    /// What the token is known by where it was made.
    #[must_use]
    pub fn name(&self) -> Digest {
        Digest::of(&self.secret)
    }
}

impl FromStr for JoinToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<JoinToken, BadToken> {
        let mut parts = text.trim().splitn(3, '.');
        let (Some(FORM), Some(secret), Some(root)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(BadToken::Form);
        };
        let mut bytes = [0; SECRET_BYTES];
        match URL_SAFE_NO_PAD.decode_slice(secret, &mut bytes) {
            Ok(SECRET_BYTES) => (),
            _ => return Err(BadToken::Secret),
        }
        Ok(JoinToken { secret: bytes, root: root.parse().map_err(|_| BadToken::Fingerprint)? })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({})", self.name().short())
    }
}

#[cfg(test)]
mod tests {
    use taut_identity::Fingerprint;

    use super::*;

    fn token() -> JoinToken {
        JoinToken::generate(Fingerprint::of(&vec![1, 2, 3].into()))
    }

    #[test]
    fn what_is_written_is_read() {
        let token = token();
        assert_eq!(token.to_text().parse(), Ok(token.clone()));
        assert_eq!(format!(" {}\n", token.to_text()).parse(), Ok(token));
    }

    #[test]
    fn damage_is_noticed_and_where() {
        let text = token().to_text();
        let (secret, root) = (&text[6..49], &text[50..]);
        let table = [
            (String::new(), BadToken::Form),
            ("taut1".to_owned(), BadToken::Form),
            (format!("taut2.{secret}.{root}"), BadToken::Form),
            (format!("taut1.{secret}"), BadToken::Form),
            (format!("taut1..{root}"), BadToken::Secret),
            (format!("taut1.{}.{root}", &secret[1..]), BadToken::Secret),
            (format!("taut1.{secret}A.{root}"), BadToken::Secret),
            (format!("taut1.{secret}.{}", &root[1..]), BadToken::Fingerprint),
            (format!("taut1.{secret}.{root}0"), BadToken::Fingerprint),
            (format!("taut1.{secret}.{root}.x"), BadToken::Fingerprint),
        ];
        for (text, want) in table {
            assert_eq!(text.parse::<JoinToken>(), Err(want), "{text}");
        }
    }

    #[test]
    fn the_secret_is_in_no_log() {
        let token = token();
        let secret = token.to_text();
        let shown = format!("{token:?}");
        assert!(!shown.contains(&secret[6..20]), "{shown}");
    }
}
