//! COSE_Sign1 (RFC 9052, section 4.2) as this project writes it: tagged, unprotected header empty, payload attached,
//! Ed25519. Receipts, whose unprotected header is not empty, are read in [`crate::chain::receipt`].

use std::ops::Range;

use crate::codec::{self, Value, write_head};
use crate::ids::Bytes;
use crate::keys::Signature;

/// COSE algorithm EdDSA (RFC 9053, section 2.2).
pub const ALG_EDDSA: i64 = -8;

/// Where the parts of a COSE_Sign1 lie in its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign1 {
    /// The protected header's bytes, without their length.
    pub protected: Range<usize>,
    /// The payload's bytes.
    pub payload: Range<usize>,
    /// The signature.
    pub signature: Signature,
}

/// Bytes that are not such a COSE_Sign1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a tagged COSE_Sign1 with an empty unprotected header: {0}")]
pub struct StructureError(pub &'static str);

impl Sign1 {
    /// Finds the parts; every byte belongs to one.
    ///
    /// # Errors
    /// [`StructureError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, StructureError> {
        let mut cursor = Cursor { bytes, at: 0 };
        cursor.expect(0xd2, "tag 18 is missing")?;
        cursor.expect(0x84, "it is not an array of four")?;
        let protected = cursor.byte_string("the protected header is no byte string")?;
        cursor.expect(0xa0, "the unprotected header is not empty")?;
        let payload = cursor.byte_string("the payload is no byte string")?;
        let signature = cursor.byte_string("the signature is no byte string")?;
        if cursor.at != bytes.len() {
            return Err(StructureError("bytes follow the signature"));
        }
        let signature = bytes
            .get(signature)
            .and_then(|signature| signature.try_into().ok())
            .map(Bytes)
            .ok_or(StructureError("an Ed25519 signature has 64 bytes"))?;
        Ok(Self { protected, payload, signature })
    }
}

/// The Sig_structure of RFC 9052, section 4.4, without external data.
pub fn to_be_signed(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(protected.len() + payload.len() + 32);
    write_head(4, 4, &mut bytes);
    write_head(3, 10, &mut bytes);
    bytes.extend_from_slice(b"Signature1");
    push_byte_string(protected, &mut bytes);
    push_byte_string(&[], &mut bytes);
    push_byte_string(payload, &mut bytes);
    bytes
}

/// Puts the parts together.
pub fn assemble(protected: &[u8], payload: &[u8], signature: &Signature) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(protected.len() + payload.len() + 80);
    bytes.extend_from_slice(&[0xd2, 0x84]);
    push_byte_string(protected, &mut bytes);
    bytes.push(0xa0);
    push_byte_string(payload, &mut bytes);
    push_byte_string(&signature.0, &mut bytes);
    bytes
}

/// A header or claim label, as it is matched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label<'a> {
    /// An integer label.
    Int(i64),
    /// A text label.
    Text(&'a str),
    /// Anything else, which no known header uses.
    Other,
}

/// Reads a map key as a label.
pub fn label(value: &Value) -> Label<'_> {
    match value {
        Value::Integer(n) => i64::try_from(*n).map_or(Label::Other, Label::Int),
        Value::Text(text) => Label::Text(text),
        _ => Label::Other,
    }
}

/// An integer as a CBOR value.
pub fn int(n: i64) -> Value {
    Value::Integer(n.into())
}

/// Encodes a protected header; empty maps and duplicates do not occur in ours.
///
/// # Errors
/// [`codec::CodecError`] for duplicate labels.
pub fn protected(entries: Vec<(Value, Value)>) -> Result<Vec<u8>, codec::CodecError> {
    codec::to_bytes(&Value::Map(entries))
}

fn push_byte_string(content: &[u8], out: &mut Vec<u8>) {
    write_head(2, content.len() as u64, out);
    out.extend_from_slice(content);
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn expect(&mut self, byte: u8, otherwise: &'static str) -> Result<(), StructureError> {
        if self.bytes.get(self.at) == Some(&byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(StructureError(otherwise))
        }
    }

    fn byte_string(&mut self, otherwise: &'static str) -> Result<Range<usize>, StructureError> {
        let refuse = StructureError(otherwise);
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (width, length) = match rest {
            [initial @ 0x40..=0x57, ..] => (1, usize::from(initial - 0x40)),
            [0x58, a, ..] if *a >= 24 => (2, usize::from(*a)),
            [0x59, a, b, ..] if *a > 0 => (3, usize::from(u16::from_be_bytes([*a, *b]))),
            [0x5a, 0, a, b, c, ..] if *a > 0 => (5, u32::from_be_bytes([0, *a, *b, *c]) as usize),
            _ => return Err(refuse),
        };
        let start = self.at + width;
        let range = start..start + length;
        if range.end > self.bytes.len() {
            return Err(refuse);
        }
        self.at = range.end;
        Ok(range)
    }
}
