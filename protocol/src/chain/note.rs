//! Signed notes (C2SP signed-note): a text, a blank line, and signature lines
//! `— <name> base64(u32be key id || signature)`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digest::sha256;
use crate::ids::Bytes;
use crate::keys::{PublicKey, Signer};
use crate::limits::{LABEL_BYTES_MAX, NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX};

/// Signature type of a plain Ed25519 note signature.
pub const TYPE_ED25519: u8 = 0x01;
/// Signature type of a timestamped Ed25519 cosignature.
pub const TYPE_COSIGNATURE: u8 = 0x04;

/// Why a note cannot be read or does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Too long.
    #[error("a note has at most {NOTE_BYTES_MAX} bytes, this has {0}")]
    TooLong(usize),
    /// Not the form of a signed note.
    #[error("not a signed note: {0}")]
    Form(&'static str),
    /// No signature of the key asked for.
    #[error("there is no signature by {0}")]
    Unsigned(String),
    /// A signature of a known key is wrong: the whole note is rejected.
    #[error("the signature by {0} does not verify")]
    Invalid(String),
}

/// A name with a key that verifies its signatures, in C2SP's vkey form: `name+hex(key id)+base64(type || key)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    signature_type: u8,
    key: PublicKey,
}

/// A text that is no verifier key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no verifier key of the form name+key id+base64")]
pub struct VerifierKeyError(pub String);

/// Whether `name` may stand in a signature line: not empty, no spaces, no plus, no control characters.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LABEL_BYTES_MAX
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

impl VerifierKey {
    /// A verifier of plain note signatures.
    ///
    /// # Errors
    /// [`VerifierKeyError`] when `name` cannot stand in a signature line.
    pub fn note(name: &str, key: PublicKey) -> Result<Self, VerifierKeyError> {
        Self::new(name, TYPE_ED25519, key)
    }

    /// A verifier of cosignatures.
    ///
    /// # Errors
    /// [`VerifierKeyError`] when `name` cannot stand in a signature line.
    pub fn cosigner(name: &str, key: PublicKey) -> Result<Self, VerifierKeyError> {
        Self::new(name, TYPE_COSIGNATURE, key)
    }

    fn new(name: &str, signature_type: u8, key: PublicKey) -> Result<Self, VerifierKeyError> {
        if is_name(name) {
            Ok(Self { name: name.to_owned(), signature_type, key })
        } else {
            Err(VerifierKeyError(name.chars().take(80).collect()))
        }
    }

    /// Who signs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// `SHA-256(name || 0x0A || type || key)`, first four bytes.
    pub fn key_id(&self) -> [u8; 4] {
        key_id(&self.name, self.signature_type, &self.key)
    }
}

fn key_id(name: &str, signature_type: u8, key: &PublicKey) -> [u8; 4] {
    let digest = sha256(&[name.as_bytes(), b"\n", &[signature_type], key.as_bytes()]);
    let mut id = [0; 4];
    id.copy_from_slice(digest.first_chunk::<4>().unwrap_or(&[0; 4]));
    id
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.signature_type];
        key.extend_from_slice(self.key.as_bytes());
        let id = data_encoding::HEXLOWER.encode(&self.key_id());
        write!(f, "{}+{id}+{}", self.name, STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        let refuse = || VerifierKeyError(text.chars().take(160).collect());
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refuse());
        };
        let key = STANDARD.decode(key).map_err(|_| refuse())?;
        let Some((signature_type @ (&TYPE_ED25519 | &TYPE_COSIGNATURE), key)) = key.split_first() else {
            return Err(refuse());
        };
        let key = <&[u8; 32]>::try_from(key).map_err(|_| refuse())?;
        let key = PublicKey::from_ed25519(key).map_err(|_| refuse())?;
        let verifier = Self::new(name, *signature_type, key)?;
        if data_encoding::HEXLOWER.encode(&verifier.key_id()) != id {
            return Err(refuse());
        }
        Ok(verifier)
    }
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    /// Who signed, by their own account.
    pub name: String,
    /// Which of their keys.
    pub key_id: [u8; 4],
    /// What follows the key id: the signature, with a time before it for cosignatures.
    pub signature: Vec<u8>,
}

impl SignatureLine {
    /// The line with its newline.
    pub fn to_text(&self) -> String {
        let mut bytes = self.key_id.to_vec();
        bytes.extend_from_slice(&self.signature);
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(bytes))
    }

    fn parse(line: &str) -> Result<Self, NoteError> {
        let refuse = NoteError::Form("a signature line is not '— name base64'");
        let Some((name, base64)) = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '))
        else {
            return Err(refuse);
        };
        let bytes = STANDARD.decode(base64).map_err(|_| refuse.clone())?;
        match bytes.split_first_chunk::<4>() {
            Some((key_id, signature)) if is_name(name) && !signature.is_empty() => {
                Ok(Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
            }
            _ => Err(refuse),
        }
    }
}

