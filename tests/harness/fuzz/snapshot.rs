//! Any bytes as a snapshot, or as one of its objects.

use taut_snapshot::format::codec::{Decode, Encode, decode_all};
use taut_snapshot::format::file;
use taut_snapshot::object::Object;
use taut_snapshot::{Digest, Endpoint, EndpointSet, SourceMap};

/// A file that is believed is written again as the same bytes. Half of the inputs get the digest that fits them, so that
/// what lies behind it is reached as well.
///
/// # Panics
/// If it is not.
pub fn snapshot_file(bytes: &[u8]) {
    believed(bytes);
    let mut fitting = bytes.to_vec();
    fitting.extend_from_slice(&Digest::of(bytes).0);
    believed(&fitting);
}

fn believed(bytes: &[u8]) {
    let Ok(snapshot) = file::read(bytes) else { return };
    if snapshot.verify().is_ok() {
        assert_eq!(file::write(&snapshot), bytes, "one snapshot has two files");
        let _ = snapshot.workloads();
    }
}

/// Every value has one encoding: what is decoded is encoded as the bytes that it came from.
///
/// # Panics
/// If it is not.
pub fn objects(bytes: &[u8]) {
    if let Ok(object) = Object::decode(bytes) {
        let _ = (object.kind(), object.links());
    }
    canonical::<SourceMap>(bytes);
    canonical::<EndpointSet>(bytes);
    canonical::<Endpoint>(bytes);
}

fn canonical<T: Decode + Encode>(bytes: &[u8]) {
    if let Ok(value) = decode_all::<T>(bytes) {
        let mut again = Vec::new();
        value.encode(&mut again);
        assert_eq!(again, bytes, "a value has two encodings");
    }
}
