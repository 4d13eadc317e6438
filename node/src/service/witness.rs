//! Witnessing over HTTP (C2SP tlog-witness): cosigning a checkpoint once it is proven to extend the one before it.
//!
//! The logs that are witnessed are the chains of the organisations that this node knows. What was cosigned is written
//! down before it is said, so that a restart forgets nothing.

use std::sync::PoisonError;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use counterfoil_protocol::chain::Hash;
use counterfoil_protocol::chain::checkpoint::{Checkpoint, organisation_of};
use counterfoil_protocol::chain::cosignature::cosign;
use counterfoil_protocol::chain::note::Note;
use counterfoil_protocol::chain::proof::verify_consistency;
use counterfoil_protocol::chain::tree::empty_root;
use counterfoil_protocol::digest::sha256;
use counterfoil_protocol::ids::TreeSize;
use counterfoil_protocol::limits::{NOTE_BYTES_MAX, PROOF_HASHES_MAX};
use data_encoding::HEXLOWER;

use super::{Node, ServiceError};

/// Largest request, in bytes: the proof's lines and the checkpoint.
pub const REQUEST_BYTES_MAX: usize = NOTE_BYTES_MAX + 64 * PROOF_HASHES_MAX;

/// Why a checkpoint is not cosigned, by the statuses of C2SP tlog-witness. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// 400: not a request, or its old size exceeds its checkpoint's.
    #[error("{0}")]
    Malformed(String),
    /// 403: the log's key did not sign it.
    #[error("the checkpoint is not signed by its log: {0}")]
    Unsigned(String),
    /// 404: the log is not one that this node knows.
    #[error("the log {0:?} is not witnessed here")]
    Unknown(String),
    /// 409: the old size is not the latest that was cosigned, which is this.
    #[error("the latest checkpoint cosigned here has size {0}")]
    Stale(TreeSize),
    /// 422: the proof does not lead from the one to the other.
    #[error("the proof does not lead from the latest checkpoint to this one: {0}")]
    Inconsistent(String),
    /// The node is at fault.
    #[error("{0}")]
    Service(#[from] ServiceError),
}

/// A request: `old <N>`, proof hashes in base64, an empty line, the signed checkpoint.
struct Request<'a> {
    old: TreeSize,
    proof: Vec<Hash>,
    checkpoint: &'a [u8],
}

fn parse(body: &[u8]) -> Result<Request<'_>, WitnessError> {
    let malformed = |what: &str| WitnessError::Malformed(what.to_owned());
    let text = std::str::from_utf8(body).map_err(|_| malformed("the request is no text"))?;
    let (head, checkpoint) = text.split_once("\n\n").ok_or_else(|| malformed("there is no empty line"))?;
    let mut lines = head.split('\n');
    let old = lines.next().and_then(|line| line.strip_prefix("old "));
    let old = old.filter(|old| *old == "0" || !old.starts_with('0')).and_then(|old| old.parse().ok());
    let old = old.map(TreeSize).ok_or_else(|| malformed("the first line is not `old <size>`"))?;
    let mut proof = Vec::new();
    for line in lines {
        if proof.len() == PROOF_HASHES_MAX {
            return Err(malformed("the proof has more than 63 hashes"));
        }
        let hash = STANDARD.decode(line).ok().and_then(|bytes| bytes.try_into().ok());
        proof.push(Hash(hash.ok_or_else(|| malformed("a proof line is no base64 of 32 bytes"))?));
    }
    Ok(Request { old, proof, checkpoint: checkpoint.as_bytes() })
}

impl Node {
    /// Cosigns the checkpoint in a request. Gives the signature line.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn add_checkpoint(&self, body: &[u8]) -> Result<String, WitnessError> {
        let request = parse(body)?;
        let note =
            Note::parse(request.checkpoint).map_err(|error| WitnessError::Malformed(error.to_string()))?;
        let claimed =
            Checkpoint::parse(note.text()).map_err(|error| WitnessError::Malformed(error.to_string()))?;
        let view = self.view()?;
        let organisation = organisation_of(&claimed.origin);
        let chain =
            organisation.and_then(|id| view.chains.get(&id)).ok_or(WitnessError::Unknown(claimed.origin))?;
        let (checkpoint, note, _) = chain
            .state()
            .epochs()
            .open_checkpoint(request.checkpoint)
            .map_err(|error| WitnessError::Unsigned(error.to_string()))?;
        if request.old > checkpoint.size {
            return Err(WitnessError::Malformed("the old size exceeds the checkpoint's".into()));
        }
        if let Some(head) = chain.head().filter(|head| head.size() == checkpoint.size)
            && head.root() != checkpoint.root
        {
            return Err(WitnessError::Inconsistent("another root for this size is known here".into()));
        }
        // Looked up, checked and written under one lock: two requests cannot both extend the same checkpoint.
        let _acting = self.witnessing.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = match self.store().witnessed(&checkpoint.origin).map_err(ServiceError::from)? {
            Some(bytes) => {
                let note = Note::parse(&bytes).ok();
                note.and_then(|note| Checkpoint::parse(note.text()).ok())
                    .map(|latest| (latest.size, latest.root))
                    .ok_or_else(|| {
                        ServiceError::new(super::Blame::Node, "store", "a witnessed checkpoint is damaged")
                    })?
            }
            None => (TreeSize(0), empty_root()),
        };
        if request.old != latest.0 {
            return Err(WitnessError::Stale(latest.0));
        }
        verify_consistency(latest.0, &latest.1, checkpoint.size, &checkpoint.root, &request.proof)
            .map_err(|error| WitnessError::Inconsistent(error.to_string()))?;
        let key = {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            self.data.key(&keys, "witness").map_err(ServiceError::from)?
        };
        let cosignature = cosign(self.organisation(), &key, self.now(), note.text())
            .map_err(|error| ServiceError::new(super::Blame::Node, "cosignature", error.to_string()))?;
        let line = cosignature.line.to_text();
        let mut cosigned = note;
        cosigned.push(cosignature.line);
        self.store()
            .witness(&checkpoint.origin, cosigned.to_string().as_bytes())
            .map_err(ServiceError::from)?;
        Ok(line)
    }

    /// The latest checkpoint that was cosigned over HTTP, by the SHA-256 of its log's origin in hexadecimal.
    ///
    /// # Errors
    /// [`ServiceError`] when there is none.
    pub fn witnessed(&self, origin: &str) -> Result<Vec<u8>, ServiceError> {
        let view = self.view()?;
        let origins = view.chains.keys().map(counterfoil_protocol::chain::checkpoint::origin);
        let found = origins.into_iter().find(|one| HEXLOWER.encode(&sha256(&[one.as_bytes()])) == origin);
        let absent = || ServiceError::absent("no checkpoint of this log was cosigned here");
        self.store().witnessed(&found.ok_or_else(absent)?)?.ok_or_else(absent)
    }
}
