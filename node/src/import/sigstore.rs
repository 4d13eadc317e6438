//! Sigstore bundles v0.1 to v0.3: certificates or keys, log entries of Rekor v1 and v2, RFC 3161 timestamps.
//!
//! What needs a trusted root is done by `sigstore-verify`, offline: chain, certificate transparency, inclusion,
//! checkpoint, promise, timestamps, and that the log entry is about this very signature.

use std::collections::BTreeSet;
use std::fs::File;

use counterfoil_protocol::ids::Timestamp;
use counterfoil_protocol::observation::{ArtifactDigest, DigestAlgorithm, SourceSignature, Subject};
use serde_json::Value as Json;
use sigstore_verify::bundle::Error as Structure;
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Artifact, ArtifactDigest as Digest, Bundle, HashAlgorithm};
use sigstore_verify::{CertificateError, Error, PublicKeyVerificationPolicy, TransparencyLogError};
use sigstore_verify::{Policy, VerificationPolicy, VerificationResult};

use super::chain::{Untrusted, issuer_of};
use super::dsse::{Envelope, base64};
use super::json::{label, list, text};
use super::proof::Proof;
use super::trust::{Key, Root};
use super::{ImportError, Imported, Input, files};

/// Most certificates, log entries or timestamps in one bundle.
const MATERIAL_MAX: usize = 32;

/// What a bundle's signature covers.
enum Signed {
    Envelope(Envelope),
    Message { signature: Vec<u8>, digest: ArtifactDigest },
}

/// Imports a bundle.
pub(super) fn bundle(input: &Input<'_>, value: &Json) -> Result<Imported, ImportError> {
    let signed = Signed::read(input, value)?;
    let proof = prove(input, value, &signed)?;
    let container = container(value);
    match signed {
        Signed::Envelope(envelope) => envelope.claim(input, proof, &container),
        Signed::Message { digest, .. } => {
            let name = input.files.first().map_or(input.name, |(name, _)| name);
            let name = name.trim_end_matches(".json").trim_end_matches(".sigstore");
            let subject = Subject::Artifact { digest, label: Some(label(name)) };
            Ok(input.claim(container, "attestation/signature", vec![subject], proof))
        }
    }
}

/// `sigstore-bundle-v0.3`, from either of the ways in which the media type gives the version.
fn container(value: &Json) -> String {
    let media = text(value, "/mediaType").unwrap_or_default();
    let version = ["0.1", "0.2", "0.3"].into_iter().find(|version| media.contains(version));
    format!("sigstore-bundle-v{}", version.unwrap_or("?"))
}

impl Signed {
    fn read(input: &Input<'_>, value: &Json) -> Result<Self, ImportError> {
        let wrong = |what: &str| input.fail("bundle", what);
        if let Some(envelope) = value.get("dsseEnvelope") {
            let envelope = Envelope::read(input, envelope)?;
            if envelope.signatures.len() != 1 {
                return Err(wrong("an envelope in a bundle has exactly one signature"));
            }
            return Ok(Self::Envelope(envelope));
        }
        let signature = text(value, "/messageSignature/signature").and_then(base64);
        let signature =
            signature.ok_or_else(|| wrong("it has neither an envelope nor a message signature"))?;
        let stated = text(value, "/messageSignature/messageDigest/digest").and_then(base64);
        let algorithm = match text(value, "/messageSignature/messageDigest/algorithm") {
            Some("SHA2_384") => DigestAlgorithm::Sha384,
            Some("SHA2_512") => DigestAlgorithm::Sha512,
            None | Some("SHA2_256") => DigestAlgorithm::Sha256,
            Some(_) => return Err(wrong("an unknown digest algorithm")),
        };
        let digest = match (stated, input.files.first()) {
            (Some(stated), _) => ArtifactDigest::new(algorithm, stated).map_err(|e| wrong(&e.to_string()))?,
            (None, Some((name, path))) => files::digests(path, &BTreeSet::from([algorithm]))
                .map_err(|e| input.fail("file", format!("{name}: {e}")))?
                .pop_first()
                .ok_or_else(|| input.fail("file", name))?,
            (None, None) => {
                return Err(input.fail("subject-digest", "it names no digest, and no file was given"));
            }
        };
        Ok(Self::Message { signature, digest })
    }

