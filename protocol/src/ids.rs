//! Newtypes for everything that is named or counted, so that one is never taken for another.
//!
//! In CBOR an id is its 32 bytes; in text and JSON it is a prefix, a colon and lower-case base32 without padding.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Lower-case base32 (RFC 4648, section 6) without padding.
pub fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// The inverse of [`base32`]; upper case is refused, so that an id has one spelling.
pub fn from_base32(text: &str) -> Option<Vec<u8>> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok()
}

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id of the form {prefix}:<52 lower-case base32 characters>")]
pub struct IdError {
    /// What was given.
    pub text: String,
    /// The prefix that ids of this type carry.
    pub prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// What stands before the colon in the text form.
            pub const PREFIX: &'static str = $prefix;

            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first ten characters behind the prefix, enough to recognise and to copy.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(Self::PREFIX.len() + 1 + 10);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}", Self::PREFIX, base32(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.short())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, ":"))
                    .and_then(from_base32)
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or_else(|| IdError { text: text.chars().take(80).collect(), prefix: Self::PREFIX })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                } else {
                    Bytes::<32>::deserialize(deserializer).map(|bytes| Self(bytes.0))
                }
            }
        }
    };
}

id!(
    /// BLAKE3 of the inception statement's bytes. Survives every key rotation.
    OrganisationId,
    "org"
);
id!(
    /// BLAKE3 of a statement's bytes, signature included.
    StatementId,
    "stmt"
);
id!(
    /// BLAKE3 of a public key with its algorithm.
    KeyId,
    "key"
);
id!(
    /// An authority, which outlives its keys: the id of the credential statement that first made it.
    AuthorityId,
    "auth"
);
id!(
    /// BLAKE3 of the charter statement that founded a mesh.
    MeshId,
    "mesh"
);
id!(
    /// BLAKE3 of a signed head's bytes.
    HeadHash,
    "head"
);
id!(
    /// BLAKE3 of a blob's bytes.
    BlobId,
    "blob"
);

impl From<StatementId> for OrganisationId {
    /// The organisation that this inception statement founds.
    fn from(id: StatementId) -> Self {
        Self(id.0)
    }
}

impl From<StatementId> for AuthorityId {
    /// The authority that this credential statement makes.
    fn from(id: StatementId) -> Self {
        Self(id.0)
    }
}

impl From<StatementId> for MeshId {
    /// The mesh that this charter statement founds.
    fn from(id: StatementId) -> Self {
        Self(id.0)
    }
}

/// Exactly `N` bytes: a CBOR byte string; base32 in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes<const N: usize>(pub [u8; N]);

/// A byte string of any (capped) length: a CBOR byte string; base32 in text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteString(pub Vec<u8>);

impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32(&self.0))
    }
}

impl fmt::Debug for ByteString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for ByteString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&base32(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for ByteString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteString;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string, or lower-case base32 text")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<ByteString, E> {
                Ok(ByteString(bytes.to_vec()))
            }
            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<ByteString, E> {
                Ok(ByteString(bytes))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteString, E> {
                from_base32(text)
                    .map(ByteString)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Visitor)
        } else {
            deserializer.deserialize_byte_buf(Visitor)
        }
    }
}

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&base32(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = ByteString::deserialize(deserializer)?.0;
        let length = bytes.len();
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| de::Error::custom(format_args!("{length} bytes where {N} are needed")))
    }
}

macro_rules! count {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

count!(
    /// Index of a statement in its chain, from zero.
    Position
);
count!(
    /// Number of leaves in a chain's tree.
    TreeSize
);
count!(
    /// Sequence number of a head, from zero.
    HeadSeq
);
count!(
    /// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted (RFC 8392 NumericDate, integers only).
    Timestamp
);

impl Position {
    /// The size of the chain that ends with this position.
    pub const fn size_with(self) -> TreeSize {
        TreeSize(self.0.saturating_add(1))
    }
}

impl TreeSize {
    /// The position that the next statement will take.
    pub const fn next_position(self) -> Position {
        Position(self.0)
    }

    /// Whether a statement at `position` is among these leaves.
    pub const fn contains(self, position: Position) -> bool {
        position.0 < self.0
    }
}

impl Timestamp {
    /// This time, `seconds` later; the end of time when that does not exist.
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this time; zero when it is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
