//! Heads: what an organisation says, again and again, its chain to be.
//!
//! A head is a COSE_Sign1 by the chain key over the signed checkpoint, the head's place in the sequence of heads, the
//! previous head, and the digest over the standing statements. Two different heads with one sequence number prove that
//! their organisation misbehaved.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, CheckpointError, origin};
use super::note::{Note, NoteError};
use super::receipt::{ReceiptError, sign_root, verify_root_signature};
use super::tree::Hash;
use crate::codec::{self, CodecError, Value};
use crate::cose::{self, ALG_EDDSA, Label, Sign1, StructureError, int, label};
use crate::digest::blake3;
use crate::identity::StandingDigest;
use crate::ids::{ByteString, HeadHash, HeadSeq, KeyId, OrganisationId, Timestamp, TreeSize};
use crate::keys::{PublicKey, Signature, SignatureInvalid, Signer};
use crate::limits::HEAD_BYTES_MAX;

const CONTENT_TYPE: &str = "application/vnd.counterfoil.head+cbor";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    checkpoint: ByteString,
    receipt: Signature,
    seq: HeadSeq,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<HeadHash>,
    standing: StandingDigest,
}

/// A head, read but not verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    bytes: Arc<[u8]>,
    hash: HeadHash,
    organisation: OrganisationId,
    key: KeyId,
    issued_at: Timestamp,
    body: Body,
    note: Note,
    checkpoint: Checkpoint,
}

/// A head whose three signatures (head, checkpoint, receipt root) its organisation's chain key made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead(Arc<Head>);

