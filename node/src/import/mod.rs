//! Evidence documents that come in, read into claims.
//!
//! | module | reads |
//! | --- | --- |
//! | `dsse` | DSSE envelopes, and the lists and records that wrap them |
//! | `statement` | in-toto Statements: SLSA provenance, VSA, test results, any other predicate |
//! | `link` | in-toto links and layouts, in DSSE or in the classic metablock |
//! | `sigstore` | sigstore bundles v0.1 to v0.3 |
//! | [`scitt`] | COSE: SCITT signed statements and receipts |
//! | `model_signing` | OpenSSF Model Signing |
//! | `cyclonedx` | CycloneDX ML-BOM |
//! | `card` | model and data cards |
//! | `bundle` | bundles of other meshes |
//! | `plain` | our own JSON, and any other file |
//!
//! A document that nobody can verify is imported and says so. One that is malformed, or that contradicts its own
//! signature, log entry or files, is refused, with the name of the check that failed.

mod bundle;
mod card;
mod chain;
mod cyclonedx;
mod dsse;
mod files;
mod json;
mod link;
mod model_signing;
mod plain;
mod proof;
pub mod scitt;
mod sigstore;
mod statement;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use counterfoil_protocol::bundle::is_bundle;
use counterfoil_protocol::codec::{Value, encode, from_bytes};
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::ids::{BlobId, Timestamp};
use counterfoil_protocol::limits::{PAYLOAD_BYTES_MAX, SUBJECTS_MAX};
use counterfoil_protocol::observation::{Metric, Observation, Source, Subject};
use serde_json::Value as Json;

use self::proof::Proof;
pub use self::trust::Trust;

/// Largest document that is read, in bytes.
pub const IMPORT_BYTES_MAX: usize = 4 << 20;
/// Largest key, certificate or root file, in bytes.
pub const TRUST_BYTES_MAX: usize = 1 << 20;

/// Most metrics that one claim takes over.
const METRICS_MAX: usize = 256;
/// Largest claim, in bytes of CBOR; the statement around it takes the rest.
const CLAIM_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - 16 * 1024;

/// One claim out of one document.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Claim type, such as `provenance/slsa`.
    pub claim: String,
    /// What the claim is about.
    pub subjects: Vec<Subject>,
    /// When what is claimed was so, as the document says.
    pub effective: Option<Timestamp>,
    /// Until when it holds, as the document says.
    pub expires: Option<Timestamp>,
    /// Whether it speaks against its subjects.
    pub adverse: bool,
    /// The fields of the claim.
    pub content: BTreeMap<String, Value>,
    /// Declared quality metrics.
    pub metrics: Vec<Metric>,
    /// What the subjects were made from.
    pub materials: Vec<Subject>,
    /// The document, and what was and was not proven about it.
    pub source: Source,
}

/// A document, key or file that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{input}: check {check} failed: {detail}; {}", way_out(.check))]
pub struct ImportError {
    /// The input that was refused, by the name it was given under.
    pub input: String,
    /// The check that failed, in kebab case.
    pub check: &'static str,
    /// What was found.
    pub detail: String,
}

impl ImportError {
    fn new(input: &str, check: &'static str, detail: impl fmt::Display) -> Self {
        let detail = detail.to_string();
        Self { input: input.chars().take(256).collect(), check, detail: detail.chars().take(512).collect() }
    }
}

/// What the caller can do about a failed check.
fn way_out(check: &str) -> &'static str {
    match check {
        "size" => "split it, or import its digest as a file",
        "json" | "front-matter" | "document" | "bundle" | "dsse-envelope" | "statement" => {
            "ask its author for a well-formed copy"
        }
        "trust" => {
            "give a PEM public key, a PEM certificate, a sigstore trusted_root.json or a trust file for bundles"
        }
        "bundle-proof" => "ask its author for the file again; `counterfoil verify` shows every check",
        "bundle-trust" => "compare the organisations' ids with what they publish, and correct the trust file",
        "dsse-signature" | "message-signature" | "metablock-signature" => {
            "give the signer's key, or import without keys to have it stand as unverified"
        }
        "certificate-chain" | "certificate-time" | "certificate-transparency" => {
            "give the root that issued the certificate, or ask the signer to sign again"
        }
        "log-key" | "log-inclusion" | "log-checkpoint" | "log-promise" | "log-entry"
        | "log-entry-binding" | "log-time" | "timestamp" => {
            "fetch the bundle again from its publisher, and check the trusted root"
        }
        "subject-digest" | "resource-digest" | "unsigned-file" | "model-root-digest" => {
            "compare the files with those that were signed"
        }
        "resource-name" => "sign again with names relative to the model's folder",
        "file" => "check that the file is there and readable",
        _ => "correct the document and import it again",
    }
}

/// A document under import, with everything that its checks need.
#[derive(Clone, Copy)]
struct Input<'a> {
    name: &'a str,
    bytes: &'a [u8],
    trust: &'a Trust,
    files: &'a [(String, PathBuf)],
}

impl Input<'_> {
    fn fail(&self, check: &'static str, detail: impl fmt::Display) -> ImportError {
        ImportError::new(self.name, check, detail)
    }

    /// A claim of this document with nothing but its subjects.
    fn claim(
        &self,
        format: impl Into<String>,
        claim: &str,
        subjects: Vec<Subject>,
        proof: Proof,
    ) -> Imported {
        let document = BlobId::from_bytes(blake3(self.bytes));
        Imported {
            claim: claim.to_owned(),
            subjects,
            effective: None,
            expires: None,
            adverse: false,
            content: BTreeMap::new(),
            metrics: Vec::new(),
            materials: Vec::new(),
            source: proof.into_source(format.into(), document),
        }
    }
}

