//! The name of the service that stands for an InferencePool, as Istio gives it (semantics.md §18.4).
//!
//! Owns: the name. The digest in it tells names apart and protects nothing.

use sha2::{Digest as _, Sha256};

/// The port that the service has: the first of Istio's.
pub(crate) const PORT: u16 = 54321;

/// The longest name of a service.
const NAME_MAX: usize = 63;

/// How much of the digest is in the name.
const DIGITS: usize = 8;

/// `pool-ip-0123abcd`: the pool, as far as it fits, and the digest of its whole name.
pub(crate) fn service_name(pool: &str) -> String {
    let digest: String = Sha256::digest(pool.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let room = NAME_MAX - "-ip-".len() - DIGITS;
    let start = pool.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end <= room).last();
    format!("{}-ip-{}", &pool[..start.unwrap_or(0)], &digest[..DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_in_a_label_and_differ() {
        assert_eq!(service_name("abc"), "abc-ip-ba7816bf");
        let (long, longer) = ("a".repeat(60), "a".repeat(61));
        assert_eq!(service_name(&long).len(), NAME_MAX);
        assert_ne!(service_name(&long), service_name(&longer));
    }
}
