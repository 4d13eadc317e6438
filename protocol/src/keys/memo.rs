//! Signatures and keys that this thread has already found to be good, for worlds in which a thousand organisations check
//! the same statement. Off unless a simulation turns it on, and not there at all in a build without `test-support`.
//!
//! Only what passed the full check is remembered, under a digest of every byte that the check depends on; what failed is
//! checked again each time. So nothing is accepted that would not be without it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use ed25519_dalek::VerifyingKey;

/// Entries of each kind after which the memory begins anew.
const ENTRIES_MAX: usize = 1 << 20;

#[derive(Default)]
struct Memo {
    /// The first half of BLAKE3 over key, signature and message.
    signatures: BTreeSet<[u8; 16]>,
    keys: BTreeMap<[u8; 32], VerifyingKey>,
}

thread_local! {
    static MEMO: RefCell<Option<Memo>> = const { RefCell::new(None) };
}

/// Turns the memory of this thread on.
pub fn remember() {
    MEMO.with_borrow_mut(|memo| {
        memo.get_or_insert_default();
    });
}

/// The name of one verification; none while the memory is off.
pub(super) fn name(key: &[u8; 32], signature: &[u8; 64], message: &[u8]) -> Option<[u8; 16]> {
    MEMO.with_borrow(Option::is_some).then(|| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(key).update(signature).update(message);
        let mut name = [0; 16];
        hasher.finalize_xof().fill(&mut name);
        name
    })
}

/// Whether this verification has succeeded before.
pub(super) fn is_known(name: &[u8; 16]) -> bool {
    MEMO.with_borrow(|memo| memo.as_ref().is_some_and(|memo| memo.signatures.contains(name)))
}

/// Takes note of a verification that succeeded.
pub(super) fn succeeded(name: [u8; 16]) {
    MEMO.with_borrow_mut(|memo| {
        if let Some(memo) = memo {
            if memo.signatures.len() >= ENTRIES_MAX {
                memo.signatures.clear();
            }
            memo.signatures.insert(name);
        }
    });
}

/// A key that was decoded and found usable before.
pub(super) fn key(bytes: &[u8; 32]) -> Option<VerifyingKey> {
    MEMO.with_borrow(|memo| memo.as_ref()?.keys.get(bytes).copied())
}

/// Takes note of a usable key.
pub(super) fn usable(bytes: &[u8; 32], key: VerifyingKey) {
    MEMO.with_borrow_mut(|memo| {
        if let Some(memo) = memo {
            if memo.keys.len() >= ENTRIES_MAX {
                memo.keys.clear();
            }
            memo.keys.insert(*bytes, key);
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::keys::{PublicKey, SecretKey, Signer as _};

    #[test]
    fn what_is_remembered_is_exactly_what_was_checked() {
        super::remember();
        let (one, other) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let (key, signature) = (one.public_key(), one.sign(b"message"));
        for _ in 0..2 {
            assert!(key.verify(b"message", &signature).is_ok());
            assert!(key.verify(b"massage", &signature).is_err());
            assert!(other.public_key().verify(b"message", &signature).is_err());
            let mut changed = signature;
            changed.0[40] ^= 1;
            assert!(key.verify(b"message", &changed).is_err());
            assert_eq!(PublicKey::from_ed25519(key.as_bytes()), Ok(key));
            assert!(PublicKey::from_ed25519(&[0; 32]).is_err());
        }
    }
}