    const fn check(&self) -> &'static str {
        match self {
            Self::Envelope(_) => "dsse-signature",
            Self::Message { .. } => "message-signature",
        }
    }

    /// Whether the signature holds under this key.
    fn holds(&self, key: &Key) -> bool {
        match self {
            Self::Envelope(envelope) => {
                let message = envelope.pae();
                envelope.signatures.iter().any(|signature| key.verifies(&message, signature))
            }
            Self::Message { signature, digest } => hash_algorithm(digest.algorithm())
                .is_some_and(|algorithm| key.verifies_digest(algorithm, digest.value(), signature)),
        }
    }

    /// A digest to verify the bundle with, where the artifact is not at hand. For an envelope it comes from the
    /// signed payload itself, so it proves nothing about files; those are compared apart.
    fn artifact(&self) -> Option<Digest> {
        let (algorithm, value) = match self {
            Self::Message { digest, .. } => (hash_algorithm(digest.algorithm())?, digest.value().to_vec()),
            Self::Envelope(envelope) => {
                let statement: Json = serde_json::from_slice(&envelope.payload).ok()?;
                let subjects = list(&statement, "/subject").iter();
                let hex = |key: &'static str| {
                    subjects.clone().find_map(move |subject| text(subject.get("digest")?, key))
                };
                let (algorithm, hex) = hex("/sha256")
                    .map(|hex| (HashAlgorithm::Sha2256, hex))
                    .or_else(|| hex("/sha512").map(|hex| (HashAlgorithm::Sha2512, hex)))?;
                (algorithm, data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?)
            }
        };
        Digest::new(algorithm, value).ok()
    }
}

const fn hash_algorithm(algorithm: DigestAlgorithm) -> Option<HashAlgorithm> {
    match algorithm {
        DigestAlgorithm::Sha256 => Some(HashAlgorithm::Sha2256),
        DigestAlgorithm::Sha384 => Some(HashAlgorithm::Sha2384),
        DigestAlgorithm::Sha512 => Some(HashAlgorithm::Sha2512),
        DigestAlgorithm::Blake3 => None,
    }
}

/// Who signed, as the bundle has it.
enum Signer<'a> {
    Certificate { leaf: Vec<u8>, chain: Vec<Vec<u8>> },
    Key(&'a Key),
}

fn prove(input: &Input<'_>, value: &Json, signed: &Signed) -> Result<Proof, ImportError> {
    let check = signed.check();
    let empty = Json::Null;
    let material = value.get("verificationMaterial").unwrap_or(&empty);
    let mut certificates = certificates(input, material)?;
    let signer = if certificates.is_empty() {
        if input.trust.keys().is_empty() {
            return Ok(Proof::unverified(check, "it was signed by a key, and no key was given"));
        }
        let key = input.trust.keys().iter().find(|key| signed.holds(key));
        Signer::Key(key.ok_or_else(|| input.fail(check, "it holds under none of the given keys"))?)
    } else {
        let leaf = certificates.remove(0);
        let key = Key::of_certificate(&leaf).map_err(|e| input.fail("certificate-chain", e))?;
        // The certificate need not be trusted for a broken signature to be seen.
        if !signed.holds(&key) {
            return Err(input.fail(check, "it does not hold under the certificate that came with it"));
        }
        Signer::Certificate { leaf, chain: certificates }
    };

    let entries = list(material, "/tlogEntries");
    let stamps = list(material, "/timestampVerificationData/rfc3161Timestamps");
    if entries.len() > MATERIAL_MAX || stamps.len() > MATERIAL_MAX {
        return Err(input.fail("bundle", format!("more than {MATERIAL_MAX} log entries or timestamps")));
    }
    let logged = !entries.is_empty() || !stamps.is_empty();
    if logged {
        let roots: Vec<_> = input.trust.roots().iter().filter(|root| knows(&root.root, entries)).collect();
        if !roots.is_empty() {
            return verify(input, value, signed, &signer, &roots, entries.is_empty());
        }
    }
    let proof = match &signer {
        Signer::Key(key) => Proof::verified(check, key.signer(), format!("by {}", key.name)),
        Signer::Certificate { leaf, chain } => match issuer_of(input.trust, leaf, chain) {
            Ok(anchor) => {
                let digest = ArtifactDigest::sha256_of(leaf);
                Proof::verified(
                    check,
                    format!("certificate {digest}"),
                    "under the certificate that came with it",
                )
                .and(
                    "certificate-chain",
                    true,
                    format!("ends at {anchor}; the time of signing is not proven"),
                )
            }
            Err(Untrusted::Unknown) => {
                Proof::unverified("certificate-chain", "no given certificate or root issued the signer's")
            }
            Err(Untrusted::Refused(e)) => return Err(input.fail("certificate-chain", e)),
        },
    };
    Ok(if logged { proof.and("log-inclusion", false, "no given root knows this log") } else { proof })
}

