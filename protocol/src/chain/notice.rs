//! Notices: that a chain has a head of this number and hash, in few bytes, so that word of it travels far at little cost.
//!
//! ```text
//! notice = organisation (32) || number (8, big endian) || head hash (32) || Ed25519 signature by the chain key (64)
//! ```
//!
//! Nothing follows from a notice but that the head is worth asking for: it is the head that counts, and proves.

use crate::ids::{Bytes, HeadHash, HeadSeq, OrganisationId};
use crate::keys::{PublicKey, Signature, SignatureInvalid, Signer};

use super::SignedHead;

/// Bytes of a notice.
pub const NOTICE_BYTES: usize = 32 + 8 + 32 + 64;

/// A notice, read but not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    organisation: OrganisationId,
    seq: HeadSeq,
    head: HeadHash,
    signature: Signature,
}

/// A notice that its organisation's chain key signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedNotice(Notice);

/// Why bytes are no notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a notice has {NOTICE_BYTES} bytes, this has {0}")]
pub struct NoticeLength(pub usize);

impl Notice {
    /// Reads a notice.
    ///
    /// # Errors
    /// [`NoticeLength`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoticeLength> {
        let wrong = NoticeLength(bytes.len());
        let (organisation, rest) = bytes.split_first_chunk::<32>().ok_or(wrong)?;
        let (seq, rest) = rest.split_first_chunk::<8>().ok_or(wrong)?;
        let (head, rest) = rest.split_first_chunk::<32>().ok_or(wrong)?;
        let signature: [u8; 64] = rest.try_into().map_err(|_| wrong)?;
        Ok(Self {
            organisation: OrganisationId::from_bytes(*organisation),
            seq: HeadSeq(u64::from_be_bytes(*seq)),
            head: HeadHash::from_bytes(*head),
            signature: Bytes(signature),
        })
    }

    /// Whose chain it is about.
    pub const fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// The number that it claims for the head, which says of what epoch the key is that must have signed it.
    pub const fn claimed_seq(&self) -> HeadSeq {
        self.seq
    }

    /// The hash that it claims for the head.
    pub const fn claimed_head(&self) -> HeadHash {
        self.head
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`SignatureInvalid`].
    pub fn verify(self, chain_key: &PublicKey) -> Result<SignedNotice, SignatureInvalid> {
        chain_key.verify(&message(&self.organisation, self.seq, &self.head), &self.signature)?;
        Ok(SignedNotice(self))
    }
}

impl SignedNotice {
    /// A notice of a head, by the key that signed it.
    pub fn of(head: &SignedHead, chain_key: &dyn Signer) -> Self {
        let (organisation, seq, head) = (head.organisation(), head.seq(), head.hash());
        let signature = chain_key.sign(&message(&organisation, seq, &head));
        Self(Notice { organisation, seq, head, signature })
    }

    /// The notice's bytes.
    pub fn to_bytes(&self) -> [u8; NOTICE_BYTES] {
        let mut bytes = [0; NOTICE_BYTES];
        let parts: [&[u8]; 4] = [
            self.0.organisation.as_bytes(),
            &self.0.seq.0.to_be_bytes(),
            self.0.head.as_bytes(),
            &self.0.signature.0,
        ];
        let all = parts.into_iter().flatten();
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Whose chain it is about.
    pub const fn organisation(&self) -> OrganisationId {
        self.0.organisation
    }

    /// The head's number.
    pub const fn seq(&self) -> HeadSeq {
        self.0.seq
    }

    /// The head's hash.
    pub const fn head(&self) -> HeadHash {
        self.0.head
    }
}

/// What is signed. No head, checkpoint or receipt begins like this.
fn message(organisation: &OrganisationId, seq: HeadSeq, head: &HeadHash) -> Vec<u8> {
    let mut message = b"counterfoil/notice/v1\n".to_vec();
    message.extend_from_slice(organisation.as_bytes());
    message.extend_from_slice(&seq.0.to_be_bytes());
    message.extend_from_slice(head.as_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SecretKey;

    fn signed() -> (SignedNotice, SecretKey) {
        let key = SecretKey::from_seed(&[3; 32]);
        let (organisation, seq) = (OrganisationId::from_bytes([1; 32]), HeadSeq(7));
        let head = HeadHash::from_bytes([2; 32]);
        let signature = key.sign(&message(&organisation, seq, &head));
        (SignedNotice(Notice { organisation, seq, head, signature }), key)
    }

    #[test]
    fn a_notice_is_read_back_and_each_of_its_bytes_is_signed() {
        let (notice, key) = signed();
        let bytes = notice.to_bytes();
        assert_eq!(Notice::parse(&bytes).unwrap().verify(&key.public_key()), Ok(notice));
        for place in 0..NOTICE_BYTES {
            let mut changed = bytes;
            changed[place] ^= 1;
            assert!(Notice::parse(&changed).unwrap().verify(&key.public_key()).is_err(), "byte {place}");
        }
    }

    #[test]
    fn any_other_length_is_refused() {
        let bytes = signed().0.to_bytes();
        assert_eq!(Notice::parse(&bytes[1..]), Err(NoticeLength(NOTICE_BYTES - 1)));
        assert_eq!(Notice::parse(&[bytes.as_slice(), &[0]].concat()), Err(NoticeLength(NOTICE_BYTES + 1)));
    }
}
