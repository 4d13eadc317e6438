//! in-toto Statements v0.1 and v1.

use counterfoil_protocol::observation::Subject;
use serde_json::Value as Json;

use super::json::{Content, digests, list, material, text, time_at};
use super::proof::{Proof, check};
use super::{ImportError, Imported, Input, model_signing};

/// What `_type` of every Statement begins with.
pub(super) const TYPE_PREFIX: &str = "https://in-toto.io/Statement/";

const SLSA: &str = "https://slsa.dev/provenance/";

/// What one kind of predicate says.
struct Reading {
    claim: &'static str,
    content: Content,
    materials: Vec<Subject>,
}

/// Reads a Statement whose signature stands as `proof`. `container` is what it came in.
pub(super) fn read(
    input: &Input<'_>,
    value: &Json,
    mut proof: Proof,
    container: &str,
) -> Result<Imported, ImportError> {
    let wrong = |what: &str| input.fail("statement", what);
    let version = text(value, "/_type").and_then(|kind| kind.strip_prefix(TYPE_PREFIX));
    if !matches!(version, Some("v0.1" | "v1")) {
        return Err(wrong("its type is none of the in-toto Statements v0.1 and v1"));
    }
    let predicate_type = text(value, "/predicateType").ok_or_else(|| wrong("it has no predicate type"))?;
    let subjects = subjects(input, value, &mut proof)?;
    let empty = Json::Null;
    let predicate = value.get("predicate").unwrap_or(&empty);

    if predicate_type == model_signing::PREDICATE_TYPE {
        return model_signing::read(input, predicate, subjects, proof, container);
    }
    let reading = match predicate_type.strip_prefix(SLSA) {
        Some("v1" | "v1.0" | "v1.1") => slsa_v1(predicate),
        Some("v0.1" | "v0.2") => slsa_v0(predicate),
        _ if predicate_type.starts_with("https://slsa.dev/verification_summary/") => summary(predicate),
        _ if predicate_type.starts_with("https://in-toto.io/attestation/test-result/") => test(predicate),
        _ => other(predicate),
    };
    let Reading { claim, mut content, materials } = reading;
    content.put_text("predicateType", Some(predicate_type));
    let format = format(claim, predicate_type, container);
    let mut imported = input.claim(format, claim, subjects, proof);
    imported.effective = effective(predicate);
    imported.adverse = ["/verificationResult", "/result"]
        .iter()
        .any(|result| claim != "attestation/in-toto" && text(predicate, result) == Some("FAILED"));
    imported.content = content.into_fields();
    imported.materials = materials;
    Ok(imported)
}

/// `in-toto/slsa-provenance-v1+dsse`: what it says, and what it came in.
fn format(claim: &str, predicate_type: &str, container: &str) -> String {
    let version = predicate_type.rsplit('/').next().unwrap_or_default();
    let what = match claim {
        "provenance/slsa" => "slsa-provenance",
        "assessment/slsa-vsa" => "slsa-vsa",
        "evaluation/test-result" => "test-result",
        _ => "statement",
    };
    let version = if what == "statement" || !version.starts_with('v') { "" } else { version };
    let dash = if version.is_empty() { "" } else { "-" };
    let plus = if container.is_empty() { "" } else { "+" };
    super::json::label(&format!("in-toto/{what}{dash}{version}{plus}{container}"))
}

