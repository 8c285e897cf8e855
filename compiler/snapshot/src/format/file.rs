//! A snapshot as a file.
//!
//! ```text
//! offset  bytes
//! 0       8      "TAUTSNAP"
//! 8       4      version, 1, least significant byte first
//! 12      4      number of objects, N
//! 16      32     the id: the root's digest
//! 48      36 N   for each object, by digest: its digest, and its length in 4 bytes
//! ...            the objects' bytes in the same order
//! end-32  32     BLAKE3 of everything before
//! ```
//!
//! The digest at the end finds damage at once; each object is checked against its own name again when it is read, so
//! that a file which was made to deceive gains nothing by matching its own end.

use std::io::{self, BufWriter, Write};

use bytes::Bytes;

use super::codec::{BadBytes, Reader};
use crate::Digest;
use crate::snapshot::{BadSnapshot, Objects, Snapshot};

const MAGIC: &[u8; 8] = b"TAUTSNAP";

/// The version that is written. Versions are read for ever.
pub const VERSION: u32 = 1;

/// The bytes of a snapshot's file.
#[must_use]
pub fn write(snapshot: &Snapshot) -> Vec<u8> {
    let mut out = Vec::with_capacity(length(snapshot));
    write_to(snapshot, &mut out).expect("memory takes every byte");
    out
}

/// How many bytes a snapshot's file has.
#[must_use]
pub fn length(snapshot: &Snapshot) -> usize {
    48 + snapshot.objects.iter().map(|(_, bytes)| 36 + bytes.len()).sum::<usize>() + 32
}

/// Writes a snapshot's file piece by piece: it is nowhere in memory as a whole.
///
/// # Errors
/// Of the writer.
pub fn write_to(snapshot: &Snapshot, out: impl Write) -> io::Result<()> {
    /// Digests of many bytes at once are found faster.
    const PIECE: usize = 64 * 1024;
    let mut out = BufWriter::with_capacity(PIECE, Checked { out, sum: blake3::Hasher::new() });
    out.write_all(MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    let count = u32::try_from(snapshot.objects.len()).expect("a mesh has fewer than 2^32 objects");
    out.write_all(&count.to_le_bytes())?;
    out.write_all(&snapshot.id.0)?;
    for (digest, bytes) in snapshot.objects.iter() {
        out.write_all(&digest.0)?;
        let length = u32::try_from(bytes.len()).expect("an object is far smaller than 4 GiB");
        out.write_all(&length.to_le_bytes())?;
    }
    for (_, bytes) in snapshot.objects.iter() {
        out.write_all(bytes)?;
    }
    let Checked { mut out, sum } = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    out.write_all(sum.finalize().as_bytes())?;
    out.flush()
}

/// Knows the digest of everything that was written.
struct Checked<W> {
    out: W,
    sum: blake3::Hasher,
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads the bytes of a snapshot's file, as far as the file itself goes: [`Snapshot::verify`] checks the objects.
///
/// # Errors
/// If it is no such file, is of a version that is not known, is cut short, or has a byte that is not as it was written.
pub fn read(bytes: &[u8]) -> Result<Snapshot, BadSnapshot> {
    let bad = |offset, problem| BadSnapshot::File(BadBytes { offset, problem });
    if bytes.get(..8) != Some(MAGIC.as_slice()) {
        return Err(bad(0, "it does not begin with TAUTSNAP"));
    }
    let Some(end) = bytes.len().checked_sub(32).filter(|end| 48 <= *end) else {
        return Err(bad(bytes.len(), "the file ends too early"));
    };
    let (body, checksum) = bytes.split_at(end);
    let mut reader = Reader::new(body);
    let number = |reader: &mut Reader<'_>| -> Result<u32, BadSnapshot> {
        let bytes = reader.take(4).map_err(BadSnapshot::File)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let digest = |reader: &mut Reader<'_>| -> Result<Digest, BadSnapshot> {
        let mut digest = [0; 32];
        digest.copy_from_slice(reader.take(32).map_err(BadSnapshot::File)?);
        Ok(Digest(digest))
    };
    reader.take(8).map_err(BadSnapshot::File)?;
    if number(&mut reader)? != VERSION {
        return Err(bad(8, "a version that this program does not know"));
    }
    if Digest::of(body).0 != checksum {
        return Err(bad(end, "the digest at the end does not fit: the file is damaged"));
    }
    let count = number(&mut reader)? as usize;
    let id = digest(&mut reader)?;
    if reader.remaining() / 36 < count {
        return Err(bad(12, "more objects than the file has room for"));
    }
    let mut index = Vec::with_capacity(count);
    for _ in 0..count {
        let name = digest(&mut reader)?;
        if index.last().is_some_and(|(last, _)| name <= *last) {
            return Err(bad(reader.offset(), "objects out of order"));
        }
        index.push((name, number(&mut reader)? as usize));
    }
    let mut from = reader.offset();
    for (_, length) in &index {
        reader.take(*length).map_err(BadSnapshot::File)?;
    }
    reader.finish().map_err(BadSnapshot::File)?;
    // One copy for all: an object is a window into it.
    let shared = Bytes::copy_from_slice(body);
    let objects = Objects::unchecked(index.into_iter().map(|(name, length)| {
        let at = from;
        from += length;
        (name, shared.slice(at..from))
    }));
    Ok(Snapshot { id, objects })
}