/// The bundle's certificates, the signer's first.
fn certificates(input: &Input<'_>, material: &Json) -> Result<Vec<Vec<u8>>, ImportError> {
    let chain = list(material, "/x509CertificateChain/certificates");
    let all = material.get("certificate").into_iter().chain(chain);
    let decoded: Option<Vec<_>> =
        all.take(MATERIAL_MAX).map(|one| text(one, "/rawBytes").and_then(base64)).collect();
    decoded.ok_or_else(|| input.fail("bundle", "a certificate is not base64"))
}

/// Whether a root can judge these entries: it holds the key of one of their logs, or, where there is none, it has
/// timestamp authorities.
fn knows(root: &TrustedRoot, entries: &[Json]) -> bool {
    if entries.is_empty() {
        return !root.timestamp_authorities.is_empty();
    }
    let ids: BTreeSet<_> = root.tlogs.iter().map(|log| log.log_id.key_id.as_bytes().to_vec()).collect();
    entries
        .iter()
        .any(|entry| text(entry, "/logId/keyId").and_then(base64).is_some_and(|id| ids.contains(&id)))
}

fn verify(
    input: &Input<'_>,
    value: &Json,
    signed: &Signed,
    signer: &Signer<'_>,
    roots: &[&Root],
    no_log: bool,
) -> Result<Proof, ImportError> {
    let bundle: Bundle =
        serde_json::from_value(without_bare_proofs(value)).map_err(|e| input.fail("bundle", e))?;
    let Some(artifact) = signed.artifact() else {
        return Ok(Proof::unverified(signed.check(), "its subject has no digest that could be looked up"));
    };
    let mut failed = None;
    for root in roots {
        let policy: Box<dyn Policy> = match signer {
            Signer::Key(key) => {
                let policy = PublicKeyVerificationPolicy::new(key.der.clone());
                Box::new(if no_log { policy.skip_tlog_unsafe() } else { policy })
            }
            Signer::Certificate { .. } => {
                let mut policy = VerificationPolicy::any_identity();
                // Some instances run timestamp authorities instead of a log, or no certificate transparency.
                if no_log {
                    policy = policy.skip_tlog_unsafe();
                }
                if root.root.ctlogs.is_empty() {
                    policy = policy.skip_sct();
                }
                Box::new(policy)
            }
        };
        let verdict = match (signed, input.files.first()) {
            // Rekor knows the artifact by SHA-256, so a bundle with another digest needs the artifact itself.
            (Signed::Message { digest, .. }, Some((name, path)))
                if digest.algorithm() != DigestAlgorithm::Sha256 =>
            {
                let file = File::open(path).map_err(|e| input.fail("file", format!("{name}: {e}")))?;
                root.verifier.verify_reader(file, &bundle, policy.as_ref())
            }
            _ => root.verifier.verify(Artifact::from(artifact.clone()), &bundle, policy.as_ref()),
        };
        match verdict {
            Ok(result) => return Ok(proven(signed, signer, root, &result)),
            Err(e) => failed = failed.or(Some(e)),
        }
    }
    match failed {
        Some(e @ (Error::UnsupportedBundle(_) | Error::UnsupportedArtifact(_))) => {
            Ok(Proof::unverified(signed.check(), e.to_string()))
        }
        Some(e) => Err(input.fail(check_of(&e, signed), e)),
        None => Ok(Proof::unverified(signed.check(), "no root was given")),
    }
}

