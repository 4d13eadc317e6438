//! COSE receipts (RFC 9942) of inclusion, for verifiable data structure 1 (`RFC9162_SHA256`).
//!
//! ```text
//! 18([ << { 1: -8, 4: kid, 15: { 1: iss }, 395: 1 } >>,
//!      { 396: { -1: [ << [ tree size, leaf index, [ * hash ] ] >> ] } }, nil, signature over the root ])
//! ```
//!
//! The payload is detached: it is the root. Tree size and leaf index are *not* signed; they are bound by a checkpoint of
//! the same root, which therefore always travels beside a receipt. The signature is the same for every receipt of one
//! tree size, so a head carries it once and anybody with the hashes can make receipts.

use std::collections::BTreeMap;

use super::checkpoint::Checkpoint;
use super::proof::{ProofError, root_from_inclusion};
use super::tree::{Hash, LeafDigest};
use crate::codec::{self, CodecError, Value};
use crate::cose::{self, ALG_EDDSA, Label, int, label};
use crate::ids::{Bytes, OrganisationId, Position, TreeSize};
use crate::keys::{PublicKey, Signature, Signer};
use crate::limits::{NOTE_BYTES_MAX, PROOF_HASHES_MAX};

/// COSE algorithm Ed25519 (RFC 9864), accepted beside EdDSA.
const ALG_ED25519: i64 = -19;
/// Header of the verifiable data structure.
const VDS: i64 = 395;
/// Header of its proofs.
const VDP: i64 = 396;
/// Label of proofs of inclusion.
const INCLUSION: i64 = -1;

/// Why a receipt does not prove that a statement is in a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not strict CBOR.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// Not the form of a receipt.
    #[error("not a receipt: {0}")]
    Form(&'static str),
    /// Issued by another log.
    #[error("it was issued by {found:?}, not by {expected}")]
    Issuer {
        /// The organisation asked for.
        expected: OrganisationId,
        /// The issuer named.
        found: String,
    },
    /// The path has the wrong form.
    #[error("{0}")]
    Proof(#[from] ProofError),
    /// The signature over the root is wrong: path, root, leaf or key is not the right one.
    #[error("the signature over the root that the path leads to does not verify")]
    Signature,
    /// The checkpoint beside it is of another tree.
    #[error("the checkpoint beside the receipt has another size or root")]
    Checkpoint,
}

/// A receipt, read but not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    protected: Vec<u8>,
    issuer: String,
    /// Size of the tree that the path is in; not signed.
    pub size: TreeSize,
    /// Position of the leaf; not signed.
    pub position: Position,
    path: Vec<Hash>,
    signature: Signature,
}

fn protected(organisation: &OrganisationId, key: &PublicKey) -> Result<Vec<u8>, CodecError> {
    cose::protected(vec![
        (int(1), int(ALG_EDDSA)),
        (int(4), Value::Bytes(key.id().as_bytes().to_vec())),
        (int(15), Value::Map(vec![(int(1), Value::Text(organisation.to_string()))])),
        (int(VDS), int(1)),
    ])
}

/// Signs a root, once for all receipts of its tree size.
///
/// # Errors
/// [`CodecError`], which no organisation id causes.
pub fn sign_root(
    organisation: &OrganisationId,
    signer: &dyn Signer,
    root: &Hash,
) -> Result<Signature, CodecError> {
    let protected = protected(organisation, &signer.public_key())?;
    Ok(signer.sign(&cose::to_be_signed(&protected, &root.0)))
}

/// Checks what [`sign_root`] made.
///
/// # Errors
/// [`ReceiptError::Signature`].
pub fn verify_root_signature(
    organisation: &OrganisationId,
    chain_key: &PublicKey,
    root: &Hash,
    signature: &Signature,
) -> Result<(), ReceiptError> {
    let protected = protected(organisation, chain_key)?;
    let message = cose::to_be_signed(&protected, &root.0);
    chain_key.verify(&message, signature).map_err(|_| ReceiptError::Signature)
}

/// Puts a receipt together from a signed root and a path.
///
/// # Errors
/// [`CodecError`], which no legal path causes.
pub fn receipt(
    organisation: &OrganisationId,
    chain_key: &PublicKey,
    root_signature: &Signature,
    size: TreeSize,
    position: Position,
    path: &[Hash],
) -> Result<Vec<u8>, CodecError> {
    assemble(organisation, chain_key, root_signature, INCLUSION, [size.0, position.0], path)
}

