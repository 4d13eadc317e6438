//! Strict CBOR: the core deterministic encoding of RFC 8949, section 4.2.1, and nothing else.
//!
//! What this module accepts has exactly one encoding: shortest integers and lengths, definite lengths, map keys
//! unique and in bytewise order of their encodings, valid UTF-8, no floats, no null, no simple values but booleans,
//! no tags except where a caller asks for one, no trailing bytes. Length, depth and item count are capped before
//! anything is allocated.
//!
//! Typed data goes through serde: [`encode`] and [`decode`]. Types refuse unknown fields
//! (`#[serde(deny_unknown_fields)]`), and leave optional fields out instead of writing null. Decoding makes no tree of
//! values on the way: what is read is checked and handed on item by item.

mod direct;
mod reader;

pub use ciborium::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use reader::{Head, Reader};

/// Why bytes are not the CBOR that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Longer than the cap for this kind of document.
    #[error("{length} bytes, more than the {max} allowed here")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The document ends inside an item.
    #[error("the CBOR ends early, at byte {0}")]
    Truncated(usize),
    /// Bytes follow the document.
    #[error("{0} bytes follow the CBOR item")]
    Trailing(usize),
    /// Well-formed CBOR that deterministic encoding does not allow, or that this format leaves out.
    #[error("{what} at byte {at}")]
    NotStrict {
        /// The rule that is broken.
        what: &'static str,
        /// Offset of the offending item.
        at: usize,
    },
    /// Strict CBOR of another shape than the type.
    #[error("wrong shape: {0}")]
    Shape(String),
}

/// Encodes `value` deterministically.
///
/// # Errors
/// [`CodecError::Shape`] when the value has no strict form: a float, a null, or a duplicate map key.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let value = Value::serialized(value).map_err(|e| CodecError::Shape(e.to_string()))?;
    to_bytes(&value)
}

/// Decodes strict CBOR of at most `max` bytes into `T`.
///
/// # Errors
/// Any [`CodecError`]; nothing is returned for a document that is only partly right.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, CodecError> {
    direct::decode(Reader::new(bytes, max)?)
}

/// Reads a value that was parsed already into `T`.
///
/// # Errors
/// [`CodecError::Shape`].
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, CodecError> {
    value.deserialized().map_err(|e| CodecError::Shape(e.to_string()))
}

