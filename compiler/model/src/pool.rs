//! The name of the service that stands for an InferencePool, as Istio gives it (semantics.md §18.4).
//!
//! Owns: the name, and the digest in it. The digest tells names apart and protects nothing, so that a crate for it would
//! be more than it needs.

/// The port that the service has: the first of Istio's.
pub(crate) const PORT: u16 = 54321;

/// The longest name of a service.
const NAME_MAX: usize = 63;

/// How much of the digest is in the name.
const DIGITS: usize = 8;

/// `pool-ip-0123abcd`: the pool, as far as it fits, and the digest of its whole name.
pub(crate) fn service_name(pool: &str) -> String {
    let digest: String = sha256(pool.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let room = NAME_MAX - "-ip-".len() - DIGITS;
    let start = pool.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end <= room).last();
    format!("{}-ip-{}", &pool[..start.unwrap_or(0)], &digest[..DIGITS])
}

/// SHA-256 (FIPS 180-4 §6.2).
fn sha256(text: &[u8]) -> [u8; 32] {
    let constants = constants();
    let mut state = INITIAL;
    let mut padded = text.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() < text.len() + 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let length = padded.len() - 8;
    padded[length..].copy_from_slice(&(text.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        let mut words = [0_u32; 64];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for at in 16..64 {
            let (near, far) = (words[at - 15], words[at - 2]);
            let small = near.rotate_right(7) ^ near.rotate_right(18) ^ (near >> 3);
            let large = far.rotate_right(17) ^ far.rotate_right(19) ^ (far >> 10);
            words[at] = words[at - 16].wrapping_add(small).wrapping_add(words[at - 7]).wrapping_add(large);
        }
        let mut round = state;
        for (word, constant) in words.iter().zip(&constants) {
            let [a, b, c, d, e, f, g, h] = round;
            let mixed = (e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25)).wrapping_add((e & f) ^ (!e & g));
            let first = h.wrapping_add(mixed).wrapping_add(*constant).wrapping_add(*word);
            let second =
                (a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22)).wrapping_add((a & b) ^ (a & c) ^ (b & c));
            round = [first.wrapping_add(second), a, b, c, d.wrapping_add(first), e, f, g];
        }
        for (own, new) in state.iter_mut().zip(round) {
            *own = own.wrapping_add(new);
        }
    }
    let mut digest = [0; 32];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

/// The fractions of the square roots of the first eight primes.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The first 32 bits of the fractions of the cube roots of the first 64 primes. Computed in whole numbers: the largest
/// `root` with `root³ <= prime << 96`, whose lowest 32 bits are the fraction.
fn constants() -> [u32; 64] {
    let mut constants = [0; 64];
    let is_prime =
        |number: &u128| (2..*number).take_while(|it| it * it <= *number).all(|it| !number.is_multiple_of(it));
    for (constant, prime) in constants.iter_mut().zip((2_u128..).filter(is_prime)) {
        let mut root = 0_u128;
        for bit in (0..36).rev() {
            let next = root | 1 << bit;
            if next * next * next <= prime << 96 {
                root = next;
            }
        }
        *constant = root as u32;
    }
    constants
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        // The examples of FIPS 180-4, and lengths around where a block ends.
        let start = |text: &str| sha256(text.as_bytes())[..4].iter().map(|it| format!("{it:02x}")).collect::<String>();
        let table = [
            ("", "e3b0c442"),
            ("abc", "ba7816bf"),
            ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61"),
        ];
        for (text, want) in table {
            assert_eq!(start(text), want, "{text}");
        }
        for (length, want) in [(55, "9f4390f8"), (56, "b35439a4"), (63, "7d3e74a0"), (64, "ffe054fe")] {
            assert_eq!(start(&"a".repeat(length)), want, "{length} letters");
        }
    }

    #[test]
    fn names_fit_in_a_label_and_differ() {
        assert_eq!(service_name("abc"), "abc-ip-ba7816bf");
        let (long, longer) = ("a".repeat(60), "a".repeat(61));
        assert_eq!(service_name(&long).len(), NAME_MAX);
        assert_ne!(service_name(&long), service_name(&longer));
    }
}
