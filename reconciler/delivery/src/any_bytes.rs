//! What must be true of any bytes that this crate reads of others: one function for each kind of reader, which panics where it
//! is not. `tests/fuzz` and `tests/compatibility` drive them; no product is built with them.

use prost::Message as _;

use crate::store::Pointer;
use crate::wire::{from_member, proto, read_from_member, read_to_member, to_member};

/// What passes for a message is one: written again, it is read as the same. So is what a member keeps on its disk.
///
/// # Panics
/// If it is not.
pub fn frames(bytes: &[u8]) {
    if let Some(message) = proto::FromMember::decode(bytes).ok().and_then(|it| read_from_member(it).ok()) {
        let again = read_from_member(from_member(message.clone())).expect("what we write can be read");
        assert_eq!(again, message);
    }
    if let Some(message) = proto::ToMember::decode(bytes).ok().and_then(|it| read_to_member(it).ok()) {
        let again = read_to_member(to_member(message.clone())).expect("what we write can be read");
        assert!(again == message, "it is read as something else");
    }
    if let Some(pointer) = Pointer::read(bytes) {
        assert_eq!(pointer.write(), bytes);
    }
}
