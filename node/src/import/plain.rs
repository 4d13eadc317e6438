//! Our own JSON, and files of which nothing is known but their bytes.

use std::collections::BTreeMap;

use counterfoil_protocol::observation::{ArtifactDigest, Subject};
use serde::Deserialize;
use serde_json::Value as Json;

use super::json::{Content, label, metric, time};
use super::proof::Proof;
use super::{ImportError, Imported, Input};

/// Any document: the claim that it exists.
pub(super) fn file(input: &Input<'_>) -> Imported {
    let digest = ArtifactDigest::sha256_of(input.bytes);
    let subject = Subject::Artifact { digest, label: Some(label(input.name)) };
    let proof = Proof::unsigned("no signature that this importer knows of");
    input.claim("file", "document/file", vec![subject], proof)
}

/// The JSON that we document for whoever has no standard format.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    claim: String,
    subjects: Vec<String>,
    effective: Option<String>,
    expires: Option<String>,
    #[serde(default)]
    adverse: bool,
    #[serde(default)]
    content: BTreeMap<String, Json>,
    #[serde(default)]
    metrics: BTreeMap<String, Json>,
    #[serde(default)]
    materials: Vec<String>,
}

/// Reads our own JSON.
pub(super) fn own(input: &Input<'_>, value: Json) -> Result<Imported, ImportError> {
    let own: Own = serde_json::from_value(value).map_err(|e| input.fail("document", e))?;
    let subjects = |texts: &[String]| -> Result<Vec<Subject>, ImportError> {
        texts.iter().map(|text| text.parse().map_err(|e| input.fail("subject-digest", e))).collect()
    };
    let at = |field: &str, text: Option<&String>| {
        let wrong = |text: &String| {
            input.fail("document", format!("{field} {:?} is neither RFC 3339 nor a date", label(text)))
        };
        text.map(|text| time(text).ok_or_else(|| wrong(text))).transpose()
    };
    let metrics = own.metrics.iter().map(|(name, value)| {
        metric(name, value)
            .ok_or_else(|| input.fail("document", format!("metric {:?} is no number", label(name))))
    });
    let mut content = Content::default();
    own.content.iter().for_each(|(name, value)| content.put(name, Some(value)));

    let proof = Proof::unsigned("the format carries no signature");
    let mut imported = input.claim("counterfoil/json", &own.claim, subjects(&own.subjects)?, proof);
    imported.effective = at("effective", own.effective.as_ref())?;
    imported.expires = at("expires", own.expires.as_ref())?;
    imported.adverse = own.adverse;
    imported.metrics = metrics.collect::<Result<_, _>>()?;
    imported.content = content.into_fields();
    imported.materials = subjects(&own.materials)?;
    Ok(imported)
}
