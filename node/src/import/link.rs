//! in-toto links and layouts: what a step of a supply chain took and made, and which steps there should be.

use counterfoil_protocol::observation::{ArtifactDigest, Subject};
use serde_json::Value as Json;

use super::json::{Content, digests, label, list, text, time_at};
use super::proof::Proof;
use super::{ImportError, Imported, Input};

/// Most signatures that one metablock may carry.
const SIGNATURES_MAX: usize = 16;

/// The classic form, whose signatures cover the canonical JSON of `signed`.
pub(super) fn metablock(input: &Input<'_>, value: &Json) -> Result<Imported, ImportError> {
    let signed = value.get("signed").unwrap_or(&Json::Null);
    if !matches!(text(signed, "/_type"), Some("link" | "layout")) {
        return Ok(super::plain::file(input));
    }
    let signatures = list(value, "/signatures");
    let proof = if signatures.is_empty() {
        Proof::unsigned("the metablock carries no signature")
    } else if input.trust.keys().is_empty() {
        Proof::unverified("metablock-signature", "no key was given")
    } else {
        let wrong = |what: &str| input.fail("metablock-signature", what);
        let mut message = Vec::new();
        canonical(signed, &mut message).ok_or_else(|| wrong("a fraction has no canonical form"))?;
        let found = signatures.iter().take(SIGNATURES_MAX).find_map(|signature| {
            let hex = text(signature, "/sig")?;
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
            input.trust.key_for(&message, &bytes)
        });
        let key = found.ok_or_else(|| wrong("no signature holds under a given key"))?;
        Proof::verified("metablock-signature", key.signer(), format!("by {}", key.name))
    };
    read(input, signed, proof, "metablock")
}

/// A link or layout whose signature stands as `proof`.
pub(super) fn read(
    input: &Input<'_>,
    value: &Json,
    proof: Proof,
    container: &str,
) -> Result<Imported, ImportError> {
    let kind = text(value, "/_type").unwrap_or_default();
    let subjects = match text(value, "/name") {
        _ if kind == "layout" => vec![Subject::Artifact {
            digest: ArtifactDigest::sha256_of(input.bytes),
            label: Some(label(input.name)),
        }],
        name => {
            let products = artifacts(input, value.get("products"))?;
            match name {
                Some(name) if products.is_empty() => vec![Subject::Named(name.to_owned())],
                _ => products,
            }
        }
    };
    let mut content = Content::default();
    content.put_text("predicateType", Some(kind));
    content.put_all(value, &["name", "command", "readme"]);
    let steps: Vec<Json> =
        list(value, "/steps").iter().filter_map(|step| step.get("name").cloned()).collect();
    if !steps.is_empty() {
        content.put("steps", Some(&Json::Array(steps)));
    }
    let format = format!("in-toto/{kind}+{container}");
    let mut imported = input.claim(format, "attestation/in-toto", subjects, proof);
    imported.expires = time_at(value, "/expires");
    imported.content = content.into_fields();
    imported.materials = artifacts(input, value.get("materials"))?;
    Ok(imported)
}

/// A map of paths to digests.
fn artifacts(input: &Input<'_>, map: Option<&Json>) -> Result<Vec<Subject>, ImportError> {
    let mut found = Vec::new();
    for (path, hashes) in map.and_then(Json::as_object).into_iter().flatten() {
        let mut one =
            digests(Some(path), Some(hashes)).map_err(|detail| input.fail("subject-digest", detail))?;
        found.append(&mut one);
    }
    Ok(found)
}

/// The canonical JSON of OLPC, which in-toto signs: sorted keys, no spaces, only `"` and `\` escaped.
fn canonical(value: &Json, out: &mut Vec<u8>) -> Option<()> {
    let quote = |text: &str, out: &mut Vec<u8>| {
        out.push(b'"');
        for byte in text.bytes() {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    };
    match value {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Json::Number(number) if number.is_f64() => return None,
        Json::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Json::String(text) => quote(text, out),
        Json::Array(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                canonical(value, out)?;
            }
            out.push(b']');
        }
        Json::Object(fields) => {
            // The map may keep the order of the document, so it is sorted here.
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(b.0));
            out.push(b'{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                quote(key, out);
                out.push(b':');
                canonical(value, out)?;
            }
            out.push(b'}');
        }
    }
    Some(())
}
