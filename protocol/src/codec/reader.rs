//! Reads strict CBOR item by item. Each item is checked as it is read, and nothing is allocated for it here.

use super::{CodecError, Value};
use crate::limits::{CBOR_DEPTH_MAX, CBOR_ITEMS_MAX};

/// The head of an item, with the content where that is not items again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head<'a> {
    /// An integer from 0 up.
    Unsigned(u64),
    /// `-1 - n`.
    Negative(u64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text.
    Text(&'a str),
    /// So many items follow, at one byte each or more.
    Array(usize),
    /// So many pairs of items follow, at two bytes each or more.
    Map(usize),
    /// A tag; the item that it stands on follows.
    Tag(u64),
    /// A boolean.
    Bool(bool),
}

/// Where in the bytes reading has come to.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    items: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of a document of at most `max` bytes.
    pub(crate) fn new(bytes: &'a [u8], max: usize) -> Result<Self, CodecError> {
        if bytes.len() > max {
            return Err(CodecError::TooLong { length: bytes.len(), max });
        }
        Ok(Self::of(bytes))
    }

    /// At the beginning of bytes that the caller has capped.
    pub(crate) const fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, items: 0 }
    }

    /// Bytes read so far.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// The bytes from `start` to where reading has come.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// What is not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Demands that all is read.
    pub(crate) fn finish(&self) -> Result<(), CodecError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(CodecError::Trailing(left)),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let end = self.at.checked_add(count).ok_or(CodecError::Truncated(self.bytes.len()))?;
        let slice = self.bytes.get(self.at..end).ok_or(CodecError::Truncated(self.bytes.len()))?;
        self.at = end;
        Ok(slice)
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        self.take(1).map(|slice| slice.first().copied().unwrap_or_default())
    }

    fn argument(&mut self, initial: u8, at: usize) -> Result<u64, CodecError> {
        let info = initial & 0x1f;
        let (width, least) = match info {
            0..=23 => return Ok(u64::from(info)),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            31 => return Err(CodecError::NotStrict { what: "indefinite length", at }),
            _ => return Err(CodecError::NotStrict { what: "reserved length", at }),
        };
        let argument = self.take(width)?.iter().fold(0u64, |sum, b| (sum << 8) | u64::from(*b));
        if argument < least {
            return Err(CodecError::NotStrict { what: "integer or length not in shortest form", at });
        }
        Ok(argument)
    }

    /// A length that the rest of the document can hold at so many bytes an item, so that allocating for it is safe.
    fn length(&self, argument: u64, bytes_an_item: usize) -> Result<usize, CodecError> {
        let length = usize::try_from(argument).map_err(|_| CodecError::Truncated(self.bytes.len()))?;
        match length.checked_mul(bytes_an_item) {
            Some(bytes) if bytes <= self.bytes.len() - self.at => Ok(length),
            _ => Err(CodecError::Truncated(self.bytes.len())),
        }
    }

    /// Reads the head of the next item, which stands so deep in its document, and a string with its content.
    pub(crate) fn head(&mut self, depth: usize) -> Result<Head<'a>, CodecError> {
        let at = self.at;
        self.items += 1;
        if depth > CBOR_DEPTH_MAX {
            return Err(CodecError::NotStrict { what: "nesting too deep", at });
        }
        if self.items > CBOR_ITEMS_MAX {
            return Err(CodecError::NotStrict { what: "too many items", at });
        }
        let initial = self.byte()?;
        if initial >> 5 == 7 {
            return match initial {
                0xf4 => Ok(Head::Bool(false)),
                0xf5 => Ok(Head::Bool(true)),
                _ => Err(CodecError::NotStrict { what: "a float, null or simple value", at }),
            };
        }
        let argument = self.argument(initial, at)?;
        Ok(match initial >> 5 {
            0 => Head::Unsigned(argument),
            1 => Head::Negative(argument),
            2 => {
                let length = self.length(argument, 1)?;
                Head::Bytes(self.take(length)?)
            }
            3 => {
                let length = self.length(argument, 1)?;
                let text = std::str::from_utf8(self.take(length)?)
                    .map_err(|_| CodecError::NotStrict { what: "text that is not UTF-8", at })?;
                Head::Text(text)
            }
            4 => Head::Array(self.length(argument, 1)?),
            5 => Head::Map(self.length(argument, 2)?),
            _ => Head::Tag(argument),
        })
    }

    /// Demands that the map key that was just read, from `start` on, stands behind the one before it.
    pub(crate) fn in_order(&self, previous: &mut Option<&'a [u8]>, start: usize) -> Result<(), CodecError> {
        let encoded = self.since(start);
        if previous.is_some_and(|previous| previous >= encoded) {
            return Err(CodecError::NotStrict { what: "map keys repeated or out of order", at: start });
        }
        *previous = Some(encoded);
        Ok(())
    }

    /// Passes over one item, looking at lengths alone.
    pub(crate) fn skip(&mut self) -> Result<(), CodecError> {
        let mut left = 1u64;
        while left > 0 {
            let at = self.at;
            self.items += 1;
            if self.items > CBOR_ITEMS_MAX {
                return Err(CodecError::NotStrict { what: "too many items", at });
            }
            left -= 1;
            let initial = self.byte()?;
            let major = initial >> 5;
            if major == 7 {
                continue;
            }
            let argument = self.argument(initial, at)?;
            let more = match major {
                2 | 3 => {
                    let length = usize::try_from(argument);
                    self.take(length.map_err(|_| CodecError::Truncated(self.bytes.len()))?)?;
                    0
                }
                4 => argument,
                5 => argument.saturating_mul(2),
                6 => 1,
                _ => 0,
            };
            left = left.saturating_add(more);
        }
        Ok(())
    }

    /// Reads one item into a tree. `tag` is the one tag that may stand on it.
    pub(crate) fn item(&mut self, depth: usize, tag: Option<u64>) -> Result<Value, CodecError> {
        let at = self.at;
        Ok(match self.head(depth)? {
            Head::Unsigned(n) => Value::Integer(n.into()),
            Head::Negative(n) => Value::Integer(negative(n, at)?),
            Head::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Head::Text(text) => Value::Text(text.to_owned()),
            Head::Bool(flag) => Value::Bool(flag),
            Head::Array(length) => {
                let mut items = Vec::with_capacity(length.min(1024));
                for _ in 0..length {
                    items.push(self.item(depth + 1, None)?);
                }
                Value::Array(items)
            }
            Head::Map(length) => {
                let mut entries = Vec::with_capacity(length.min(1024));
                let mut previous = None;
                for _ in 0..length {
                    let start = self.at;
                    let key = self.item(depth + 1, None)?;
                    self.in_order(&mut previous, start)?;
                    entries.push((key, self.item(depth + 1, None)?));
                }
                Value::Map(entries)
            }
            Head::Tag(found) if tag == Some(found) => {
                Value::Tag(found, Box::new(self.item(depth + 1, None)?))
            }
            Head::Tag(_) => return Err(no_tag(at)),
        })
    }
}

/// The integer `-1 - n`.
pub(super) fn negative(n: u64, at: usize) -> Result<ciborium::value::Integer, CodecError> {
    let what = "integer out of range";
    (-1 - i128::from(n)).try_into().map_err(|_| CodecError::NotStrict { what, at })
}

pub(super) const fn no_tag(at: usize) -> CodecError {
    CodecError::NotStrict { what: "a tag that has no place here", at }
}
