//! Foreign COSE: SCITT signed statements (RFC 9943) and the receipts on them (RFC 9942), other people's as well as ours.
//!
//! Unlike our own statements these come in many shapes, so this reader is lenient where the formats are: headers that are
//! not known are left alone, and older receipts that carry only algorithm and data structure are accepted. What is
//! verified is the bytes as they came.

use std::collections::BTreeMap;

use ciborium::Value;
use counterfoil_protocol::chain::Hash;
use counterfoil_protocol::chain::proof::{root_from_inclusion, roots_from_consistency};
use counterfoil_protocol::chain::tree::leaf_hash;
use counterfoil_protocol::codec::write_head;
use counterfoil_protocol::digest::sha256;
use counterfoil_protocol::ids::{Position, TreeSize};
use counterfoil_protocol::limits::PROOF_HASHES_MAX;
use counterfoil_protocol::observation::{ArtifactDigest, Subject};

use super::proof::Proof;
use super::{IMPORT_BYTES_MAX, ImportError, Imported, Input, Trust};

const ALG: i64 = 1;
const CONTENT_TYPE: i64 = 3;
const CWT_CLAIMS: i64 = 15;
const RECEIPTS: i64 = 394;
const VDS: i64 = 395;
const VDP: i64 = 396;
/// Label of the digest algorithm in a hash envelope (RFC 9995): the payload is a digest, not the content.
const PAYLOAD_HASH_ALG: i64 = 258;
const CLAIM: &str = "attestation/scitt";

/// A COSE_Sign1 (RFC 9052) as it came.
#[derive(Debug, Clone)]
pub struct Sign1 {
    protected: Vec<u8>,
    headers: BTreeMap<i64, Value>,
    unprotected: BTreeMap<i64, Value>,
    payload: Option<Vec<u8>>,
    signature: Vec<u8>,
}

/// What a receipt proves.
#[derive(Debug, Clone)]
enum Inclusion {
    /// RFC 9162: size, index, path.
    Rfc9162(u64, u64, Vec<Hash>),
    /// RFC 9162, consistency: older size, newer size, path.
    Consistency(u64, u64, Vec<Hash>),
    /// The CCF profile (data structure 2): the leaf's parts, and the path with sides.
    Ccf { transaction: Vec<u8>, evidence: String, digest: [u8; 32], path: Vec<(bool, [u8; 32])> },
}

/// A receipt on a foreign statement.
#[derive(Debug, Clone)]
pub struct ForeignReceipt {
    sign1: Sign1,
    proofs: Vec<Inclusion>,
}

/// Which check a COSE object failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{check}: {detail}")]
pub struct ScittError {
    /// The check.
    pub check: &'static str,
    /// What was found.
    pub detail: &'static str,
}

const fn wrong(check: &'static str, detail: &'static str) -> ScittError {
    ScittError { check, detail }
}

