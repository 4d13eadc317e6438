//! Digests. BLAKE3 names what is ours; SHA-256 is what the public log formats and outside artifacts use.

use sha2::{Digest as _, Sha256};

/// Domain separation of everything that BLAKE3 derives and that is not the plain hash of a file's or
/// statement's bytes.
pub mod context {
    /// Key ids: algorithm byte, then the public key.
    pub const KEY_ID: &str = "counterfoil 2026 key id v1";
    /// Commitment to a future root key.
    pub const NEXT_KEY: &str = "counterfoil 2026 next root key v1";
    /// Running digest of an organisation's standing statements.
    pub const STANDING: &str = "counterfoil 2026 standing log v1";
    /// What an amendment says: mesh, version, then each of its terms as 8 bytes.
    pub const AMENDMENT: &str = "counterfoil 2026 amendment v1";
    /// How well a member suits as a witness of a chain: mesh, chain, member.
    pub const WITNESS: &str = "counterfoil 2026 choice of witnesses v1";
    /// What members have in common: their parent's name.
    pub const PARENT: &str = "counterfoil 2026 parent v1";
    /// Salted digest of a blob or of one disclosed claim.
    pub const SALTED: &str = "counterfoil 2026 salted digest v1";
}

/// BLAKE3 of `bytes`.
pub fn blake3(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// BLAKE3 in key-derivation mode over the concatenation of `parts`, separated by `context`.
pub fn blake3_in(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// SHA-256 over the concatenation of `parts`.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
