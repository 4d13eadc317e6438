//! The same verification rule, faster for a key that has signed much: multiples of the key's point are computed once,
//! and kept.
//!
//! `verify_strict` accepts a signature (R, s) of a message by a key A when s is reduced, neither A nor R has small
//! order, and R is the encoding of `s B - H(R, A, message) A`. Here the same equation is computed from tables for both A
//! and B. R is never decoded: only the encoding of the point that was computed can equal it, so the order of that
//! point decides. Which signatures are accepted is exactly the same, and tested to be.

use std::fmt;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint, VartimeEdwardsPrecomputation};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity as _, VartimePrecomputedMultiscalarMul as _};
use sha2::{Digest as _, Sha512};

use super::{KeyError, PublicKey, Signature, SignatureInvalid, Verifier};
use crate::ids::KeyId;

/// A public key with its tables, some 20 KiB. Making them costs about as much as one verification.
pub struct PreparedKey {
    key: PublicKey,
    id: KeyId,
    /// For `-A` and `B`, in this order.
    multiples: VartimeEdwardsPrecomputation,
}

impl PreparedKey {
    /// Computes the tables.
    ///
    /// # Errors
    /// [`KeyError::Weak`], which a key that is well-formed does not give.
    pub fn new(key: PublicKey) -> Result<Self, KeyError> {
        let point = CompressedEdwardsY(*key.as_bytes()).decompress().ok_or(KeyError::Weak)?;
        let multiples = VartimeEdwardsPrecomputation::new([-point, ED25519_BASEPOINT_POINT]);
        Ok(Self { key, id: key.id(), multiples })
    }

    /// The key.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }
}

impl Verifier for PreparedKey {
    fn id(&self) -> KeyId {
        self.id
    }

    fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureInvalid> {
        let point = self.point(message, signature).ok_or(SignatureInvalid)?;
        if decides(&point, &point.compress(), signature) { Ok(()) } else { Err(SignatureInvalid) }
    }
}

impl PreparedKey {
    /// `s B - H(R, A, message) A`; nothing where s is not reduced.
    fn point(&self, message: &[u8], signature: &Signature) -> Option<EdwardsPoint> {
        let (r, s) = signature.0.split_first_chunk::<32>()?;
        let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s.try_into().ok()?))?;
        let hash = Sha512::new().chain_update(r).chain_update(self.key.as_bytes()).chain_update(message);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        Some(self.multiples.vartime_multiscalar_mul([k, s]))
    }
}

/// Whether the point that was computed, with its encoding, is the signature's R and has no small order.
fn decides(point: &EdwardsPoint, encoded: &CompressedEdwardsY, signature: &Signature) -> bool {
    signature.0.starts_with(encoded.as_bytes()) && !point.is_small_order()
}

/// Judges signatures one by one, each as [`Verifier::verify`] does; they share what encoding their points costs, and
/// none bears on another.
#[derive(Debug, Default)]
pub struct Judge {
    points: Vec<EdwardsPoint>,
    /// Each signature, and whether it has a point.
    signatures: Vec<(Signature, bool)>,
}

impl Judge {
    /// Takes a signature. The verdicts come in the order of the calls.
    pub fn add(&mut self, key: &PreparedKey, message: &[u8], signature: &Signature) {
        let point = key.point(message, signature);
        self.signatures.push((*signature, point.is_some()));
        self.points.push(point.unwrap_or_else(EdwardsPoint::identity));
    }

    /// Which signatures are valid.
    pub fn verdicts(self) -> Vec<bool> {
        let encoded = EdwardsPoint::compress_batch_alloc(&self.points);
        let all = self.points.iter().zip(&encoded).zip(&self.signatures);
        all.map(|((point, encoded), (signature, has))| *has && decides(point, encoded, signature)).collect()
    }
}

impl fmt::Debug for PreparedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreparedKey({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Bytes;
    use crate::keys::{SecretKey, Signer as _};

    fn agree(key: PublicKey, message: &[u8], signature: &Signature) -> bool {
        let plain = key.verify(message, signature);
        let prepared = PreparedKey::new(key).unwrap();
        assert_eq!(prepared.verify(message, signature), plain, "{signature:?}");
        // Among others, right and wrong.
        let (other, mut judge) = (SecretKey::from_seed(&[9; 32]), Judge::default());
        let others = PreparedKey::new(other.public_key()).unwrap();
        judge.add(&others, b"other", &other.sign(b"other"));
        judge.add(&prepared, message, signature);
        judge.add(&others, b"another", &other.sign(b"other"));
        judge.add(&others, b"other", &Bytes([0xff; 64]));
        assert_eq!(judge.verdicts(), [true, plain.is_ok(), false, false]);
        plain.is_ok()
    }

    fn hash(r: &[u8; 32], a: &[u8; 32], message: &[u8]) -> Scalar {
        let hash = Sha512::new().chain_update(r).chain_update(a).chain_update(message);
        Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
    }

    fn signature(r: EdwardsPoint, s: &Scalar) -> Signature {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(r.compress().as_bytes());
        bytes[32..].copy_from_slice(s.as_bytes());
        Bytes(bytes)
    }

    #[test]
    fn points_with_torsion_are_judged_alike() {
        // A = aB + T, R = rB + U for all T and U of small order, with s made so that the equation holds wherever it can.
        let (a, r) = (Scalar::from(77u64), Scalar::from(1234u64));
        let mut accepted = 0;
        for t in EIGHT_TORSION {
            for u in EIGHT_TORSION {
                for r in [r, Scalar::ZERO] {
                    let key = EdwardsPoint::mul_base(&a) + t;
                    let key = PublicKey::from_ed25519(key.compress().as_bytes()).unwrap();
                    let point = EdwardsPoint::mul_base(&r) + u;
                    for n in 0u8..16 {
                        let k = hash(point.compress().as_bytes(), key.as_bytes(), &[n]);
                        let s = r + k * a;
                        accepted += usize::from(agree(key, &[n], &signature(point, &s)));
                    }
                }
            }
        }
        // Without the cofactor the torsion has to cancel, which it does for some messages, and never where R is small.
        assert!(accepted > 64, "{accepted}");
    }

    #[test]
    fn what_is_not_reduced_is_refused_by_both() {
        let secret = SecretKey::from_seed(&[5; 32]);
        let good = secret.sign(b"message");
        assert!(agree(secret.public_key(), b"message", &good));
        // s + l, the group's order, in little endian.
        let order =
            [0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14];
        let mut raised = good;
        let mut carry = 0u16;
        for (n, byte) in raised.0[32..].iter_mut().enumerate() {
            let add: u8 = order.get(n).copied().unwrap_or(if n == 31 { 0x10 } else { 0 });
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        assert!(!agree(secret.public_key(), b"message", &raised));
    }

    proptest! {
        #[test]
        fn both_judge_alike(
            seed in any::<[u8; 32]>(), message in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0usize..64, change in any::<u8>(),
        ) {
            let secret = SecretKey::from_seed(&seed);
            let mut signature = secret.sign(&message);
            prop_assert!(agree(secret.public_key(), &message, &signature));
            signature.0[at] ^= change;
            prop_assert_eq!(agree(secret.public_key(), &message, &signature), change == 0);
        }
    }
}