/// A receipt whose proof of that kind is two numbers and hashes.
pub(super) fn assemble(
    organisation: &OrganisationId,
    chain_key: &PublicKey,
    root_signature: &Signature,
    kind: i64,
    [first, second]: [u64; 2],
    hashes: &[Hash],
) -> Result<Vec<u8>, CodecError> {
    let hashes = hashes.iter().map(|hash| Value::Bytes(hash.0.to_vec())).collect();
    let proof = codec::to_bytes(&Value::Array(vec![
        Value::Integer(first.into()),
        Value::Integer(second.into()),
        Value::Array(hashes),
    ]))?;
    let proofs = Value::Map(vec![(int(kind), Value::Array(vec![Value::Bytes(proof)]))]);
    let unprotected = codec::to_bytes(&Value::Map(vec![(int(VDP), proofs)]))?;
    let protected = codec::to_bytes(&Value::Bytes(protected(organisation, chain_key)?))?;
    let signature = codec::to_bytes(&Value::Bytes(root_signature.0.to_vec()))?;
    let mut bytes = vec![0xd2, 0x84];
    bytes.extend_from_slice(&protected);
    bytes.extend_from_slice(&unprotected);
    bytes.push(0xf6);
    bytes.extend_from_slice(&signature);
    Ok(bytes)
}

impl Receipt {
    /// Hashes from the leaf to the root.
    pub fn path(&self) -> &[Hash] {
        &self.path
    }

    /// Reads a receipt of inclusion with a detached payload.
    ///
    /// # Errors
    /// [`ReceiptError::Codec`], [`ReceiptError::Form`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let Opened { protected, issuer, unprotected, signature } = Opened::parse(bytes)?;
        let ([size, position], path) = read_proof(unprotected, INCLUSION)?;
        Ok(Self { protected, issuer, size: TreeSize(size), position: Position(position), path, signature })
    }

    /// Checks that the receipt proves `leaf` in the chain of `organisation`, and gives the root that it proves it for.
    ///
    /// The size and position stay unauthenticated; use [`Self::verify_with_checkpoint`] where they matter.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn verify(
        &self,
        organisation: &OrganisationId,
        chain_key: &PublicKey,
        leaf: &LeafDigest,
    ) -> Result<Hash, ReceiptError> {
        if self.issuer != organisation.to_string() {
            return Err(ReceiptError::Issuer { expected: *organisation, found: self.issuer.clone() });
        }
        let root = root_from_inclusion(&leaf.leaf_hash(), self.position, self.size, &self.path)?;
        let message = cose::to_be_signed(&self.protected, &root.0);
        chain_key.verify(&message, &self.signature).map_err(|_| ReceiptError::Signature)?;
        Ok(root)
    }

    /// Checks the receipt against a checkpoint that was opened for the same organisation, which binds size and position.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn verify_with_checkpoint(
        &self,
        organisation: &OrganisationId,
        chain_key: &PublicKey,
        leaf: &LeafDigest,
        checkpoint: &Checkpoint,
    ) -> Result<(), ReceiptError> {
        let root = self.verify(organisation, chain_key, leaf)?;
        if root == checkpoint.root && self.size == checkpoint.size {
            Ok(())
        } else {
            Err(ReceiptError::Checkpoint)
        }
    }
}

/// A receipt of either kind, taken apart.
pub(super) struct Opened {
    pub(super) protected: Vec<u8>,
    pub(super) issuer: String,
    pub(super) unprotected: Vec<(Value, Value)>,
    pub(super) signature: Signature,
}

impl Opened {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let form = ReceiptError::Form;
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(CodecError::TooLong { length: bytes.len(), max: NOTE_BYTES_MAX }.into());
        }
        // The payload is nil, which strict CBOR has no place for: read the array's four items around it.
        let Some(items) = bytes.strip_prefix(&[0xd2, 0x84]) else {
            return Err(form("it is no tagged array of four"));
        };
        let (protected, rest) = codec::first_item(items)?;
        let (unprotected, rest) = codec::first_item(rest)?;
        let rest = rest.strip_prefix(&[0xf6]).ok_or(form("the payload is not detached"))?;
        let (signature, rest) = codec::first_item(rest)?;
        let (Value::Bytes(protected), Value::Map(unprotected), Value::Bytes(signature), []) =
            (protected, unprotected, signature, rest)
        else {
            return Err(form("the items have other types"));
        };
        let issuer = read_protected(&protected)?;
        let signature = signature.try_into().map(Bytes).map_err(|_| form("a signature has 64 bytes"))?;
        Ok(Self { protected, issuer, unprotected, signature })
    }
}