/// Why bytes are not a head of the organisation that they name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Too long.
    #[error("a head has at most {HEAD_BYTES_MAX} bytes, this has {0}")]
    TooLong(usize),
    /// See the inner error.
    #[error("{0}")]
    Structure(#[from] StructureError),
    /// See the inner error.
    #[error("head: {0}")]
    Codec(#[from] CodecError),
    /// The protected header is not a head's.
    #[error("head: protected header: {0}")]
    Header(&'static str),
    /// See the inner error.
    #[error("head: checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// See the inner error.
    #[error("head: checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The head's own signature is wrong.
    #[error("head: {0}")]
    Signature(#[from] SignatureInvalid),
    /// The signature for receipts is wrong.
    #[error("head: receipt root: {0}")]
    Receipt(#[from] ReceiptError),
    /// It is of another chain.
    #[error("head: it is a head of {found}, not of {expected}")]
    OtherOrganisation {
        /// The chain it was offered for.
        expected: OrganisationId,
        /// The chain it names.
        found: OrganisationId,
    },
    /// It names another key than the one that signs its epoch.
    #[error("head: it names the key {found}, while {expected} signs heads of its epoch")]
    Key {
        /// The epoch's chain key.
        expected: KeyId,
        /// The key that it names.
        found: KeyId,
    },
    /// Its number is of another epoch of the chain key than its size.
    #[error(
        "head: number {seq} is of epoch {} of the chain key, while as far as is known here epoch {epoch} signs trees of \
         {size} statements",
        crate::identity::epoch_of(*seq)
    )]
    Epoch {
        /// Its sequence number.
        seq: HeadSeq,
        /// How many statements it covers.
        size: TreeSize,
        /// The epoch that signs trees of that size.
        epoch: u64,
    },
}

/// What a head is to say.
#[derive(Debug, Clone)]
pub struct HeadDraft {
    /// Whose chain.
    pub organisation: OrganisationId,
    /// Which head of it.
    pub seq: HeadSeq,
    /// The head before it; none for the first.
    pub previous: Option<HeadHash>,
    /// Number of statements.
    pub size: TreeSize,
    /// Root of the tree.
    pub root: Hash,
    /// Digest over the standing statements.
    pub standing: StandingDigest,
    /// When it is made.
    pub issued_at: Timestamp,
}

impl HeadDraft {
    /// Signs the checkpoint, the root for receipts, and the head.
    ///
    /// # Errors
    /// [`HeadError`], which no legal draft causes.
    pub fn sign(&self, chain_key: &dyn Signer) -> Result<SignedHead, HeadError> {
        let origin = origin(&self.organisation);
        let checkpoint = Checkpoint { origin, size: self.size, root: self.root };
        let mut note = Note::new(&checkpoint.to_text())?;
        note.sign(&checkpoint.origin, chain_key);
        let body = Body {
            checkpoint: ByteString(note.to_string().into_bytes()),
            receipt: sign_root(&self.organisation, chain_key, &self.root)?,
            seq: self.seq,
            previous: self.previous,
            standing: self.standing,
        };
        let claims = vec![
            (int(1), Value::Text(self.organisation.to_string())),
            (int(6), Value::Integer(self.issued_at.0.into())),
        ];
        let protected = cose::protected(vec![
            (int(1), int(ALG_EDDSA)),
            (int(3), Value::Text(CONTENT_TYPE.into())),
            (int(4), Value::Bytes(chain_key.public_key().id().as_bytes().to_vec())),
            (int(15), Value::Map(claims)),
        ])?;
        let payload = codec::encode(&body)?;
        let signature = chain_key.sign(&cose::to_be_signed(&protected, &payload));
        Head::parse(cose::assemble(&protected, &payload, &signature)).map(|head| SignedHead(Arc::new(head)))
    }
}

impl Head {
    /// Reads a head.
    ///
    /// # Errors
    /// [`HeadError`], never for a signature.
    pub fn parse(bytes: impl Into<Arc<[u8]>>) -> Result<Self, HeadError> {
        let bytes = bytes.into();
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(HeadError::TooLong(bytes.len()));
        }
        let parts = Sign1::parse(&bytes)?;
        let (organisation, key, issued_at) = read_protected(bytes.get(parts.protected).unwrap_or_default())?;
        let body: Body = codec::decode(bytes.get(parts.payload).unwrap_or_default(), HEAD_BYTES_MAX)?;
        let note = Note::parse(&body.checkpoint.0)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        let hash = HeadHash::from_bytes(blake3(&bytes));
        Ok(Self { bytes, hash, organisation, key, issued_at, body, note, checkpoint })
    }

    /// Whose head it says to be.
    pub const fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// BLAKE3 of its bytes.
    pub const fn hash(&self) -> HeadHash {
        self.hash
    }

    /// The signed checkpoint that it carries.
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// The number of statements that it claims to cover.
    pub const fn claimed_size(&self) -> TreeSize {
        self.checkpoint.size
    }

    /// The root that it claims for that size.
    pub const fn claimed_root(&self) -> Hash {
        self.checkpoint.root
    }

    /// The sequence number that it claims.
    pub const fn claimed_seq(&self) -> HeadSeq {
        self.body.seq
    }

    /// Checks all three signatures.
    ///
    /// # Errors
    /// [`HeadError`], naming the one that is wrong.
    pub fn verify(self, chain_key: &PublicKey) -> Result<SignedHead, HeadError> {
        let (expected, found) = (chain_key.id(), self.key);
        if found != expected {
            return Err(HeadError::Key { expected, found });
        }
        let parts = Sign1::parse(&self.bytes)?;
        let protected = self.bytes.get(parts.protected).unwrap_or_default();
        let payload = self.bytes.get(parts.payload).unwrap_or_default();
        chain_key.verify(&cose::to_be_signed(protected, payload), &parts.signature)?;
        Checkpoint::open(&self.body.checkpoint.0, &self.organisation, *chain_key)?;
        verify_root_signature(&self.organisation, chain_key, &self.checkpoint.root, &self.body.receipt)?;
        Ok(SignedHead(Arc::new(self)))
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "head {} of {:?}, size {}", self.body.seq, self.organisation, self.checkpoint.size)
    }
}

impl SignedHead {
    /// Whose head.
    pub fn organisation(&self) -> OrganisationId {
        self.0.organisation
    }

    /// BLAKE3 of its bytes.
    pub fn hash(&self) -> HeadHash {
        self.0.hash
    }

    /// The chain key that signed it.
    pub fn key(&self) -> KeyId {
        self.0.key
    }

