//! Limits of the protocol. Everything that comes over the wire, or is kept because of it, is bounded by one of these.

use std::time::Duration;

use taut_snapshot::Snapshot;

/// The largest object. A route table of 40,000 rules has about 5 MB; beyond this somebody made a mistake.
pub(crate) const OBJECT_BYTES_MAX: usize = 8 << 20;

/// When a message of objects is full. Small enough to share the connection with heartbeats, large enough that the cost
/// of a message does not count.
pub(crate) const OBJECTS_MESSAGE_BYTES: usize = 1 << 20;

/// The most objects of one message: with tiny objects, the message still decodes in a moment.
pub(crate) const OBJECTS_MESSAGE_COUNT: usize = 4096;

/// The most objects that one member's part of a snapshot may have. Ten thousand services come to about 40,000.
pub(crate) const PART_OBJECTS_MAX: usize = 1 << 18;

/// The most bytes that one member's part of a snapshot may have.
pub(crate) const PART_BYTES_MAX: usize = 512 << 20;

/// How much a publisher may send before the member has taken it in: what is under way takes the member's memory twice, as it
/// comes and as a message. 5 MB a second over a path of 50 ms; the library's own limit is 2 MB.
pub(crate) const WINDOW_BYTES: u32 = 256 << 10;

/// The largest gRPC message: an object of the largest size, or the names of all objects that a member may hold.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The most names of missing objects in one report: the rest is asked for when these have come.
pub(crate) const LACKING_MAX: usize = 1 << 16;

/// The most endpoints of one message, about 1 MB.
pub(crate) const ENDPOINTS_MESSAGE_COUNT: usize = 4096;

/// The most parts that one set of endpoints may come in: a million endpoints for one member.
pub(crate) const ENDPOINTS_PARTS_MAX: u32 = 256;

/// The longest name of a member or a workload: a DNS name's.
pub(crate) const NAME_BYTES_MAX: usize = 253;

/// The longest sentence taken from the other side.
pub(crate) const SENTENCE_BYTES_MAX: usize = 4096;

/// The largest generation: what a JSON number holds exactly, and 285,000 years of one activation a millisecond.
pub(crate) const GENERATION_MAX: u64 = (1 << 53) - 1;

/// Messages that wait for a member that does not read. The largest part needs 512 of them; what does not fit is lost
/// and sent again, as on any network.
pub(crate) const OUTBOX_MESSAGES: usize = 1024;

/// How long a new stream may take to say who it is.
pub(crate) const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the other end of a connection may leave a ping unanswered.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// How often an idle connection is probed, so that a peer that vanished is noticed.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Checks that every object of a snapshot can be delivered.
///
/// # Errors
/// A sentence about the first object that cannot.
pub fn check_limits(snapshot: &Snapshot) -> Result<(), String> {
    match snapshot.objects.iter().find(|(_, bytes)| OBJECT_BYTES_MAX < bytes.len()) {
        Some((name, bytes)) => Err(format!(
            "object {} has {} bytes, and {OBJECT_BYTES_MAX} can be delivered: split the resource that it comes from",
            name.short(),
            bytes.len()
        )),
        None => Ok(()),
    }
}

/// Cuts a sentence from the other side to the longest that is kept.
pub(crate) fn sentence(mut text: String) -> String {
    if SENTENCE_BYTES_MAX < text.len() {
        let end = (0..=SENTENCE_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.expect("0 is a boundary"));
    }
    text
}