fn read_protected(bytes: &[u8]) -> Result<String, ReceiptError> {
    let form = ReceiptError::Form;
    let Value::Map(entries) = codec::from_bytes(bytes, bytes.len())? else {
        return Err(form("the protected header is no map"));
    };
    let mut headers: BTreeMap<i64, Value> = BTreeMap::new();
    for (name, value) in entries {
        match label(&name) {
            Label::Int(n) => headers.insert(n, value),
            _ => return Err(form("a protected header is not known")),
        };
    }
    let number =
        |value: Option<Value>| value.and_then(|v| v.into_integer().ok()).and_then(|n| i64::try_from(n).ok());
    if !matches!(number(headers.remove(&1)), Some(ALG_EDDSA | ALG_ED25519)) {
        return Err(form("the algorithm is neither EdDSA nor Ed25519"));
    }
    if number(headers.remove(&VDS)) != Some(1) {
        return Err(form("the verifiable data structure is not RFC9162_SHA256"));
    }
    headers.remove(&4);
    let claims = headers.remove(&15).and_then(|value| value.into_map().ok()).unwrap_or_default();
    if !headers.is_empty() {
        return Err(form("a protected header is not known"));
    }
    claims
        .into_iter()
        .find(|(name, _)| label(name) == Label::Int(1))
        .and_then(|(_, value)| value.into_text().ok())
        .ok_or(form("it names no issuer, so it is bound to no log"))
}

/// The two numbers and the hashes of the one proof, which is of that kind.
pub(super) fn read_proof(
    unprotected: Vec<(Value, Value)>,
    kind: i64,
) -> Result<([u64; 2], Vec<Hash>), ReceiptError> {
    let refuse = ReceiptError::Form("it has not exactly one proof of the kind asked for");
    let single = |entries: Vec<(Value, Value)>, wanted: i64| {
        let [(name, value)] = <[(Value, Value); 1]>::try_from(entries).ok()?;
        (label(&name) == Label::Int(wanted)).then_some(value)
    };
    let Some(Value::Map(proofs)) = single(unprotected, VDP) else { return Err(refuse) };
    let Some(Value::Array(mut proofs)) = single(proofs, kind) else { return Err(refuse) };
    let (Some(Value::Bytes(proof)), true) = (proofs.pop(), proofs.is_empty()) else { return Err(refuse) };
    // Not as a tuple, which would let more elements follow.
    let Value::Array(parts) = codec::from_bytes(&proof, NOTE_BYTES_MAX)? else { return Err(refuse) };
    let Ok([first, second, hashes]) = <[Value; 3]>::try_from(parts) else { return Err(refuse) };
    let hashes: Vec<Hash> = codec::from_value(hashes)?;
    if hashes.len() > PROOF_HASHES_MAX {
        return Err(refuse);
    }
    Ok(([codec::from_value(first)?, codec::from_value(second)?], hashes))
}