/// The deterministic encoding of a value tree.
///
/// # Errors
/// [`CodecError::Shape`] when the tree holds what [`from_bytes`] would refuse.
pub fn to_bytes(value: &Value) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), CodecError> {
    match value {
        Value::Integer(integer) => {
            let wide = i128::from(*integer);
            if let Ok(unsigned) = u64::try_from(wide) {
                write_head(0, unsigned, out);
            } else {
                let negative =
                    u64::try_from(-1 - wide).map_err(|_| CodecError::Shape("integer out of range".into()))?;
                write_head(1, negative, out);
            }
        }
        Value::Bytes(bytes) => {
            write_head(2, bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
        Value::Text(text) => {
            write_head(3, text.len() as u64, out);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Array(items) => {
            write_head(4, items.len() as u64, out);
            for item in items {
                write(item, out)?;
            }
        }
        Value::Map(entries) => {
            write_head(5, entries.len() as u64, out);
            let mut encoded = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                encoded.push((to_bytes(key)?, value));
            }
            encoded.sort_by(|a, b| a.0.cmp(&b.0));
            let mut previous: Option<&[u8]> = None;
            for (key, value) in &encoded {
                if previous == Some(key.as_slice()) {
                    return Err(CodecError::Shape("duplicate map key".into()));
                }
                previous = Some(key);
                out.extend_from_slice(key);
                write(value, out)?;
            }
        }
        Value::Tag(tag, inner) => {
            write_head(6, *tag, out);
            write(inner, out)?;
        }
        Value::Bool(flag) => out.push(if *flag { 0xf5 } else { 0xf4 }),
        _ => return Err(CodecError::Shape("floats and nulls have no place in strict CBOR".into())),
    }
    Ok(())
}

/// Writes a CBOR item head (major type and argument) in its shortest form.
pub fn write_head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..=23 => out.push(major | argument as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Parses strict CBOR of at most `max` bytes, without tags.
///
/// # Errors
/// Any [`CodecError`] but [`CodecError::Shape`].
pub fn from_bytes(bytes: &[u8], max: usize) -> Result<Value, CodecError> {
    whole(bytes, max, None)
}

/// Parses one strict CBOR item under the tag `tag`, of at most `max` bytes; no other tag may occur.
///
/// # Errors
/// Any [`CodecError`].
pub fn from_tagged_bytes(bytes: &[u8], tag: u64, max: usize) -> Result<Value, CodecError> {
    match whole(bytes, max, Some(tag))? {
        Value::Tag(_, inner) => Ok(*inner),
        _ => Err(CodecError::Shape(format!("CBOR tag {tag} is missing"))),
    }
}

fn whole(bytes: &[u8], max: usize, tag: Option<u64>) -> Result<Value, CodecError> {
    let mut reader = Reader::new(bytes, max)?;
    let value = reader.item(0, tag)?;
    reader.finish()?;
    Ok(value)
}

/// Parses the first item of a sequence, and gives the bytes that follow it. The caller has capped the sequence.
///
/// # Errors
/// Any [`CodecError`] but [`CodecError::Shape`].
pub fn first_item(bytes: &[u8]) -> Result<(Value, &[u8]), CodecError> {
    let mut reader = Reader::of(bytes);
    let value = reader.item(0, None)?;
    Ok((value, reader.rest()))
}

/// How many bytes the first item of a sequence has; nothing when it goes on behind `bytes`. Looks at lengths alone:
/// whether the item is strict shows when it is parsed.
///
/// # Errors
/// [`CodecError::NotStrict`] where no length can be told, or where nesting or items are too many.
pub fn item_length(bytes: &[u8]) -> Result<Option<usize>, CodecError> {
    let mut reader = Reader::of(bytes);
    match reader.skip() {
        Ok(()) => Ok(Some(reader.position())),
        Err(CodecError::Truncated(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The content of `item` where it is one byte string and nothing else.
pub fn as_byte_string(item: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::of(item);
    match reader.head(0) {
        Ok(Head::Bytes(content)) => reader.finish().is_ok().then_some(content),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Bytes, StatementId};
    use crate::limits::CBOR_DEPTH_MAX;

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        zulu: u64,
        alpha: StatementId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        choice: Choice,
    }

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    enum Choice {
        Plain,
        With(Bytes<4>),
        Named { depth: u8 },
    }

    #[test]
    fn typed_data_round_trips_with_sorted_keys_and_byte_strings() {
        for choice in [Choice::Plain, Choice::With(Bytes([1, 2, 3, 4])), Choice::Named { depth: 3 }] {
            let sample =
                Sample { zulu: 1 << 40, alpha: StatementId::from_bytes([7; 32]), note: None, choice };
            let bytes = encode(&sample).unwrap();
            assert_eq!(decode::<Sample>(&bytes, 1024).unwrap(), sample);
            let json = serde_json::to_string(&sample).unwrap();
            assert_eq!(serde_json::from_str::<Sample>(&json).unwrap(), sample);
        }
    }

    #[test]
    fn each_departure_from_deterministic_encoding_is_refused() {
        let strict = |bytes: &[u8]| from_bytes(bytes, 64);
        for (bytes, rule) in [
            (&[0x18, 0x17][..], "not in shortest form"),
            (&[0x19, 0x00, 0xff], "not in shortest form"),
            (&[0x9f, 0xff], "indefinite"),
            (&[0x5f, 0xff], "indefinite"),
            (&[0xa2, 0x01, 0x00, 0x01, 0x00], "repeated or out of order"),
            (&[0xa2, 0x02, 0x00, 0x01, 0x00], "repeated or out of order"),
            (&[0xf6], "float, null"),
            (&[0xf9, 0x00, 0x00], "float, null"),
            (&[0xc0, 0x00], "tag"),
            (&[0x61, 0xff], "not UTF-8"),
            (&[0x00, 0x00], "follow"),
            (&[0x82, 0x00], "ends early"),
            (&[0x1c], "reserved"),
            (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "ends early"),
        ] {
            let message = strict(bytes).unwrap_err().to_string();
            assert!(message.contains(rule), "{bytes:02x?}: {message}");
        }
        let deep = vec![0x81; CBOR_DEPTH_MAX + 2];
        assert!(strict(&deep).unwrap_err().to_string().contains("deep"));
    }

    #[test]
    fn what_merely_resembles_a_type_is_refused() {
        let text = |text: &str| Value::Text(text.into());
        let refused = |value: Value, what: &str| {
            let bytes = to_bytes(&value).unwrap();
            assert!(matches!(decode::<(u8, String)>(&bytes, 64), Err(CodecError::Shape(_))), "{what}");
            assert!(matches!(decode::<Choice>(&bytes, 64), Err(CodecError::Shape(_))), "{what}");
            assert!(matches!(decode::<StatementId>(&bytes, 64), Err(CodecError::Shape(_))), "{what}");
        };
        refused(Value::Array(vec![Value::Integer(1.into()), Value::Bytes(b"a".to_vec())]), "bytes for text");
        refused(Value::Array(vec![Value::Integer(1.into())]), "too few items");
        refused(Value::Array(vec![Value::Integer(1.into()), text("a"), text("b")]), "too many items");
        refused(Value::Array(vec![Value::Integer(256.into()), text("a")]), "an integer out of range");
        refused(Value::Map(vec![(text("Plain"), Value::Bool(true))]), "a variant with a field too many");
        refused(Value::Map(vec![]), "a variant without a name");
        refused(text("With"), "a variant without its field");
        refused(text("Other"), "no variant");
        refused(Value::Array(vec![Value::Integer(7.into()); 32]), "integers for bytes");
        let named = |depth: Value| Value::Map(vec![(text("Named"), depth)]);
        refused(named(Value::Array(vec![Value::Integer(3.into())])), "an array for a struct");
    }

    #[test]
    fn unknown_fields_are_refused() {
        let bytes = to_bytes(&Value::Map(vec![(Value::Text("x".into()), Value::Bool(true))])).unwrap();
        assert!(matches!(decode::<Sample>(&bytes, 64), Err(CodecError::Shape(_))));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(|n| Value::Integer(n.into())),
            any::<i64>().prop_map(|n| Value::Integer(n.into())),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
            ".{0,30}".prop_map(Value::Text),
            any::<bool>().prop_map(Value::Bool),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                proptest::collection::btree_map(".{0,8}", inner, 0..6)
                    .prop_map(|map| Value::Map(map.into_iter().map(|(k, v)| (Value::Text(k), v)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_to_the_same_bytes(value in value()) {
            let bytes = to_bytes(&value).unwrap();
            let again = from_bytes(&bytes, 1 << 20).unwrap();
            prop_assert_eq!(to_bytes(&again).unwrap(), bytes);
        }

        #[test]
        fn the_length_of_an_item_is_known_as_soon_as_all_of_it_is_there(
            value in value(), after in proptest::collection::vec(any::<u8>(), 0..9)
        ) {
            let mut bytes = to_bytes(&value).unwrap();
            let length = bytes.len();
            for end in 0..length {
                prop_assert_eq!(item_length(&bytes[..end]), Ok(None));
            }
            bytes.extend(after);
            prop_assert_eq!(item_length(&bytes), Ok(Some(length)));
        }

        #[test]
        fn typed_data_is_read_from_the_same_bytes_as_trees(
            value in value(), at in any::<prop::sample::Index>(), change in any::<u8>()
        ) {
            let mut bytes = to_bytes(&value).unwrap();
            for round in 0..2 {
                match (from_bytes(&bytes, 1 << 20), decode::<Value>(&bytes, 1 << 20)) {
                    (Ok(tree), Ok(typed)) => prop_assert_eq!(tree, typed),
                    (tree, typed) => prop_assert!(round == 1 && tree.is_err() && typed.is_err()),
                }
                let at = at.index(bytes.len());
                bytes[at] ^= change;
            }
        }

        #[test]
        fn whatever_is_accepted_is_the_one_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = from_bytes(&bytes, 64) {
                prop_assert_eq!(to_bytes(&value).unwrap(), bytes);
            }
        }
    }
}
