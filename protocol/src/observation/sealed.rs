//! Sealed claims: fields of an observation that its statement commits to, and that its author discloses one by one.
//!
//! ```text
//! Disclosure = [ salt: bstr .size 16, name: text, value: any ]   ; strict CBOR
//! sealed     = [+ BLAKE3 of a disclosure's bytes]                ; in the observation, sorted, none twice
//! ```
//!
//! Without its disclosure a digest says nothing, not even that two statements seal the same: the salt is random. What is
//! sealed takes no part in decisions, which are to be computed again by whoever has the statements alone.

use crate::codec::{self, CodecError, Value};
use crate::digest::blake3;
use crate::ids::Bytes;
use crate::limits::{LABEL_BYTES_MAX, PAYLOAD_BYTES_MAX};

/// One sealed claim, opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Disclosure {
    /// Random, and secret until it is disclosed.
    pub salt: [u8; 16],
    /// The field's name.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// Why a disclosure discloses nothing of an observation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DisclosureError {
    /// Not strict CBOR.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// Not the three parts.
    #[error("a disclosure is a salt of 16 bytes, a name of at most {LABEL_BYTES_MAX} bytes and a value")]
    Form,
    /// The observation does not commit to it.
    #[error("the statement did not seal {0:?} with this salt and value")]
    NotSealed(String),
}

impl Disclosure {
    /// Reads a disclosure.
    ///
    /// # Errors
    /// [`DisclosureError::Codec`], [`DisclosureError::Form`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DisclosureError> {
        let Value::Array(parts) = codec::from_bytes(bytes, PAYLOAD_BYTES_MAX)? else {
            return Err(DisclosureError::Form);
        };
        let parts = <[Value; 3]>::try_from(parts).map_err(|_| DisclosureError::Form)?;
        match parts {
            [Value::Bytes(salt), Value::Text(name), value] if name.len() <= LABEL_BYTES_MAX => {
                let salt = salt.try_into().map_err(|_| DisclosureError::Form)?;
                Ok(Self { salt, name, value })
            }
            _ => Err(DisclosureError::Form),
        }
    }

    /// The disclosure's bytes.
    ///
    /// # Errors
    /// [`CodecError`] for a value that strict CBOR does not have.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let salt = Value::Bytes(self.salt.to_vec());
        codec::to_bytes(&Value::Array(vec![salt, Value::Text(self.name.clone()), self.value.clone()]))
    }
}

/// What an observation holds of a disclosure.
pub fn seal(disclosure: &[u8]) -> Bytes<32> {
    Bytes(blake3(disclosure))
}

/// Opens disclosures of what `sealed` commits to. They are in the order of their digests, none twice.
///
/// # Errors
/// [`DisclosureError`].
pub fn open(
    sealed: &[Bytes<32>],
    disclosures: &[impl AsRef<[u8]>],
) -> Result<Vec<Disclosure>, DisclosureError> {
    let mut last = None;
    let mut found = Vec::with_capacity(disclosures.len());
    for bytes in disclosures {
        let bytes = bytes.as_ref();
        let disclosure = Disclosure::parse(bytes)?;
        let digest = seal(bytes);
        if last.is_some_and(|last: Bytes<32>| last.0 >= digest.0) {
            return Err(DisclosureError::Form);
        }
        if sealed.binary_search_by(|one| one.0.cmp(&digest.0)).is_err() {
            return Err(DisclosureError::NotSealed(disclosure.name));
        }
        last = Some(digest);
        found.push(disclosure);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disclosure(salt: u8, name: &str) -> Vec<u8> {
        Disclosure { salt: [salt; 16], name: name.into(), value: Value::Bool(true) }.to_bytes().unwrap()
    }

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let mut all: Vec<Vec<u8>> = (0..4).map(|n| disclosure(n, "age")).collect();
        all.sort_by_key(|bytes| seal(bytes).0);
        let sealed: Vec<Bytes<32>> = all.iter().map(|bytes| seal(bytes)).collect();
        for from in 0..4 {
            for to in from..=4 {
                assert_eq!(open(&sealed, &all[from..to]).unwrap().len(), to - from);
            }
        }
        let other = [disclosure(9, "age")];
        assert!(matches!(open(&sealed, &other), Err(DisclosureError::NotSealed(name)) if name == "age"));
        let swapped = [all[1].clone(), all[0].clone()];
        assert_eq!(open(&sealed, &swapped), Err(DisclosureError::Form));
        assert_eq!(open(&sealed, &[all[0].clone(), all[0].clone()]), Err(DisclosureError::Form));
        assert!(open(&sealed, &[vec![0x80]]).is_err());
        assert_eq!(Disclosure::parse(&all[0]).unwrap().to_bytes().unwrap(), all[0]);
    }
}