/// A `.tlog-proof` (C2SP tlog-proof): index, path and signed checkpoint in one text.
pub fn tlog_proof(position: Position, path: &[Hash], checkpoint: &str) -> String {
    use base64::Engine as _;
    let mut text = format!("c2sp.org/tlog-proof@v1\nindex {position}\n");
    for hash in path {
        text.push_str(&base64::engine::general_purpose::STANDARD.encode(hash.0));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(checkpoint);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::proof::{LeafHashes, inclusion_proof};
    use crate::chain::tree::CompactRange;
    use crate::keys::SecretKey;

    fn sample(size: u64, position: u64) -> (OrganisationId, SecretKey, LeafDigest, Hash, Vec<u8>) {
        let organisation = OrganisationId::from_bytes([1; 32]);
        let key = SecretKey::from_seed(&[1; 32]);
        let digests: Vec<LeafDigest> = (0..size).map(|n| LeafDigest::of(&n.to_be_bytes())).collect();
        let leaves = LeafHashes(digests.iter().map(LeafDigest::leaf_hash).collect());
        let mut range = CompactRange::default();
        leaves.0.iter().for_each(|leaf| range.append(*leaf));
        let signature = sign_root(&organisation, &key, &range.root()).unwrap();
        let path = inclusion_proof(&leaves, Position(position), TreeSize(size)).unwrap();
        let bytes =
            receipt(&organisation, &key.public_key(), &signature, TreeSize(size), Position(position), &path);
        (organisation, key, digests[position as usize], range.root(), bytes.unwrap())
    }

    #[test]
    fn receipts_verify_for_their_leaf_key_and_organisation_alone() {
        for (size, position) in [(1, 0), (5, 0), (5, 4), (8, 3)] {
            let (organisation, key, leaf, root, bytes) = sample(size, position);
            let receipt = Receipt::parse(&bytes).unwrap();
            let chain_key = key.public_key();
            assert_eq!(receipt.verify(&organisation, &chain_key, &leaf), Ok(root));
            let other_leaf = LeafDigest::of(b"other");
            assert_eq!(receipt.verify(&organisation, &chain_key, &other_leaf), Err(ReceiptError::Signature));
            let stranger = SecretKey::from_seed(&[2; 32]).public_key();
            assert_eq!(receipt.verify(&organisation, &stranger, &leaf), Err(ReceiptError::Signature));
            let other = OrganisationId::from_bytes([9; 32]);
            assert!(matches!(receipt.verify(&other, &chain_key, &leaf), Err(ReceiptError::Issuer { .. })));
        }
    }

    #[test]
    fn a_proof_has_three_parts_and_no_more() {
        let (.., bytes) = sample(5, 0);
        let receipt = Receipt::parse(&bytes).unwrap();
        let path = receipt.path.iter().map(|hash| Value::Bytes(hash.0.to_vec())).collect();
        let mut parts = vec![int(5), int(0), Value::Array(path)];
        let proof = |parts: &[Value]| {
            let proof = codec::to_bytes(&Value::Array(parts.to_vec())).unwrap();
            codec::to_bytes(&Value::Bytes(proof)).unwrap()
        };
        let whole = proof(&parts);
        let at = bytes.windows(whole.len()).position(|window| window == whole).unwrap();
        parts.push(int(0));
        let longer = [&bytes[..at], &proof(&parts), &bytes[at + whole.len()..]].concat();
        assert!(matches!(Receipt::parse(&longer), Err(ReceiptError::Form(_))));
    }

    #[test]
    fn a_rewritten_tree_size_is_caught_by_the_checkpoint_beside_the_receipt() {
        let (organisation, key, leaf, root, bytes) = sample(5, 0);
        let mut receipt = Receipt::parse(&bytes).unwrap();
        let checkpoint = |size| Checkpoint { origin: String::new(), size: TreeSize(size), root };
        let verify = |receipt: &Receipt, size| {
            receipt.verify_with_checkpoint(&organisation, &key.public_key(), &leaf, &checkpoint(size))
        };
        assert_eq!(verify(&receipt, 5), Ok(()));
        receipt.size = TreeSize(6);
        assert_eq!(receipt.verify(&organisation, &key.public_key(), &leaf), Ok(root), "not signed");
        assert_eq!(verify(&receipt, 5), Err(ReceiptError::Checkpoint));
    }

    #[test]
    fn no_byte_of_a_receipt_can_be_changed_unseen_but_the_unsigned_numbers() {
        let (organisation, key, leaf, root, bytes) = sample(5, 3);
        let checkpoint = Checkpoint { origin: String::new(), size: TreeSize(5), root };
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let accepted = Receipt::parse(&changed).is_ok_and(|receipt| {
                    receipt.position == Position(3)
                        && receipt
                            .verify_with_checkpoint(&organisation, &key.public_key(), &leaf, &checkpoint)
                            .is_ok()
                });
                assert!(!accepted, "byte {at}, bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Receipt::parse(&bytes);
            let mut tagged = vec![0xd2, 0x84];
            tagged.extend_from_slice(&bytes);
            let _ = Receipt::parse(&tagged);
        }
    }
}