fn subjects(input: &Input<'_>, value: &Json, proof: &mut Proof) -> Result<Vec<Subject>, ImportError> {
    let mut subjects = Vec::new();
    for subject in list(value, "/subject") {
        // `_` is what signers write for "no name".
        let name = text(subject, "/name").or_else(|| text(subject, "/uri")).filter(|name| *name != "_");
        let found = match (digests(name, subject.get("digest")), name) {
            (Ok(found), _) if !found.is_empty() => found,
            (Ok(_), Some(name)) => vec![Subject::Named(name.to_owned())],
            // A digest that is none identifies nothing; the name is what is left.
            (Err(detail), Some(name)) => {
                proof.checks.push(check(
                    "subject-digest",
                    false,
                    format!("{detail}; known by its name only"),
                ));
                vec![Subject::Named(name.to_owned())]
            }
            (Ok(_), None) => return Err(input.fail("statement", "a subject without name and digest")),
            (Err(detail), None) => return Err(input.fail("subject-digest", detail)),
        };
        subjects.extend(found);
    }
    if subjects.is_empty() {
        return Err(input.fail("statement", "it has no subject"));
    }
    Ok(subjects)
}

/// The time for which the predicate speaks: the end of what it reports, where it says so.
fn effective(predicate: &Json) -> Option<counterfoil_protocol::ids::Timestamp> {
    let places = [
        "/runDetails/metadata/finishedOn",
        "/runDetails/metadata/startedOn",
        "/metadata/buildFinishedOn",
        "/metadata/buildStartedOn",
        "/timeVerified",
        "/metadata/scanFinishedOn",
        "/metadata/scannedOn",
    ];
    places.iter().find_map(|place| time_at(predicate, place))
}

fn listed(predicate: &Json, pointer: &str) -> Vec<Subject> {
    let each = list(predicate, pointer).iter();
    each.flat_map(|one| material(text(one, "/uri").or_else(|| text(one, "/name")), one.get("digest")))
        .collect()
}

fn slsa_v1(predicate: &Json) -> Reading {
    let mut content = Content::default();
    content.put_text("builder", text(predicate, "/runDetails/builder/id"));
    content.put_text("buildType", text(predicate, "/buildDefinition/buildType"));
    content.put_text("invocation", text(predicate, "/runDetails/metadata/invocationId"));
    content.put("externalParameters", predicate.pointer("/buildDefinition/externalParameters"));
    let materials = listed(predicate, "/buildDefinition/resolvedDependencies");
    Reading { claim: "provenance/slsa", content, materials }
}

fn slsa_v0(predicate: &Json) -> Reading {
    let mut content = Content::default();
    content.put_text("builder", text(predicate, "/builder/id"));
    // v0.1 has a recipe where v0.2 has build type and invocation.
    content.put_text("buildType", text(predicate, "/buildType").or_else(|| text(predicate, "/recipe/type")));
    content.put_text(
        "invocation",
        text(predicate, "/metadata/buildInvocationId")
            .or_else(|| text(predicate, "/metadata/buildInvocationID")),
    );
    content.put("configSource", predicate.pointer("/invocation/configSource"));
    content.put("externalParameters", predicate.pointer("/invocation/parameters"));
    content.put("entryPoint", predicate.pointer("/recipe/entryPoint"));
    let mut materials = listed(predicate, "/materials");
    if let Some(source) = predicate.pointer("/invocation/configSource") {
        materials.extend(material(text(source, "/uri"), source.get("digest")));
    }
    Reading { claim: "provenance/slsa", content, materials }
}

fn summary(predicate: &Json) -> Reading {
    let mut content = Content::default();
    content.put_text("verifier", text(predicate, "/verifier/id"));
    content.put_all(
        predicate,
        &["verificationResult", "verifiedLevels", "resourceUri", "policy", "dependencyLevels", "slsaVersion"],
    );
    let materials = listed(predicate, "/inputAttestations");
    Reading { claim: "assessment/slsa-vsa", content, materials }
}

fn test(predicate: &Json) -> Reading {
    let mut content = Content::default();
    content.put_all(predicate, &["result", "url", "passedTests", "warnedTests", "failedTests"]);
    Reading { claim: "evaluation/test-result", content, materials: listed(predicate, "/configuration") }
}

fn other(predicate: &Json) -> Reading {
    let mut content = Content::default();
    content.put("predicate", Some(predicate));
    Reading { claim: "attestation/in-toto", content, materials: Vec::new() }
}
