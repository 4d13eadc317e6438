//! Approvals: further signatures under a statement whose envelope has room for one.
//!
//! Acts that need a threshold of root keys carry their content as bytes, and beside it the signatures of the other
//! keys over exactly those bytes. The envelope's signer counts as one more.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::ids::{ByteString, KeyId};
use crate::keys::{PublicKey, Signature, Signer};
use crate::limits::{PAYLOAD_BYTES_MAX, ROOT_KEYS_MAX};

use super::kind::Kind;

/// One further signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The key that signed.
    pub key: KeyId,
    /// Its signature over [`approval_message`].
    pub signature: Signature,
}

/// Content with the approvals that it has gathered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endorsed {
    /// The content's CBOR, as it was approved.
    pub body: ByteString,
    /// Signatures of keys other than the envelope's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
}

/// What an approving key signs: the kind of act and its content.
pub fn approval_message(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(body.len() + 64);
    message.extend_from_slice(b"counterfoil/approval/v1\n");
    message.extend_from_slice(kind.name().as_bytes());
    message.push(b'\n');
    message.extend_from_slice(body);
    message
}

impl Endorsed {
    /// `content`, approved by `signers`.
    ///
    /// # Errors
    /// [`CodecError`] when the content has no strict encoding.
    pub fn new<T: Serialize>(kind: Kind, content: &T, signers: &[&dyn Signer]) -> Result<Self, CodecError> {
        let body = codec::encode(content)?;
        let message = approval_message(kind, &body);
        let approvals = signers
            .iter()
            .map(|signer| Approval { key: signer.public_key().id(), signature: signer.sign(&message) })
            .collect();
        Ok(Self { body: ByteString(body), approvals })
    }

    /// The content.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn content<T: DeserializeOwned>(&self) -> Result<T, CodecError> {
        codec::decode(&self.body.0, PAYLOAD_BYTES_MAX)
    }

    /// How many distinct keys of `keys` stand behind the content: those with a valid approval, and `envelope`, the
    /// key that signed the statement. An approval that is wrong counts as none.
    pub fn count(&self, kind: Kind, keys: &[PublicKey], envelope: KeyId) -> usize {
        let message = approval_message(kind, &self.body.0);
        keys.iter()
            .take(ROOT_KEYS_MAX)
            .filter(|key| {
                let id = key.id();
                id == envelope
                    || self
                        .approvals
                        .iter()
                        .take(2 * ROOT_KEYS_MAX)
                        .any(|a| a.key == id && key.verify(&message, &a.signature).is_ok())
            })
            .count()
    }
}
