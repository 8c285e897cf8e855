//! A snapshot's bytes are believed only as they were written.

use harness::{compile_folder, root};
use taut_snapshot::format::file;

#[test]
fn no_flipped_or_missing_byte_is_believed() {
    let (_, compiled) = compile_folder(&root().join("golden/cases/demo/shop"));
    let bytes = file::write(&compiled.snapshot.unwrap());
    assert!(file::read(&bytes).is_ok());
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let believed = file::read(&flipped).is_ok_and(|snapshot| snapshot.verify().is_ok());
        assert!(!believed, "byte {at} was flipped and nobody noticed");
    }
    for length in 0..bytes.len() {
        assert!(file::read(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
}

#[test]
fn a_file_that_fits_its_own_digest_and_lies_about_an_object_is_refused() {
    let (_, compiled) = compile_folder(&root().join("golden/cases/demo/shop"));
    let bytes = file::write(&compiled.snapshot.unwrap());
    let body = bytes.len() - 32;
    for at in (48..body).step_by(7) {
        let mut forged = bytes.clone();
        forged[at] ^= 0x40;
        let digest = taut_snapshot::Digest::of(&forged[..body]);
        forged[body..].copy_from_slice(&digest.0);
        let believed = file::read(&forged).is_ok_and(|snapshot| snapshot.verify().is_ok());
        assert!(!believed, "byte {at} was forged and nobody noticed");
    }
}
