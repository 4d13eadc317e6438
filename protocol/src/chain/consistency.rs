//! COSE receipts (RFC 9942) of consistency: the chain, when it was smaller, was the beginning of what it is now.
//!
//! ```text
//! 18([ << { 1: -8, 4: kid, 15: { 1: iss }, 395: 1 } >>,
//!      { 396: { -2: [ << [ older size, newer size, [ * hash ] ] >> ] } }, nil, signature over the newer root ])
//! ```
//!
//! The payload is detached: it is the newer root. The signature is that of the receipts of inclusion of that size.

use super::proof::verify_consistency;
use super::receipt::{Opened, ReceiptError, assemble, read_proof};
use super::tree::Hash;
use crate::codec::CodecError;
use crate::cose;
use crate::ids::{OrganisationId, TreeSize};
use crate::keys::{PublicKey, Signature};

/// Label of proofs of consistency.
const CONSISTENCY: i64 = -2;

/// A receipt of consistency, read but not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyReceipt {
    protected: Vec<u8>,
    issuer: String,
    /// Size of the older tree.
    pub from: TreeSize,
    /// Size of the newer tree.
    pub to: TreeSize,
    proof: Vec<Hash>,
    signature: Signature,
}

/// Puts a receipt together from the newer root's signature and a proof (RFC 9162, section 2.1.4).
///
/// # Errors
/// [`CodecError`], which no legal proof causes.
pub fn consistency_receipt(
    organisation: &OrganisationId,
    chain_key: &PublicKey,
    root_signature: &Signature,
    from: TreeSize,
    to: TreeSize,
    proof: &[Hash],
) -> Result<Vec<u8>, CodecError> {
    assemble(organisation, chain_key, root_signature, CONSISTENCY, [from.0, to.0], proof)
}

impl ConsistencyReceipt {
    /// Reads a receipt of consistency with a detached payload.
    ///
    /// # Errors
    /// [`ReceiptError::Codec`], [`ReceiptError::Form`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let Opened { protected, issuer, unprotected, signature } = Opened::parse(bytes)?;
        let ([from, to], proof) = read_proof(unprotected, CONSISTENCY)?;
        Ok(Self { protected, issuer, from: TreeSize(from), to: TreeSize(to), proof, signature })
    }

    /// Checks the signature over the newer root, and then that the tree of the older root is its beginning.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn verify(
        &self,
        organisation: &OrganisationId,
        chain_key: &PublicKey,
        older: &Hash,
        newer: &Hash,
    ) -> Result<(), ReceiptError> {
        if self.issuer != organisation.to_string() {
            return Err(ReceiptError::Issuer { expected: *organisation, found: self.issuer.clone() });
        }
        let message = cose::to_be_signed(&self.protected, &newer.0);
        chain_key.verify(&message, &self.signature).map_err(|_| ReceiptError::Signature)?;
        Ok(verify_consistency(self.from, older, self.to, newer, &self.proof)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::proof::{LeafHashes, ProofError, consistency_proof};
    use crate::chain::receipt::{Receipt, sign_root};
    use crate::chain::tree::{CompactRange, LeafDigest};
    use crate::keys::{SecretKey, Signer as _};

    /// The receipt that leads from a tree of `from` to one of `to` leaves, and both roots.
    fn sample(from: u64, to: u64) -> (OrganisationId, PublicKey, Vec<u8>, Hash, Hash) {
        let (organisation, key) = (OrganisationId::from_bytes([1; 32]), SecretKey::from_seed(&[1; 32]));
        let leaves = LeafHashes((0..to).map(|n| LeafDigest::of(&n.to_be_bytes()).leaf_hash()).collect());
        let root = |size: u64| {
            let mut range = CompactRange::default();
            leaves.0.iter().take(size as usize).for_each(|leaf| range.append(*leaf));
            range.root()
        };
        let signature = sign_root(&organisation, &key, &root(to)).unwrap();
        let proof = consistency_proof(&leaves, TreeSize(from), TreeSize(to)).unwrap();
        let (from_size, to_size) = (TreeSize(from), TreeSize(to));
        let key = key.public_key();
        let bytes = consistency_receipt(&organisation, &key, &signature, from_size, to_size, &proof).unwrap();
        (organisation, key, bytes, root(from), root(to))
    }

    #[test]
    fn only_the_two_trees_of_a_receipt_are_consistent() {
        let (organisation, key, bytes, older, newer) = sample(5, 13);
        let receipt = ConsistencyReceipt::parse(&bytes).unwrap();
        assert_eq!((receipt.from, receipt.to), (TreeSize(5), TreeSize(13)));
        assert_eq!(receipt.verify(&organisation, &key, &older, &newer), Ok(()));
        let (.., another, _) = sample(6, 13);
        assert_eq!(
            receipt.verify(&organisation, &key, &another, &newer),
            Err(ReceiptError::Proof(ProofError::Root))
        );
        assert_eq!(receipt.verify(&organisation, &key, &older, &another), Err(ReceiptError::Signature));
        let stranger = OrganisationId::from_bytes([9; 32]);
        assert!(matches!(receipt.verify(&stranger, &key, &older, &newer), Err(ReceiptError::Issuer { .. })));
        // Neither kind passes for the other.
        assert!(matches!(Receipt::parse(&bytes), Err(ReceiptError::Form(_))));
    }

    proptest! {
        #[test]
        fn every_pair_of_sizes_has_a_receipt_and_no_changed_byte_passes(
            to in 1u64..40, share in 0u64..40, at in any::<prop::sample::Index>(), bits in 1u8..
        ) {
            let from = share % to + 1;
            let (organisation, key, bytes, older, newer) = sample(from, to);
            let verify = |bytes: &[u8]| {
                let receipt = ConsistencyReceipt::parse(bytes)?;
                // Sizes are not signed: who asks knows which trees it means.
                if (receipt.from, receipt.to) != (TreeSize(from), TreeSize(to)) {
                    return Err(ReceiptError::Checkpoint);
                }
                receipt.verify(&organisation, &key, &older, &newer)
            };
            prop_assert_eq!(verify(&bytes), Ok(()));
            let mut changed = bytes.clone();
            let at = at.index(changed.len());
            changed[at] ^= bits;
            prop_assert!(verify(&changed).is_err());
        }
    }
}