/// A note, read but not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl Note {
    /// An unsigned note. The text ends with a newline.
    ///
    /// # Errors
    /// [`NoteError::Form`].
    pub fn new(text: &str) -> Result<Self, NoteError> {
        if !text.ends_with('\n') || text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoteError::Form("the text has control characters or does not end with a newline"));
        }
        Ok(Self { text: text.to_owned(), signatures: Vec::new() })
    }

    /// Reads a note with at least one signature line.
    ///
    /// # Errors
    /// [`NoteError::TooLong`], [`NoteError::Form`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Form("it is not UTF-8"))?;
        let split = note.rfind("\n\n").ok_or(NoteError::Form("there is no blank line"))?;
        let (text, lines) = note.split_at(split + 1);
        let mut note = Self::new(text)?;
        let lines = lines.strip_prefix('\n').unwrap_or(lines);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Form("the last line is not ended"))?;
        for line in lines.split('\n') {
            if note.signatures.len() == NOTE_SIGNATURES_MAX {
                return Err(NoteError::Form("there are too many signature lines"));
            }
            note.signatures.push(SignatureLine::parse(line)?);
        }
        Ok(note)
    }

    /// The text that is signed, with its final newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines in their order.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Adds a signature line.
    pub fn push(&mut self, line: SignatureLine) {
        if !self.signatures.contains(&line) {
            self.signatures.push(line);
        }
    }

    /// Signs with a plain Ed25519 signature under `name`.
    pub fn sign(&mut self, name: &str, signer: &dyn Signer) {
        let key_id = key_id(name, TYPE_ED25519, &signer.public_key());
        let signature = signer.sign(self.text.as_bytes()).0.to_vec();
        self.push(SignatureLine { name: name.to_owned(), key_id, signature });
    }

    /// Checks the signature of `verifier`. Lines of other names or keys are ignored.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] when there is none, [`NoteError::Invalid`] when one is wrong.
    pub fn verify(&self, verifier: &VerifierKey) -> Result<(), NoteError> {
        let key_id = verifier.key_id();
        let mut found = false;
        for line in self.signatures.iter().filter(|l| l.name == verifier.name && l.key_id == key_id) {
            let invalid = || NoteError::Invalid(verifier.name.clone());
            let signature = line.signature.as_slice().try_into().map(Bytes).map_err(|_| invalid())?;
            verifier.key.verify(self.text.as_bytes(), &signature).map_err(|_| invalid())?;
            found = true;
        }
        if found { Ok(()) } else { Err(NoteError::Unsigned(verifier.name.clone())) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| f.write_str(&line.to_text()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::SecretKey;

    #[test]
    fn the_example_of_the_signed_note_specification_verifies() {
        // C2SP signed-note, "Example": the key PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW.
        let verifier: VerifierKey =
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let text = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
        let signed = format!(
            "{text}\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
        );
        let note = Note::parse(signed.as_bytes()).unwrap();
        assert_eq!(note.verify(&verifier), Ok(()));
        assert_eq!(note.to_string(), signed);
        let forged = Note::parse(signed.replace("answer", "Answer").as_bytes()).unwrap();
        assert_eq!(forged.verify(&verifier), Err(NoteError::Invalid("PeterNeumann".into())));
    }

    #[test]
    fn a_line_of_another_key_is_ignored_and_a_bad_line_of_a_known_key_rejects_the_note() {
        let (ours, other) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let mut note = Note::new("hello\n").unwrap();
        note.sign("other", &other);
        let verifier = VerifierKey::note("ours", ours.public_key()).unwrap();
        assert_eq!(note.verify(&verifier), Err(NoteError::Unsigned("ours".into())));
        note.sign("ours", &ours);
        assert_eq!(note.verify(&verifier), Ok(()));
        note.push(SignatureLine { name: "ours".into(), key_id: verifier.key_id(), signature: vec![0; 64] });
        assert_eq!(note.verify(&verifier), Err(NoteError::Invalid("ours".into())));
    }

    #[test]
    fn verifier_keys_are_read_back_and_checked() {
        let key = SecretKey::from_seed(&[3; 32]).public_key();
        let verifier = VerifierKey::cosigner("counterfoil/x", key).unwrap();
        assert_eq!(verifier.to_string().parse::<VerifierKey>().unwrap(), verifier);
        assert!(verifier.to_string().replace("foil/x", "foil/y").parse::<VerifierKey>().is_err());
        assert!(VerifierKey::note("with space", key).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_reads_what_it_writes(text in "([a-z\u{2014} +/=\n]|[A-Za-z0-9+/]{8}){0,40}") {
            if let Ok(note) = Note::parse(text.as_bytes()) {
                let again = Note::parse(note.to_string().as_bytes()).unwrap();
                prop_assert_eq!(again, note);
            }
        }
    }
}