/// The bundle without inclusion proofs that end at no checkpoint. Version 0.1 allows them beside the log's promise;
/// they prove nothing, because nobody signed the root that they lead to. The promise is still required.
fn without_bare_proofs(value: &Json) -> Json {
    let mut value = value.clone();
    let promised = container(&value).ends_with("0.1");
    let entries = value.pointer_mut("/verificationMaterial/tlogEntries").and_then(Json::as_array_mut);
    for entry in entries.into_iter().flatten().filter(|_| promised) {
        if text(entry, "/inclusionProof/checkpoint/envelope").is_none() {
            entry.as_object_mut().map(|entry| entry.remove("inclusionProof"));
        }
    }
    value
}

/// The findings of a verification that passed.
fn proven(signed: &Signed, signer: &Signer<'_>, root: &Root, result: &VerificationResult) -> Proof {
    let name = match (signer, result.identity()) {
        (Signer::Key(key), _) => key.signer(),
        (Signer::Certificate { .. }, Some(identity)) => {
            format!("{identity} ({})", result.issuer().unwrap_or("unknown issuer"))
        }
        (Signer::Certificate { leaf, .. }, None) => {
            format!("certificate {}", ArtifactDigest::sha256_of(leaf))
        }
    };
    let mut proof = Proof::verified(signed.check(), name.clone(), format!("under {}", root.name));
    if result.certificate_verified() {
        proof = proof.and("certificate-chain", true, name).and(
            "certificate-transparency",
            result.sct_verified(),
            "signed certificate timestamp",
        );
    }
    let times = result.verified_timestamps().iter();
    proof.witnessed = times.filter_map(|time| u64::try_from(time.as_second()).ok()).min().map(Timestamp);
    if result.tlog_verified() {
        proof = proof.and("log-inclusion", true, "promise or proof of the transparency log").and(
            "log-entry-binding",
            true,
            "the entry is about this signature",
        );
    }
    if proof.witnessed.is_some() {
        proof = proof.and("timestamp", true, "a log or a timestamp authority witnessed it");
    }
    if result.tlog_verified() || proof.witnessed.is_some() {
        proof.signature = SourceSignature::VerifiedAndLogged;
    }
    proof
}

/// The name of the check that this error comes from.
const fn check_of(error: &Error, signed: &Signed) -> &'static str {
    match error {
        Error::SignatureInvalid(_) => signed.check(),
        // The digest that was handed over is the bundle's own, so only the log's can differ.
        Error::ArtifactMismatch(_) => "log-entry-binding",
        Error::Certificate(CertificateError::Sct(_)) => "certificate-transparency",
        Error::Certificate(CertificateError::Expired { .. } | CertificateError::NotYetValid { .. }) => {
            "certificate-time"
        }
        Error::Certificate(_) => "certificate-chain",
        Error::TransparencyLog(e) => match e {
            TransparencyLogError::UnknownLog { .. } => "log-key",
            TransparencyLogError::InclusionProof(_) => "log-inclusion",
            TransparencyLogError::Checkpoint(_) => "log-checkpoint",
            TransparencyLogError::InclusionPromise(_) => "log-promise",
            TransparencyLogError::EntryMismatch(_) => "log-entry-binding",
            TransparencyLogError::IntegratedTime(_) => "log-time",
            _ => "log-entry",
        },
        Error::Timestamp(_) => "timestamp",
        Error::Bundle(Structure::CheckpointRootMismatch | Structure::MissingCheckpoint) => "log-checkpoint",
        Error::Bundle(
            Structure::MissingInclusionPromise(_)
            | Structure::MissingInclusionProof(_)
            | Structure::LogIndexOutOfRange { .. },
        ) => "log-inclusion",
        _ => "bundle",
    }
}