    /// Its bytes as they arrived.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.0.bytes
    }

    /// Which head of its chain.
    pub fn seq(&self) -> HeadSeq {
        self.0.body.seq
    }

    /// The head before it.
    pub fn previous(&self) -> Option<HeadHash> {
        self.0.body.previous
    }

    /// Number of statements under it.
    pub fn size(&self) -> TreeSize {
        self.0.checkpoint.size
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        self.0.checkpoint.root
    }

    /// Digest over the standing statements under it.
    pub fn standing(&self) -> StandingDigest {
        self.0.body.standing
    }

    /// When its author says that it was made.
    pub fn issued_at(&self) -> Timestamp {
        self.0.issued_at
    }

    /// The signed checkpoint.
    pub fn note(&self) -> &Note {
        &self.0.note
    }

    /// The signature that every receipt of this size carries.
    pub fn receipt_signature(&self) -> &Signature {
        &self.0.body.receipt
    }
}

fn read_protected(bytes: &[u8]) -> Result<(OrganisationId, KeyId, Timestamp), HeadError> {
    let wrong = HeadError::Header;
    let Value::Map(entries) = codec::from_bytes(bytes, bytes.len())? else {
        return Err(wrong("it is not a map"));
    };
    let (mut algorithm, mut content_type, mut key, mut claims) = (None, None, None, None);
    for (name, value) in entries {
        match (label(&name), value) {
            (Label::Int(1), Value::Integer(n)) => algorithm = i64::try_from(n).ok(),
            (Label::Int(3), Value::Text(text)) => content_type = Some(text),
            (Label::Int(4), Value::Bytes(bytes)) => {
                key = <[u8; 32]>::try_from(bytes).ok().map(KeyId::from_bytes)
            }
            (Label::Int(15), Value::Map(entries)) => claims = Some(entries),
            _ => return Err(wrong("a label has no place here")),
        }
    }
    let key = key.filter(|_| algorithm == Some(ALG_EDDSA) && content_type.as_deref() == Some(CONTENT_TYPE));
    let key = key.ok_or(wrong("algorithm, content type or key id is not a head's"))?;
    let (mut organisation, mut issued_at) = (None, None);
    for (name, value) in claims.unwrap_or_default() {
        match (label(&name), value) {
            (Label::Int(1), Value::Text(text)) => organisation = text.parse().ok(),
            (Label::Int(6), Value::Integer(n)) => issued_at = u64::try_from(n).ok().map(Timestamp),
            _ => return Err(wrong("a claim has no place here")),
        }
    }
    let (organisation, issued_at) =
        organisation.zip(issued_at).ok_or(wrong("issuer or time of issue is missing"))?;
    Ok((organisation, key, issued_at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::tree::empty_root;
    use crate::keys::SecretKey;

    fn draft(seq: u64) -> HeadDraft {
        HeadDraft {
            organisation: OrganisationId::from_bytes([1; 32]),
            seq: HeadSeq(seq),
            previous: (seq > 0).then(|| HeadHash::from_bytes([2; 32])),
            size: TreeSize(seq),
            root: empty_root(),
            standing: StandingDigest::EMPTY,
            issued_at: Timestamp(5),
        }
    }

    #[test]
    fn a_head_is_read_back_and_verifies_under_its_chain_key_alone() {
        let key = SecretKey::from_seed(&[1; 32]);
        for seq in [0, 7] {
            let signed = draft(seq).sign(&key).unwrap();
            let head = Head::parse(signed.bytes().clone()).unwrap();
            assert_eq!(head.clone().verify(&key.public_key()).unwrap(), signed);
            assert_eq!((signed.seq(), signed.size()), (HeadSeq(seq), TreeSize(seq)));
            let stranger = SecretKey::from_seed(&[2; 32]).public_key();
            assert!(matches!(head.verify(&stranger), Err(HeadError::Key { .. })));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_changed_byte_verifies(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let key = SecretKey::from_seed(&[1; 32]);
            let mut bytes = draft(3).sign(&key).unwrap().bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let verified = Head::parse(bytes).ok().and_then(|head| head.verify(&key.public_key()).ok());
            prop_assert!(verified.is_none());
        }
    }
}
