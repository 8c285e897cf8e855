//! The encoding of values: canonical, length-checked, and decoded without trusting a byte.
//!
//! Owns: numbers, strings, lists, options; the macros that derive the encoding of records and choices.
//! Invariant: every value has exactly one encoding. A decoder refuses any other, so equal bytes and equal values are
//! the same thing, and a digest names a meaning.

use std::fmt;
use std::marker::PhantomData;

use crate::{Digest, Text};

/// Why bytes are not an encoding of anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadBytes {
    /// Where, counted from the start of the object or file.
    pub offset: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

impl fmt::Display for BadBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.problem, self.offset)
    }
}

impl std::error::Error for BadBytes {}

/// A value that can be written.
pub trait Encode {
    /// Appends the value's only encoding.
    fn encode(&self, out: &mut Vec<u8>);

    /// Whether a record leaves a field with this value out.
    fn is_absent(&self) -> bool {
        false
    }
}

/// A value that can be read back.
pub trait Decode: Sized {
    /// Reads one value.
    ///
    /// # Errors
    /// Where the bytes are not the canonical encoding of a value.
    fn decode(from: &mut Reader<'_>) -> Result<Self, BadBytes>;

    /// The value of a field that a record leaves out; none if it may not.
    fn absent() -> Option<Self> {
        None
    }
}

/// Bytes being decoded.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader from the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The offset of the next byte.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// An error at the next byte.
    #[must_use]
    pub fn bad(&self, problem: &'static str) -> BadBytes {
        BadBytes { offset: self.at, problem }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// If there are not as many.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], BadBytes> {
        if self.remaining() < count {
            return Err(self.bad("the bytes end too early"));
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// If there is none.
    pub fn byte(&mut self) -> Result<u8, BadBytes> {
        Ok(self.take(1)?[0])
    }

    /// Refuses bytes after the end of a value.
    ///
    /// # Errors
    /// If any are left.
    pub fn finish(self) -> Result<(), BadBytes> {
        if self.remaining() == 0 { Ok(()) } else { Err(self.bad("bytes after the end")) }
    }

    /// A count of items of which each takes at least one byte, so that no small input can ask for much memory.
    fn count(&mut self) -> Result<usize, BadBytes> {
        let count = u64::decode(self)?;
        match usize::try_from(count) {
            Ok(count) if count <= self.remaining() => Ok(count),
            _ => Err(self.bad("a length beyond the end")),
        }
    }
}

/// Decodes a whole value: nothing may follow it.
///
/// # Errors
/// Where the bytes are not exactly one canonical encoding.
pub fn decode_all<T: Decode>(bytes: &[u8]) -> Result<T, BadBytes> {
    let mut reader = Reader::new(bytes);
    let value = T::decode(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

// Numbers are LEB128: seven bits a byte, least significant first, and no needless zero bytes at the end.
impl Encode for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        while 0x80 <= rest {
            out.push((rest as u8) | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    fn is_absent(&self) -> bool {
        *self == 0
    }
}

impl Decode for u64 {
    fn decode(from: &mut Reader<'_>) -> Result<Self, BadBytes> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = from.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && 1 < byte {
                return Err(from.bad("a number of more than 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift != 0 {
                    return Err(from.bad("a number with needless bytes"));
                }
                return Ok(value);
            }
        }
        Err(from.bad("a number of more than 64 bits"))
    }

    fn absent() -> Option<Self> {
        Some(0)
    }
}

macro_rules! small_numbers {
    ($($Type:ty),*) => {$(
        impl Encode for $Type {
            fn encode(&self, out: &mut Vec<u8>) {
                u64::from(*self).encode(out);
            }

            fn is_absent(&self) -> bool {
                *self == 0
            }
        }

        impl Decode for $Type {
            fn decode(from: &mut Reader<'_>) -> Result<Self, BadBytes> {
                u64::decode(from)?.try_into().map_err(|_| from.bad("a number that is too large"))
            }

            fn absent() -> Option<Self> {
                Some(0)
            }
        }
    )*};
}

small_numbers!(u8, u16, u32);

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn is_absent(&self) -> bool {
        !*self
    }
}

impl Decode for bool {
    fn decode(from: &mut Reader<'_>) -> Result<Self, BadBytes> {
        match from.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(from.bad("neither 0 nor 1")),
        }
    }

    fn absent() -> Option<Self> {
        Some(false)
    }
}

impl Encode for Text {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.len() as u64).encode(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl Decode for Text {
    fn decode(from: &mut Reader<'_>) -> Result<Self, BadBytes> {
        let length = from.count()?;
        let bytes = from.take(length)?;
        std::str::from_utf8(bytes).map(Text::new).map_err(|_| from.bad("text that is not UTF-8"))
    }

    fn absent() -> Option<Self> {
        Some(Text::default())
    }
}

/// Bytes that are not text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob(pub Box<[u8]>);

impl Encode for Blob {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.0.len() as u64).encode(out);
        out.extend_from_slice(&self.0);
    }

    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

impl Decode for Blob {
    fn decode(from: &mut Reader<'_>) -> Result<Self, BadBytes> {
        let length = from.count()?;
        Ok(Blob(from.take(length)?.into()))
    }

    fn absent() -> Option<Self> {
        Some(Blob::default())
    }
}

impl Encode for Digest {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Decode for Digest {
    fn decode(from: &mut Reader<'_>) -> Result<Self, BadBytes> {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(from.take(32)?);
        Ok(Digest(bytes))
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(from: &mut Reader<'_>) -> Result<Self, BadBytes> {
        if bool::decode(from)? { T::decode(from).map(Some) } else { Ok(None) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.len() as u64).encode(out);
        for item in self {
            item.encode(out);
        }
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(from: &mut Reader<'_>) -> Result<Self, BadBytes> {
        let count = from.count()?;
        // A count is at most the bytes left, but an item in memory is larger than its bytes: grow as they come.
        let mut items = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            items.push(T::decode(from)?);
        }
        Ok(items)
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }
}

impl<A: Decode, B: Decode> Decode for (A, B) {
    fn decode(from: &mut Reader<'_>) -> Result<Self, BadBytes> {
        Ok((A::decode(from)?, B::decode(from)?))
    }
}

/// The digest of an object of a known kind.
pub struct Link<T> {
    /// The object's name.
    pub digest: Digest,
    kind: PhantomData<fn() -> T>,
}

impl<T> Link<T> {
    /// A link to the object of this name.
    #[must_use]
    pub fn to(digest: Digest) -> Link<T> {
        Link { digest, kind: PhantomData }
    }
}

impl<T> Clone for Link<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Link<T> {}

impl<T> PartialEq for Link<T> {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl<T> Eq for Link<T> {}

impl<T> PartialOrd for Link<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Link<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.digest.cmp(&other.digest)
    }
}

impl<T> fmt::Debug for Link<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.digest, f)
    }
}

