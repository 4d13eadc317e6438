//! Secret keys, encrypted at rest: Argon2id from a passphrase, XChaCha20-Poly1305 over the seeds.
//!
//! The file is JSON with the derivation's parameters, so that they can be raised later. What is decrypted is erased when
//! it is dropped, and nothing secret is ever printed.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use counterfoil_protocol::ids::{ByteString, Bytes};
use counterfoil_protocol::keys::SecretKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Memory of the key derivation, in KiB (RFC 9106, second recommended option).
const MEMORY_KIB: u32 = 64 * 1024;
/// Largest memory that a file may ask for, in KiB.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Largest keystore file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why keys cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// The file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is not a keystore, or asks for absurd parameters.
    #[error("{0} is not a keystore of this version")]
    Form(PathBuf),
    /// Wrong passphrase, or a changed file.
    #[error("{0}: the passphrase is wrong, or the file was changed")]
    Sealed(PathBuf),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    version: u8,
    memory_kib: u32,
    iterations: u32,
    salt: Bytes<16>,
    nonce: Bytes<24>,
    keys: ByteString,
}

/// Secret keys by name.
#[derive(Default)]
pub struct Keystore {
    seeds: BTreeMap<String, Zeroizing<[u8; 32]>>,
}

impl Keystore {
    /// Makes a new key from the system's randomness and keeps it under `name`, in place of any before.
    pub fn generate(&mut self, name: &str) -> SecretKey {
        let seed = Zeroizing::new(rand::random::<[u8; 32]>());
        let key = SecretKey::from_seed(&seed);
        self.seeds.insert(name.to_owned(), seed);
        key
    }

    /// The key with this name.
    pub fn key(&self, name: &str) -> Option<SecretKey> {
        self.seeds.get(name).map(|seed| SecretKey::from_seed(seed))
    }

    /// Keeps the key named `from` under the name `to`, in place of any before. Nothing happens where there is none.
    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(seed) = self.seeds.remove(from) {
            self.seeds.insert(to.to_owned(), seed);
        }
    }

    /// Names of all keys.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.seeds.keys().map(String::as_str)
    }

    /// Writes the keys to `path`, readable by its owner alone, in place of what was there.
    ///
    /// # Errors
    /// [`KeystoreError`]; what was there is unharmed then.
    pub fn save(&self, path: &Path, passphrase: &[u8]) -> Result<(), KeystoreError> {
        let form = || KeystoreError::Form(path.to_owned());
        let mut plain = Zeroizing::new(Vec::with_capacity(64 * self.seeds.len()));
        for (name, seed) in &self.seeds {
            let length = u8::try_from(name.len()).map_err(|_| form())?;
            plain.push(length);
            plain.extend_from_slice(name.as_bytes());
            plain.extend_from_slice(seed.as_slice());
        }
        let (salt, nonce) = (rand::random::<[u8; 16]>(), rand::random::<[u8; 24]>());
        let (memory_kib, iterations) = (MEMORY_KIB, 3);
        let cipher = cipher(passphrase, &salt, memory_kib, iterations).ok_or_else(form)?;
        let payload = Payload { msg: &plain, aad: b"counterfoil keystore v1" };
        let keys = cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| form())?;
        let sealed = Sealed {
            version: 1,
            memory_kib,
            iterations,
            salt: Bytes(salt),
            nonce: Bytes(nonce),
            keys: ByteString(keys),
        };
        let text = serde_json::to_string_pretty(&sealed).map_err(|_| form())?;
        let fresh = path.with_extension("new");
        let failed = |error| KeystoreError::File { path: fresh.clone(), error };
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&fresh, path).map_err(|error| KeystoreError::File { path: path.to_owned(), error })
    }

    /// Reads the keys in `path`.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn load(path: &Path, passphrase: &[u8]) -> Result<Self, KeystoreError> {
        let failed = |error| KeystoreError::File { path: path.to_owned(), error };
        let form = || KeystoreError::Form(path.to_owned());
        if fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
            return Err(form());
        }
        let sealed: Sealed = serde_json::from_slice(&fs::read(path).map_err(failed)?).map_err(|_| form())?;
        if sealed.version != 1 || sealed.memory_kib > MEMORY_KIB_MAX || sealed.iterations > 100 {
            return Err(form());
        }
        let cipher =
            cipher(passphrase, &sealed.salt.0, sealed.memory_kib, sealed.iterations).ok_or_else(form)?;
        let payload = Payload { msg: &sealed.keys.0, aad: b"counterfoil keystore v1" };
        let plain = cipher
            .decrypt(XNonce::from_slice(&sealed.nonce.0), payload)
            .map_err(|_| KeystoreError::Sealed(path.to_owned()))?;
        let plain = Zeroizing::new(plain);
        let mut store = Self::default();
        let mut rest = plain.as_slice();
        while let Some((length, after)) = rest.split_first() {
            let (name, after) = after.split_at_checked(usize::from(*length)).ok_or_else(form)?;
            let (seed, after) = after.split_first_chunk::<32>().ok_or_else(form)?;
            let name = std::str::from_utf8(name).map_err(|_| form())?;
            store.seeds.insert(name.to_owned(), Zeroizing::new(*seed));
            rest = after;
        }
        Ok(store)
    }
}

fn cipher(passphrase: &[u8], salt: &[u8], memory_kib: u32, iterations: u32) -> Option<XChaCha20Poly1305> {
    let params = Params::new(memory_kib, iterations, 1, Some(32)).ok()?;
    let mut key = Zeroizing::new([0u8; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, key.as_mut_slice())
        .ok()?;
    Some(XChaCha20Poly1305::new(Key::from_slice(key.as_slice())))
}

#[cfg(test)]
mod tests {
    use counterfoil_protocol::keys::Signer;

    use super::*;

    #[test]
    fn keys_come_back_with_the_right_passphrase_alone_and_their_file_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        let mut store = Keystore::default();
        let key = store.generate("root-1");
        store.generate("chain");
        store.save(&path, b"correct horse").unwrap();
        let again = Keystore::load(&path, b"correct horse").unwrap();
        assert_eq!(again.key("root-1").unwrap().public_key(), key.public_key());
        assert_eq!(again.names().collect::<Vec<_>>(), ["chain", "root-1"]);
        assert!(matches!(Keystore::load(&path, b"wrong"), Err(KeystoreError::Sealed(_))));
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        let seed = counterfoil_protocol::ids::base32(key.to_seed().as_slice());
        assert!(!text.contains(&seed));
        fs::write(&path, text.replacen("\"version\": 1", "\"version\": 2", 1)).unwrap();
        assert!(matches!(Keystore::load(&path, b"correct horse"), Err(KeystoreError::Form(_))));
    }
}