impl Sign1 {
    /// Reads a COSE_Sign1, tagged or not.
    ///
    /// # Errors
    /// [`ScittError`] with check `cose`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ScittError> {
        if bytes.len() > IMPORT_BYTES_MAX {
            return Err(wrong("cose", "it is too long"));
        }
        let mut rest = bytes;
        let value: Value =
            ciborium::from_reader(&mut rest).map_err(|_| wrong("cose", "it is no well-formed CBOR"))?;
        if !rest.is_empty() {
            return Err(wrong("cose", "something follows it"));
        }
        let inner = match value {
            Value::Tag(18, inner) => *inner,
            Value::Tag(..) => return Err(wrong("cose", "it has the tag of something else")),
            other => other,
        };
        let Value::Array(items) = inner else { return Err(wrong("cose", "it is no array")) };
        let Ok([protected, unprotected, payload, signature]) = <[Value; 4]>::try_from(items) else {
            return Err(wrong("cose", "it has not four parts"));
        };
        let Value::Bytes(protected) = protected else {
            return Err(wrong("cose", "the protected header is no byte string"));
        };
        let headers = if protected.is_empty() {
            BTreeMap::new()
        } else {
            let value = ciborium::from_reader(protected.as_slice());
            labels(value.map_err(|_| wrong("cose", "the protected header is no CBOR"))?)?
        };
        let payload = match payload {
            Value::Bytes(bytes) => Some(bytes),
            Value::Null => None,
            _ => return Err(wrong("cose", "the payload is neither a byte string nor detached")),
        };
        let Value::Bytes(signature) = signature else {
            return Err(wrong("cose", "the signature is no byte string"));
        };
        Ok(Self { protected, headers, unprotected: labels(unprotected)?, payload, signature })
    }

    /// The payload; none where it is detached.
    pub fn payload(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }

    /// What its signature covers (RFC 9052, section 4.4). An encoded empty map counts as no protected header.
    fn to_be_signed(&self, payload: &[u8]) -> Vec<u8> {
        let protected: &[u8] = if self.protected == [0xa0] { &[] } else { &self.protected };
        let mut bytes = vec![0x84, 0x6a];
        bytes.extend_from_slice(b"Signature1");
        for part in [protected, &[], payload] {
            write_head(2, part.len() as u64, &mut bytes);
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// Whether one of the keys made the signature, over the payload inside or the one given.
    ///
    /// # Errors
    /// [`ScittError`] with check `payload` or `signature`.
    pub fn verify(&self, detached: Option<&[u8]>, trust: &Trust) -> Result<String, ScittError> {
        let payload = match (self.payload.as_deref(), detached) {
            (Some(_), Some(_)) => return Err(wrong("payload", "it is there, and given a second time")),
            (None, None) => return Err(wrong("payload", "it is detached; give it")),
            (Some(payload), None) | (None, Some(payload)) => payload,
        };
        let key = trust.key_for(&self.to_be_signed(payload), &self.signature);
        key.map(super::trust::Key::signer).ok_or(wrong("signature", "it holds under none of the keys given"))
    }

    /// SHA-256 of the statement without its unprotected header: the entry that a log's tree hashes.
    pub fn entry(&self) -> [u8; 32] {
        let mut bytes = vec![0xd2, 0x84];
        let string = |part: &[u8], bytes: &mut Vec<u8>| {
            write_head(2, part.len() as u64, bytes);
            bytes.extend_from_slice(part);
        };
        string(&self.protected, &mut bytes);
        bytes.push(0xa0);
        match &self.payload {
            Some(payload) => string(payload, &mut bytes),
            None => bytes.push(0xf6),
        }
        string(&self.signature, &mut bytes);
        sha256(&[&bytes])
    }

    /// The receipts that it carries.
    ///
    /// # Errors
    /// [`ScittError`] when one of them cannot be read.
    pub fn receipts(&self) -> Result<Vec<ForeignReceipt>, ScittError> {
        let Some(value) = self.unprotected.get(&RECEIPTS) else { return Ok(Vec::new()) };
        let Value::Array(items) = value else { return Err(wrong("receipt", "receipts are no array")) };
        items
            .iter()
            .map(|item| match item {
                Value::Bytes(bytes) => ForeignReceipt::parse(bytes),
                _ => Err(wrong("receipt", "a receipt is no byte string")),
            })
            .collect()
    }

    fn claim(&self, label: i64) -> Option<String> {
        let Some(Value::Map(claims)) = self.headers.get(&CWT_CLAIMS) else { return None };
        let wanted = Value::Integer(label.into());
        claims
            .iter()
            .find(|(name, _)| *name == wanted)
            .and_then(|(_, value)| value.as_text())
            .map(str::to_owned)
    }
}

/// A header map by its integer labels; text labels and repetitions have no place in what is read here.
fn labels(value: Value) -> Result<BTreeMap<i64, Value>, ScittError> {
    let Value::Map(entries) = value else { return Err(wrong("cose", "a header is no map")) };
    let mut found = BTreeMap::new();
    for (name, value) in entries {
        let Value::Integer(label) = name else { continue };
        let Ok(label) = i64::try_from(label) else { return Err(wrong("cose", "a label is out of range")) };
        if found.insert(label, value).is_some() {
            return Err(wrong("cose", "a header occurs twice"));
        }
    }
    Ok(found)
}

impl ForeignReceipt {
    /// Reads a receipt.
    ///
    /// # Errors
    /// [`ScittError`] with check `receipt` or `data-structure`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ScittError> {
        let sign1 = Sign1::parse(bytes)?;
        let structure =
            sign1.headers.get(&VDS).and_then(Value::as_integer).and_then(|n| i64::try_from(n).ok());
        let Some(Value::Map(proofs)) = sign1.unprotected.get(&VDP) else {
            return Err(wrong("receipt", "it carries no proofs"));
        };
        let of = |kind: i64| {
            let wanted = Value::Integer(kind.into());
            proofs.iter().find(|(name, _)| *name == wanted).and_then(|(_, value)| value.as_array())
        };
        let (kind, items) = match (of(-1), of(-2)) {
            (Some(items), None) => (-1, items),
            (None, Some(items)) => (-2, items),
            _ => return Err(wrong("receipt", "it proves neither inclusion nor consistency alone")),
        };
        let read = match (structure, kind) {
            (Some(1), -1) => rfc9162,
            (Some(1), _) => consistency,
            (Some(2), -1) => ccf,
            _ => {
                return Err(wrong(
                    "data-structure",
                    "it is neither RFC9162_SHA256 (1) nor the CCF profile (2)",
                ));
            }
        };
        let proofs = items
            .iter()
            .map(|item| {
                let bytes = item.as_bytes().ok_or(wrong("receipt", "a proof is no byte string"))?;
                let value = ciborium::from_reader(bytes.as_slice());
                read(&value.map_err(|_| wrong("receipt", "a proof is no CBOR"))?)
                    .ok_or(wrong("receipt", "a proof has another shape"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if proofs.is_empty() {
            return Err(wrong("receipt", "it carries no proofs"));
        }
        Ok(Self { sign1, proofs })
    }

    /// Checks every proof on `entry` and the log's signature over the root that they give. The size and index in an RFC 9162
    /// receipt stay unauthenticated: only a checkpoint beside it binds them.
    ///
    /// # Errors
    /// [`ScittError`] with check `inclusion`, `receipt-signature` or `leaf`.
    pub fn verify(&self, entry: &[u8; 32], log: &Trust) -> Result<Hash, ScittError> {
        let mut root = None;
        for proof in &self.proofs {
            let found = match proof {
                Inclusion::Rfc9162(size, index, path) => {
                    root_from_inclusion(&leaf_hash(entry), Position(*index), TreeSize(*size), path)
                        .map_err(|_| wrong("inclusion", "the path does not fit size and index"))?
                }
                Inclusion::Consistency(..) => {
                    return Err(wrong("inclusion", "it proves consistency, not inclusion"));
                }
                Inclusion::Ccf { transaction, evidence, digest, path } => {
                    if digest != entry {
                        return Err(wrong("leaf", "it is for another statement"));
                    }
                    let leaf = sha256(&[transaction, &sha256(&[evidence.as_bytes()]), digest]);
                    Hash(path.iter().fold(leaf, |below, (is_left, beside)| {
                        if *is_left { sha256(&[beside, &below]) } else { sha256(&[&below, beside]) }
                    }))
                }
            };
            if root.replace(found).is_some_and(|before| before != found) {
                return Err(wrong("inclusion", "its proofs give different roots"));
            }
        }
        let root = root.ok_or(wrong("inclusion", "it carries no proofs"))?;
        self.sign1
            .verify(Some(&root.0), log)
            .map_err(|_| wrong("receipt-signature", "the log did not sign the root that the proof gives"))?;
        Ok(root)
    }

    /// The roots between which it proves consistency: the older and the newer, if it proves that.
    pub fn consistent_roots(&self, older: &Hash) -> Option<(Hash, Hash)> {
        let [Inclusion::Consistency(from, to, path)] = self.proofs.as_slice() else { return None };
        roots_from_consistency(TreeSize(*from), older, TreeSize(*to), path).ok()
    }
}

fn number(value: &Value) -> Option<u64> {
    u64::try_from(value.as_integer()?).ok()
}

fn hashes(value: &Value) -> Option<Vec<Hash>> {
    let items = value.as_array().filter(|items| items.len() <= PROOF_HASHES_MAX)?;
    items.iter().map(|item| item.as_bytes()?.as_slice().try_into().ok().map(Hash)).collect()
}

fn rfc9162(value: &Value) -> Option<Inclusion> {
    let [size, index, path] = value.as_array()?.as_slice() else { return None };
    Some(Inclusion::Rfc9162(number(size)?, number(index)?, hashes(path)?))
}

fn consistency(value: &Value) -> Option<Inclusion> {
    let [older, newer, path] = value.as_array()?.as_slice() else { return None };
    Some(Inclusion::Consistency(number(older)?, number(newer)?, hashes(path)?))
}

fn ccf(value: &Value) -> Option<Inclusion> {
    let part = |label: i64| {
        let wanted = Value::Integer(label.into());
        value.as_map()?.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value)
    };
    let [transaction, evidence, digest] = part(1)?.as_array()?.as_slice() else { return None };
    let steps = part(2)?.as_array().filter(|steps| steps.len() <= PROOF_HASHES_MAX)?;
    let path = steps.iter().map(|step| {
        let [is_left, hash] = step.as_array()?.as_slice() else { return None };
        Some((is_left.as_bool()?, hash.as_bytes()?.as_slice().try_into().ok()?))
    });
    Some(Inclusion::Ccf {
        transaction: transaction.as_bytes()?.clone(),
        evidence: evidence.as_text()?.to_owned(),
        digest: digest.as_bytes()?.as_slice().try_into().ok()?,
        path: path.collect::<Option<_>>()?,
    })
}

/// Whether a document begins like a tagged COSE_Sign1.
pub(super) fn is_cose(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xd2, 0x84])
}

/// A SCITT statement as a claim: about its payload by digest, or by the digest that a hash envelope carries.
pub(super) fn read(input: &Input<'_>) -> Result<Imported, ImportError> {
    let failed = |error: ScittError| input.fail(error.check, error.detail);
    let statement = Sign1::parse(input.bytes).map_err(failed)?;
    let is_envelope = statement.headers.contains_key(&PAYLOAD_HASH_ALG);
    if is_envelope && statement.headers.contains_key(&CONTENT_TYPE) {
        return Err(input.fail("hash-envelope", "a hash envelope has no content type of its own"));
    }
    let proof = if input.trust.keys().is_empty() {
        Proof::unverified("signature", "no key was given")
    } else {
        let signer = statement.verify(None, input.trust).map_err(failed)?;
        Proof::verified("signature", signer, "COSE_Sign1 over the payload")
    };
    let receipts = statement.receipts().map_err(failed)?;
    let proof =
        receipts.iter().fold(proof, |proof, receipt| match receipt.verify(&statement.entry(), input.trust) {
            Ok(_) => proof.and("receipt", true, "a log whose key was given holds the statement"),
            Err(error) => proof.and("receipt", false, error.to_string()),
        });
    let mut subjects = Vec::new();
    if let Some(payload) = statement.payload() {
        let digest = match (is_envelope, payload.len()) {
            (true, 32) => ArtifactDigest::new(
                counterfoil_protocol::observation::DigestAlgorithm::Sha256,
                payload.to_vec(),
            ),
            (true, 48) => ArtifactDigest::new(
                counterfoil_protocol::observation::DigestAlgorithm::Sha384,
                payload.to_vec(),
            ),
            (true, 64) => ArtifactDigest::new(
                counterfoil_protocol::observation::DigestAlgorithm::Sha512,
                payload.to_vec(),
            ),
            _ => Ok(ArtifactDigest::sha256_of(payload)),
        };
        subjects.extend(digest.ok().map(Subject::artifact));
    }
    subjects.extend(statement.claim(2).map(|subject| Subject::Named(subject.chars().take(200).collect())));
    if subjects.is_empty() {
        return Err(input.fail("subject", "it has neither a payload nor a subject"));
    }
    let mut imported = input.claim("scitt/signed-statement", CLAIM, subjects, proof);
    for (name, value) in [("issuer", statement.claim(1)), ("subject", statement.claim(2))] {
        if let Some(text) = value {
            imported.content.insert(name.into(), Value::Text(text.chars().take(200).collect()));
        }
    }
    let algorithm =
        statement.headers.get(&ALG).and_then(Value::as_integer).and_then(|n| i64::try_from(n).ok());
    if let Some(algorithm) = algorithm {
        imported.content.insert("algorithm".into(), Value::Integer(algorithm.into()));
    }
    Ok(imported)
}
