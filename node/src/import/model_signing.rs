//! OpenSSF Model Signing v1: a statement that lists every file of a model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use counterfoil_protocol::digest::sha256;
use counterfoil_protocol::observation::{ArtifactDigest, Subject, SubjectKey};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::Value as Json;

use super::json::{Content, digest, label, list, text};
use super::proof::{Proof, check};
use super::{ImportError, Imported, Input, files};

/// The predicate of a signed model.
pub(super) const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";
/// The claim that a signed model makes.
pub(super) const CLAIM: &str = "provenance/model-signature";

/// Most files that one model may list.
const RESOURCES_MAX: usize = 100_000;
/// Name of the only resource when the model is a single file.
const ITSELF: &str = ".";

/// One listed file: its digest, when the algorithm is one that we compute.
type Resources<'a> = BTreeMap<&'a str, Option<ArtifactDigest>>;

/// Reads the predicate. `subjects` are those of the statement, of which there must be one: the root digest.
pub(super) fn read(
    input: &Input<'_>,
    predicate: &Json,
    subjects: Vec<Subject>,
    mut proof: Proof,
    container: &str,
) -> Result<Imported, ImportError> {
    let listed = list(predicate, "/resources");
    if listed.is_empty() || listed.len() > RESOURCES_MAX {
        let detail = format!("{} resources, where 1 to {RESOURCES_MAX} are allowed", listed.len());
        return Err(input.fail("statement", detail));
    }
    let (mut resources, mut raw, mut parts) = (Resources::new(), Vec::new(), Vec::new());
    for resource in listed {
        let wrong = |what: &str| input.fail("statement", format!("a resource without {what}"));
        let name = text(resource, "/name").ok_or_else(|| wrong("name"))?;
        let algorithm = text(resource, "/algorithm").ok_or_else(|| wrong("algorithm"))?;
        let hex = text(resource, "/digest").ok_or_else(|| wrong("digest"))?;
        if !is_safe(name) || resources.contains_key(name) {
            let detail = format!("{name:?} is absolute, leaves the model's folder or is listed twice");
            return Err(input.fail("resource-name", detail));
        }
        let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).map_err(|_| wrong("a hexadecimal digest"))?;
        raw.extend_from_slice(&bytes);
        let known = digest(algorithm, hex);
        parts.push(match &known {
            Some(digest) => Subject::Artifact { digest: digest.clone(), label: Some(label(name)) },
            None => Subject::Named(format!("{algorithm}:{hex}")),
        });
        resources.insert(name, known);
    }

    let root = digest("sha256", &HEXLOWER_PERMISSIVE.encode(&sha256(&[&raw])));
    let [subject] = subjects.as_slice() else {
        return Err(input.fail("statement", "a signed model has one subject"));
    };
    if root.is_none_or(|root| subject.key() != SubjectKey::Digest(root)) {
        let detail = "the subject is not the digest of the listed digests";
        return Err(input.fail("model-root-digest", detail));
    }
    proof = proof.and("model-root-digest", true, format!("over {} listed files", listed.len()));
    proof.checks.push(if input.files.is_empty() {
        check("resource-digest", false, "the model's files were not given")
    } else {
        compare(input, predicate, subject, &resources)?
    });

    let mut content = Content::default();
    content.put_text("predicateType", Some(PREDICATE_TYPE));
    content.put("resources", Some(&Json::from(listed.len())));
    content.put("method", predicate.pointer("/serialization/method"));
    content.put("hashType", predicate.pointer("/serialization/hash_type"));
    content.put("ignored", predicate.pointer("/serialization/ignore_paths"));
    let subjects = subjects.into_iter().chain(parts).collect();
    let format = format!("openssf/model-signing-v1.0+{container}");
    let mut imported = input.claim(format, CLAIM, subjects, proof);
    imported.content = content.into_fields();
    Ok(imported)
}

/// Whether a name stays inside the model's folder on every system.
fn is_safe(name: &str) -> bool {
    let words_are_safe = name.split('/').all(|word| !matches!(word, "" | "." | ".."));
    name == ITSELF || (words_are_safe && !name.contains(['\\', '\0', ':']))
}

/// Compares the model's files with the list, both ways.
fn compare(
    input: &Input<'_>,
    predicate: &Json,
    subject: &Subject,
    resources: &Resources<'_>,
) -> Result<counterfoil_protocol::observation::SourceCheck, ImportError> {
    let method = text(predicate, "/serialization/method").unwrap_or("files");
    if method != "files" || resources.values().any(Option::is_none) {
        let detail = format!("files signed by the method {method:?} or an unknown digest are not compared");
        return Ok(check("resource-digest", false, detail));
    }
    let follow = predicate.pointer("/serialization/allow_symlinks").and_then(Json::as_bool) == Some(true);
    let mut missing: BTreeSet<&str> = resources.keys().copied().collect();
    let mut ignored = 0_usize;
    for (name, path) in input.files {
        let refuse = |check, what: &str| Err(input.fail(check, format!("{name}: {what}")));
        // A model that is a single file is listed under a name that stands for itself.
        let alone = resources.len() == 1 && is_label(subject, name);
        let listed = resources.get_key_value(name.as_str());
        let listed = listed.or_else(|| resources.get_key_value(ITSELF).filter(|_| alone));
        let Some((resource, Some(expected))) = listed else {
            if is_ignored(input, predicate, name, path)? {
                ignored += 1;
                continue;
            }
            return refuse("unsigned-file", "it is not among the signed files");
        };
        if !follow && path.is_symlink() {
            return refuse("unsigned-file", "it is a symbolic link, and only files were signed");
        }
        let algorithms = BTreeSet::from([expected.algorithm()]);
        let found =
            files::digests(path, &algorithms).map_err(|e| input.fail("file", format!("{name}: {e}")))?;
        if !found.contains(expected) {
            return refuse("resource-digest", "it is not the file that was signed");
        }
        missing.remove(resource);
    }
    if let Some(name) = missing.first() {
        return Err(input.fail("resource-digest", format!("{name}: it was signed but is not there")));
    }
    let detail = format!("{} files are those that were signed, {ignored} are ignored", resources.len());
    Ok(check("resource-digest", true, detail))
}

fn is_label(subject: &Subject, name: &str) -> bool {
    matches!(subject, Subject::Artifact { label: Some(label), .. } if label == name)
}

/// Whether the signer left this file out on purpose, or it is the signature itself.
fn is_ignored(input: &Input<'_>, predicate: &Json, name: &str, path: &Path) -> Result<bool, ImportError> {
    let left_out =
        list(predicate, "/serialization/ignore_paths").iter().filter_map(Json::as_str).any(|left| {
            let rest = name.strip_prefix(left.trim_end_matches('/'));
            rest.is_some_and(|rest| !left.is_empty() && (rest.is_empty() || rest.starts_with('/')))
        });
    if left_out {
        return Ok(true);
    }
    let document = ArtifactDigest::sha256_of(input.bytes);
    let algorithms = BTreeSet::from([document.algorithm()]);
    let found = files::digests(path, &algorithms).map_err(|e| input.fail("file", format!("{name}: {e}")))?;
    Ok(found.contains(&document))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_not_safe() {
        for name in ["model.onnx", "tokenizer/vocab.json", "..data", "."] {
            assert!(is_safe(name), "{name}");
        }
        for name in
            ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", "a/..", "C:\\x", "a\\..\\b", "a\0"]
        {
            assert!(!is_safe(name), "{name}");
        }
    }
}
