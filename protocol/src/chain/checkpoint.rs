//! Checkpoints (C2SP tlog-checkpoint): `origin\nsize\nbase64(root)\n`, as the text of a signed note whose key name is
//! the origin.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::note::{Note, NoteError, VerifierKey};
use super::tree::Hash;
use crate::ids::{OrganisationId, TreeSize, base32, from_base32};
use crate::keys::PublicKey;

/// Size and root of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Number of leaves.
    pub size: TreeSize,
    /// Root of the tree.
    pub root: Hash,
}

/// Why a text is no checkpoint of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// See the inner error.
    #[error("{0}")]
    Note(#[from] NoteError),
    /// Not the form of a checkpoint without extension lines.
    #[error("not a checkpoint: {0}")]
    Form(&'static str),
    /// Of another log.
    #[error("it is a checkpoint of {found:?}, not of {expected:?}")]
    Origin {
        /// Origin asked for.
        expected: String,
        /// Origin found.
        found: String,
    },
}

/// The origin of an organisation's chain.
pub fn origin(organisation: &OrganisationId) -> String {
    format!("counterfoil/{}", base32(organisation.as_bytes()))
}

/// The organisation whose chain has this origin.
pub fn organisation_of(origin: &str) -> Option<OrganisationId> {
    let bytes = from_base32(origin.strip_prefix("counterfoil/")?)?;
    bytes.try_into().ok().map(OrganisationId::from_bytes)
}

/// The key that verifies the checkpoints of an organisation.
///
/// # Errors
/// Never in practice: an organisation's origin is always a legal name.
pub fn verifier(organisation: &OrganisationId, chain_key: PublicKey) -> Result<VerifierKey, CheckpointError> {
    VerifierKey::note(&origin(organisation), chain_key).map_err(|_| CheckpointError::Form("origin"))
}

impl Checkpoint {
    /// The text.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// Reads the text; what it accepts it writes back to the same bytes.
    ///
    /// # Errors
    /// [`CheckpointError::Form`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let form = CheckpointError::Form;
        let mut lines = text.strip_suffix('\n').ok_or(form("the last line is not ended"))?.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(form("it has not three lines"));
        };
        if origin.is_empty() {
            return Err(form("the origin is empty"));
        }
        let is_canonical =
            size.bytes().all(|b| b.is_ascii_digit()) && (size == "0" || !size.starts_with('0'));
        let size: u64 = match size.parse() {
            Ok(size) if is_canonical => size,
            _ => return Err(form("the size is no decimal number without leading zeros")),
        };
        let bytes = STANDARD.decode(root).map_err(|_| form("the root is not base64"))?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| form("the root has not 32 bytes"))?;
        Ok(Self { origin: origin.to_owned(), size: TreeSize(size), root: Hash(bytes) })
    }

    /// Opens a signed checkpoint of `organisation`, whose chain key must have signed it.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open(
        bytes: &[u8],
        organisation: &OrganisationId,
        chain_key: PublicKey,
    ) -> Result<(Self, Note), CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Self::parse(note.text())?;
        let expected = origin(organisation);
        if checkpoint.origin != expected {
            return Err(CheckpointError::Origin { expected, found: checkpoint.origin });
        }
        note.verify(&verifier(organisation, chain_key)?)?;
        Ok((checkpoint, note))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::tree::empty_root;
    use crate::keys::{SecretKey, Signer};

    #[test]
    fn a_signed_checkpoint_opens_for_its_organisation_and_key_alone() {
        let (organisation, other) =
            (OrganisationId::from_bytes([1; 32]), OrganisationId::from_bytes([2; 32]));
        let key = SecretKey::from_seed(&[4; 32]);
        let checkpoint = Checkpoint { origin: origin(&organisation), size: TreeSize(7), root: empty_root() };
        let mut note = Note::new(&checkpoint.to_text()).unwrap();
        note.sign(&checkpoint.origin, &key);
        let bytes = note.to_string().into_bytes();
        let opened = Checkpoint::open(&bytes, &organisation, key.public_key()).unwrap();
        assert_eq!(opened, (checkpoint, note));
        assert_eq!(organisation_of(&opened.0.origin), Some(organisation));
        assert!(matches!(
            Checkpoint::open(&bytes, &other, key.public_key()),
            Err(CheckpointError::Origin { .. })
        ));
        let stranger = SecretKey::from_seed(&[5; 32]).public_key();
        assert!(matches!(Checkpoint::open(&bytes, &organisation, stranger), Err(CheckpointError::Note(_))));
    }

    #[test]
    fn extension_lines_and_leading_zeros_are_refused() {
        let root = STANDARD.encode([0; 32]);
        for text in [
            format!("o\n07\n{root}\n"),
            format!("o\n7\n{root}\nmore\n"),
            "o\n7\nAAAA\n".into(),
            format!("o\n+7\n{root}\n"),
        ] {
            assert!(Checkpoint::parse(&text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_written_back(text in "[a-z]{0,3}\n[0-9]{0,3}\n[A-Za-z0-9+/=]{40,46}\n?") {
            if let Ok(checkpoint) = Checkpoint::parse(&text) {
                prop_assert_eq!(checkpoint.to_text(), text);
            }
        }
    }
}
