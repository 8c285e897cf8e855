//! How objects and snapshots are written as bytes.

pub mod codec;
pub mod file;

pub use codec::{BadBytes, Decode, Encode, Reader};
