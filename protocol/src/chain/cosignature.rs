//! Cosignatures (C2SP tlog-cosignature, version 1): a witness's timestamped signature on a checkpoint, given only after
//! it has checked that the checkpoint extends what it saw before.

use std::collections::BTreeMap;

use super::note::{Note, NoteError, SignatureLine, VerifierKey};
use crate::ids::{Bytes, OrganisationId, Timestamp, base32, from_base32};
use crate::keys::{PublicKey, Signer};

/// A cosignature that verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// The witnessing organisation.
    pub witness: OrganisationId,
    /// When it saw the checkpoint.
    pub time: Timestamp,
    /// The signature line, as it stands in the note.
    pub line: SignatureLine,
}

/// The name under which an organisation cosigns.
pub fn witness_name(witness: &OrganisationId) -> String {
    format!("counterfoil/{}/witness", base32(witness.as_bytes()))
}

/// The organisation that cosigns under this name.
pub fn witness_of(name: &str) -> Option<OrganisationId> {
    let bytes = from_base32(name.strip_prefix("counterfoil/")?.strip_suffix("/witness")?)?;
    bytes.try_into().ok().map(OrganisationId::from_bytes)
}

fn verifier(witness: &OrganisationId, key: PublicKey) -> Result<VerifierKey, NoteError> {
    VerifierKey::cosigner(&witness_name(witness), key).map_err(|_| NoteError::Form("witness name"))
}

/// What a cosignature signs: it does not commit to the cosigner's name, so each cosigner has a key of its own.
fn message(time: Timestamp, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// Cosigns the text of a checkpoint.
///
/// # Errors
/// Never in practice: an organisation's witness name is always a legal name.
pub fn cosign(
    witness: OrganisationId,
    signer: &dyn Signer,
    time: Timestamp,
    text: &str,
) -> Result<Cosignature, NoteError> {
    let verifier = verifier(&witness, signer.public_key())?;
    let mut signature = time.0.to_be_bytes().to_vec();
    signature.extend_from_slice(&signer.sign(&message(time, text)).0);
    let line = SignatureLine { name: verifier.name().to_owned(), key_id: verifier.key_id(), signature };
    Ok(Cosignature { witness, time, line })
}

/// Checks one signature line as the cosignature of `witness` over `text`.
///
/// # Errors
/// [`NoteError::Unsigned`] when the line is of another name or key, [`NoteError::Invalid`] when it is wrong.
pub fn verify_line(
    line: &SignatureLine,
    witness: OrganisationId,
    key: PublicKey,
    text: &str,
) -> Result<Cosignature, NoteError> {
    let verifier = verifier(&witness, key)?;
    if line.name != verifier.name() || line.key_id != verifier.key_id() {
        return Err(NoteError::Unsigned(verifier.name().to_owned()));
    }
    let invalid = || NoteError::Invalid(verifier.name().to_owned());
    let (time, signature) = line.signature.split_first_chunk::<8>().ok_or_else(invalid)?;
    let time = Timestamp(u64::from_be_bytes(*time));
    let signature = signature.try_into().map(Bytes).map_err(|_| invalid())?;
    key.verify(&message(time, text), &signature).map_err(|_| invalid())?;
    Ok(Cosignature { witness, time, line: line.clone() })
}

/// What a signature line, with its line end, claims to be on a note: it is not verified.
pub fn claimed(note: &Note, line: &str) -> Option<Cosignature> {
    let note = Note::parse(format!("{}\n{line}", note.text()).as_bytes()).ok()?;
    let [line] = note.signatures() else { return None };
    Some(Cosignature { witness: witness_of(&line.name)?, time: claimed_time(line)?, line: line.clone() })
}

/// When a signature line says that its author saw the checkpoint.
pub fn claimed_time(line: &SignatureLine) -> Option<Timestamp> {
    line.signature.first_chunk::<8>().map(|time| Timestamp(u64::from_be_bytes(*time)))
}

/// The valid cosignatures on a note by `witnesses`, each counted once with its earliest time.
///
/// # Errors
/// [`NoteError::Invalid`] when a line of a known witness is wrong: then the whole note is rejected.
pub fn on_note(
    note: &Note,
    witnesses: &BTreeMap<OrganisationId, PublicKey>,
) -> Result<BTreeMap<OrganisationId, Cosignature>, NoteError> {
    let mut found: BTreeMap<OrganisationId, Cosignature> = BTreeMap::new();
    for (witness, key) in witnesses {
        let name = witness_name(witness);
        for line in note.signatures().iter().filter(|line| line.name == name) {
            match verify_line(line, *witness, *key, note.text()) {
                Ok(cosignature) => {
                    let earliest = found.entry(*witness).or_insert_with(|| cosignature.clone());
                    if cosignature.time < earliest.time {
                        *earliest = cosignature;
                    }
                }
                Err(NoteError::Unsigned(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

/// When `quorum` different witnesses had seen the checkpoint; `None` while fewer have, or when nobody is asked for.
pub fn quorum_time<'a>(
    cosignatures: impl IntoIterator<Item = &'a Cosignature>,
    quorum: usize,
) -> Option<Timestamp> {
    let mut times: Vec<Timestamp> = cosignatures.into_iter().map(|c| c.time).collect();
    times.sort();
    quorum.checked_sub(1).and_then(|index| times.get(index)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SecretKey;

    #[test]
    fn a_quorum_is_reached_when_enough_different_witnesses_have_signed() {
        let keys: Vec<SecretKey> = (1..=3).map(|n| SecretKey::from_seed(&[n; 32])).collect();
        let org = |n: u8| OrganisationId::from_bytes([n; 32]);
        let witnesses: BTreeMap<_, _> =
            (1..=3).map(|n| (org(n), keys[usize::from(n) - 1].public_key())).collect();
        let mut note = Note::new("counterfoil/x\n1\nAA\n").unwrap();
        for (n, time) in [(1u8, 50u64), (1, 40), (2, 70)] {
            let signer = &keys[usize::from(n) - 1];
            note.push(cosign(org(n), signer, Timestamp(time), note.text()).unwrap().line);
        }
        let found = on_note(&note, &witnesses).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(witness_of(&witness_name(&org(2))), Some(org(2)));
        assert_eq!(witness_of("counterfoil/x/witness"), None);
        assert_eq!(quorum_time(found.values(), 1), Some(Timestamp(40)));
        assert_eq!(quorum_time(found.values(), 2), Some(Timestamp(70)));
        assert_eq!(quorum_time(found.values(), 3), None);
        assert_eq!(quorum_time(found.values(), 0), None);
    }

    #[test]
    fn a_wrong_time_or_text_rejects_the_note() {
        let key = SecretKey::from_seed(&[1; 32]);
        let witness = OrganisationId::from_bytes([1; 32]);
        let cosignature = cosign(witness, &key, Timestamp(9), "text\n").unwrap();
        assert!(verify_line(&cosignature.line, witness, key.public_key(), "text\n").is_ok());
        assert!(verify_line(&cosignature.line, witness, key.public_key(), "tExt\n").is_err());
        let mut other = cosignature.line.clone();
        other.signature[7] ^= 1;
        let mut note = Note::new("text\n").unwrap();
        note.push(other);
        let witnesses = BTreeMap::from([(witness, key.public_key())]);
        assert!(matches!(on_note(&note, &witnesses), Err(NoteError::Invalid(_))));
    }
}