impl<T> Encode for Link<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.digest.encode(out);
    }
}

impl<T> Decode for Link<T> {
    fn decode(from: &mut Reader<'_>) -> Result<Self, BadBytes> {
        Digest::decode(from).map(Link::to)
    }
}

/// Declares a record: its fields, each after its number, and a zero at the end.
///
/// A field that is empty, zero or missing is left out, and numbers are forever: so a later version may add a field, and
/// today's code goes on to read every record that was ever written. A number that it does not know is refused: the
/// meaning of that field would be lost.
macro_rules! record {
    (
        $(#[doc = $doc:literal])*
        pub struct $Name:ident { $($(#[doc = $field_doc:literal])* pub $field:ident: $Type:ty = $number:literal,)* }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $Name {
            $($(#[doc = $field_doc])* pub $field: $Type,)*
        }

        impl $crate::format::codec::Encode for $Name {
            fn encode(&self, out: &mut Vec<u8>) {
                $(
                    if !$crate::format::codec::Encode::is_absent(&self.$field) {
                        out.push($number);
                        $crate::format::codec::Encode::encode(&self.$field, out);
                    }
                )*
                out.push(0);
            }
        }

        impl $crate::format::codec::Decode for $Name {
            fn decode(from: &mut $crate::format::codec::Reader<'_>) -> Result<Self, $crate::format::codec::BadBytes> {
                $(let mut $field: Option<$Type> = None;)*
                let mut last = 0;
                loop {
                    let number = from.byte()?;
                    if number == 0 {
                        break;
                    }
                    if number <= last {
                        return Err(from.bad(concat!("fields out of order in a ", stringify!($Name))));
                    }
                    last = number;
                    match number {
                        $($number => {
                            let value = <$Type as $crate::format::codec::Decode>::decode(from)?;
                            if $crate::format::codec::Encode::is_absent(&value) {
                                return Err(from.bad(concat!("an empty field in a ", stringify!($Name))));
                            }
                            $field = Some(value);
                        })*
                        _ => return Err(from.bad(concat!("an unknown field in a ", stringify!($Name)))),
                    }
                }
                Ok($Name {
                    $($field: match $field.or_else(<$Type as $crate::format::codec::Decode>::absent) {
                        Some(value) => value,
                        None => return Err(from.bad(concat!("a ", stringify!($Name), " without its ", stringify!($field)))),
                    },)*
                })
            }
        }
    };
}

/// Declares a choice: a number, and then the fields of the variant with that number. Numbers are forever.
macro_rules! choice {
    ($(#[doc = $doc:literal])* pub enum $Name:ident { $($(#[doc = $var_doc:literal])* $Variant:ident $(($Type:ty))? = $tag:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $Name {
            $($(#[doc = $var_doc])* $Variant $(($Type))?,)*
        }

        impl $crate::format::codec::Encode for $Name {
            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(choice!(@pattern $Name $Variant value $(, $Type)?) => {
                        out.push($tag);
                        choice!(@encode value out $(, $Type)?);
                    })*
                }
            }
        }

        impl $crate::format::codec::Decode for $Name {
            fn decode(from: &mut $crate::format::codec::Reader<'_>) -> Result<Self, $crate::format::codec::BadBytes> {
                match from.byte()? {
                    $($tag => Ok($Name::$Variant $((<$Type as $crate::format::codec::Decode>::decode(from)?))?),)*
                    _ => Err(from.bad(concat!("an unknown choice of ", stringify!($Name)))),
                }
            }
        }
    };
    (@pattern $Name:ident $Variant:ident $value:ident) => { $Name::$Variant };
    (@pattern $Name:ident $Variant:ident $value:ident, $Type:ty) => { $Name::$Variant($value) };
    (@encode $value:ident $out:ident) => {};
    (@encode $value:ident $out:ident, $Type:ty) => { $value.encode($out) };
}

pub(crate) use {choice, record};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_encoding() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            value.encode(&mut bytes);
            assert_eq!(decode_all::<u64>(&bytes), Ok(value));
        }
        assert!(decode_all::<u64>(&[0x80, 0x00]).is_err(), "a needless byte");
        assert!(decode_all::<u64>(&[0xff; 10]).is_err(), "more than 64 bits");
        assert!(decode_all::<u64>(&[0x80]).is_err(), "an unfinished number");
        assert!(decode_all::<u64>(&[1, 1]).is_err(), "a byte after the end");
        assert!(decode_all::<u16>(&[0x80, 0x80, 0x04]).is_err(), "more than 16 bits");
    }

    #[test]
    fn a_length_beyond_the_end_asks_for_no_memory() {
        let mut bytes = Vec::new();
        u64::MAX.encode(&mut bytes);
        assert!(decode_all::<Vec<u64>>(&bytes).is_err());
        assert!(decode_all::<Text>(&bytes).is_err());
    }
}