/// Reads a document into a claim, and checks its signatures against `trust`.
///
/// # Errors
/// [`ImportError`] for a malformed document, a signature that does not hold, or an unsafe path. Without a key or root
/// for it, a signed document is [`SourceSignature::Unverified`](counterfoil_protocol::observation::SourceSignature),
/// not an error.
pub fn import(document: &[u8], name: &str, trust: &Trust) -> Result<Imported, ImportError> {
    import_with_files(document, name, trust, &[])
}

/// As [`import`], and checks the artifacts themselves: each file, given by its name in the document and its path,
/// must have the digest that the document states. A signed model folder must hold nothing that was not signed.
///
/// # Errors
/// As [`import`], and for a file that is absent, has another digest or was not signed.
pub fn import_with_files(
    document: &[u8],
    name: &str,
    trust: &Trust,
    files: &[(String, PathBuf)],
) -> Result<Imported, ImportError> {
    let input = Input { name, bytes: document, trust, files };
    if document.len() > IMPORT_BYTES_MAX {
        let detail = format_args!("{} bytes, more than the {IMPORT_BYTES_MAX} allowed", document.len());
        return Err(input.fail("size", detail));
    }
    let imported = match text(&input) {
        _ if is_bundle(document) => bundle::read(&input)?,
        _ if scitt::is_cose(document) => scitt::read(&input)?,
        Some(text) if is_json(name, text) => {
            let value: Json = serde_json::from_str(text).map_err(|e| input.fail("json", e))?;
            read_json(&input, value)?
        }
        Some(text) if card::is_markdown(name, text) => card::markdown(&input, text)?,
        _ => plain::file(&input),
    };
    finish(&input, imported)
}

/// The document as text, without a byte order mark.
fn text<'a>(input: &Input<'a>) -> Option<&'a str> {
    std::str::from_utf8(input.bytes).ok().map(|text| text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn is_json(name: &str, text: &str) -> bool {
    let named = [".json", ".jsonl", ".sigstore", ".jsonld"].iter().any(|end| name.ends_with(end));
    named || text.trim_start().starts_with('{')
}

fn read_json(input: &Input<'_>, value: Json) -> Result<Imported, ImportError> {
    let has = |field: &str| value.get(field).is_some();
    let text = |field: &str| value.get(field).and_then(Json::as_str).unwrap_or_default();
    if text("mediaType").starts_with("application/vnd.dev.sigstore.bundle") {
        sigstore::bundle(input, &value)
    } else if value.get("attestations").is_some_and(Json::is_array) {
        dsse::attestation_list(input, &value)
    } else if has("envelope") && has("verification_material") {
        dsse::publish_attestation(input, &value)
    } else if has("provenance_summary") {
        dsse::build_summary(input, &value)
    } else if has("payload") && has("payloadType") {
        dsse::envelope(input, &value)
    } else if has("signed") && has("signatures") {
        link::metablock(input, &value)
    } else if text("_type").starts_with(statement::TYPE_PREFIX) {
        statement::read(input, &value, Proof::unsigned("an in-toto Statement without an envelope"), "")
    } else if text("bomFormat") == "CycloneDX" {
        cyclonedx::read(input, &value)
    } else if value.get("model_details").is_some_and(Json::is_object) {
        card::toolkit(input, &value)
    } else if has("claim") && has("subjects") {
        plain::own(input, value)
    } else {
        Ok(plain::file(input))
    }
}

/// What holds for every claim, whatever it was read from: files, bounds, and what an observation must keep to.
fn finish(input: &Input<'_>, mut imported: Imported) -> Result<Imported, ImportError> {
    files::check(input, &mut imported)?;
    let (mut cut, checks) = (Vec::new(), &mut imported.source.checks);
    for (what, list) in [("subjects", &mut imported.subjects), ("materials", &mut imported.materials)] {
        let mut seen = BTreeSet::new();
        list.retain(|subject| seen.insert(subject.key()));
        if list.len() > SUBJECTS_MAX {
            cut.push(format!("the first {SUBJECTS_MAX} of {} {what}", list.len()));
            list.truncate(SUBJECTS_MAX);
        }
    }
    if imported.metrics.len() > METRICS_MAX {
        cut.push(format!("the first {METRICS_MAX} of {} metrics", imported.metrics.len()));
        imported.metrics.truncate(METRICS_MAX);
    }
    checks.extend(cut.into_iter().map(|detail| proof::check("all-listed", false, detail)));

    observation(&imported).check().map_err(|e| input.fail("claim", e))?;
    let bytes = encode(&observation(&imported)).map_err(|e| input.fail("claim", e))?;
    from_bytes(&bytes, CLAIM_BYTES_MAX).map_err(|e| input.fail("size", e))?;
    Ok(imported)
}

/// The observation that the claim becomes, as far as the document decides it.
fn observation(imported: &Imported) -> Observation {
    Observation {
        claim: imported.claim.clone(),
        subjects: imported.subjects.clone(),
        effective: imported.effective.unwrap_or_default(),
        expires: imported.expires,
        adverse: imported.adverse,
        content: imported.content.clone(),
        sealed: Vec::new(),
        metrics: imported.metrics.clone(),
        derived_from: Vec::new(),
        materials: imported.materials.clone(),
        source: Some(imported.source.clone()),
    }
}

#[cfg(test)]
mod tests;
