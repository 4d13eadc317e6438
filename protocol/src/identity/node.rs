//! Node bindings: which libp2p peers speak for an organisation.

use serde::{Deserialize, Serialize};

use crate::ids::{ByteString, MeshId, OrganisationId, Timestamp};
use crate::keys::{PublicKey, Signature};

/// Binds a peer's key to the organisation, signed by both: the statement by an authority, this payload by the peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeBinding {
    /// The mesh in which the peer speaks for the organisation; none for every mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<MeshId>,
    /// The peer's Ed25519 key; its libp2p peer id follows from it.
    pub peer_key: PublicKey,
    /// Counts up with each binding. Among several, the highest holds.
    pub counter: u64,
    /// Until when the binding holds.
    pub expires: Timestamp,
    /// Multiaddresses at which the peer can be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// The peer key's signature over [`NodeBinding::message`].
    pub peer_signature: Signature,
}

impl NodeBinding {
    /// What the peer's key signs. Addresses are left out: they change without the peer.
    pub fn message(
        organisation: &OrganisationId,
        peer: &PublicKey,
        counter: u64,
        expires: Timestamp,
    ) -> Vec<u8> {
        let mut message = b"counterfoil/node/v1\n".to_vec();
        message.extend_from_slice(organisation.as_bytes());
        message.extend_from_slice(&peer.tagged());
        message.extend_from_slice(&counter.to_be_bytes());
        message.extend_from_slice(&expires.0.to_be_bytes());
        message
    }

    /// Whether the peer's key agreed to speak for `organisation`.
    pub fn is_agreed_by_peer(&self, organisation: &OrganisationId) -> bool {
        let message = Self::message(organisation, &self.peer_key, self.counter, self.expires);
        self.peer_key.verify(&message, &self.peer_signature).is_ok()
    }

    /// The protobuf encoding of the peer's public key, as libp2p hashes it into a peer id
    /// (libp2p peer-ids specification: identity multihash of the encoded Ed25519 key).
    pub fn peer_id_bytes(peer: &PublicKey) -> ByteString {
        let mut bytes = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
        bytes.extend_from_slice(peer.as_bytes());
        ByteString(bytes)
    }
}
