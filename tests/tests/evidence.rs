//! Real evidence documents: each must import as the table beside them says that it verifies.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails this way says where"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use counterfoil_node::import::{ImportError, Imported, Trust, import, import_with_files};
use counterfoil_protocol::observation::{
    ArtifactDigest, DigestAlgorithm, Observation, SourceSignature, Subject, SubjectKey,
};
use counterfoil_tests::shared::shared;
use sha2::{Digest as _, Sha512};

/// The folders whose documents this importer reads.
const FOLDERS: [&str; 6] = ["slsa", "intoto", "sigstore", "model-signing", "mlbom", "cards"];
/// The root of the logs that hold most of these documents.
const PUBLIC_ROOT: &str = "trust/sigstore-public-good-trusted_root.json";
/// The check by which a document is refused, by a word in its path or in what was found when it was collected.
const REFUSALS: [(&str, &str); 7] = [
    ("wrong-material", "subject-digest"),
    ("body is bound", "log-entry-binding"),
    ("not valid JSON", "json"),
    ("inclusion-proof", "log-inclusion"),
    ("checkpoint", "log-checkpoint"),
    // Its log entry does not hold either; the signature is looked at first.
    ("invalid-dsse-sig", "-signature"),
    ("invalidsig", "-signature"),
];

struct Row {
    path: String,
    origin: String,
    what: String,
    verified_by: String,
    found: String,
}

struct Table {
    folder: PathBuf,
    rows: Vec<Row>,
}

impl Table {
    fn read() -> Option<Self> {
        let folder = shared("evidence")?;
        let text = std::fs::read_to_string(folder.join("SOURCES.tsv")).unwrap();
        let mut lines = text.lines();
        let names: Vec<_> = lines.next().unwrap().split('\t').collect();
        let column = |name: &str| names.iter().position(|column| *column == name).unwrap();
        let columns = ["file", "path", "what", "offline_verification", "checked_here"].map(column);
        let rows = lines
            .map(|line| {
                let fields: Vec<_> = line.split('\t').collect();
                let [path, origin, what, verified_by, found] =
                    columns.map(|column| fields.get(column).copied().unwrap_or_default().to_owned());
                Row { path, origin, what, verified_by, found }
            })
            .filter(|row| FOLDERS.iter().any(|folder| row.path.starts_with(&format!("{folder}/"))))
            .collect();
        Some(Self { folder, rows })
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(path)).unwrap()
    }

    /// Documents, without keys, roots and the artifacts that they are about.
    fn documents(&self) -> impl Iterator<Item = &Row> {
        let about = ["key", "digest match", "trust root", "digest in bundle"];
        self.rows
            .iter()
            .filter(move |row| !about.contains(&row.verified_by.as_str()) && !row.path.ends_with(".artifact"))
    }

    /// The keys and roots that the row names; a star stands for any part of a file's name.
    fn trust(&self, row: &Row) -> Trust {
        let mut trust = Trust::default();
        let mut named: Vec<String> = Vec::new();
        for word in row.verified_by.split(|c: char| c.is_whitespace() || "();,:".contains(c)) {
            if let Some((before, after)) = word.split_once('*') {
                let (folder, start) = before.rsplit_once('/').unwrap();
                for entry in std::fs::read_dir(self.folder.join(folder)).unwrap() {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    if name.starts_with(start) && name.ends_with(after) {
                        named.push(format!("{folder}/{name}"));
                    }
                }
            } else if word.contains('/') && self.folder.join(word).is_file() {
                named.push(word.to_owned());
            }
        }
        // Negative documents name no root: what is wrong with them must show under the roots of the good ones.
        let logged = row.found.contains("Rekor") || row.found.starts_with("REFUSED");
        if logged || row.verified_by.contains("SET") {
            named.push(PUBLIC_ROOT.to_owned());
            let keys = self.folder.join("trust");
            if row.path.contains("invalidsig") {
                for entry in std::fs::read_dir(keys).unwrap() {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    named.extend(name.ends_with(".pem").then(|| format!("trust/{name}")));
                }
            }
        }
        named.sort();
        named.dedup();
        for name in named {
            trust.add(&name, &self.bytes(&name)).unwrap();
        }
        trust
    }

    fn import(&self, row: &Row) -> Result<Imported, ImportError> {
        let name = Path::new(&row.path).file_name().unwrap().to_str().unwrap();
        let document = self.bytes(&row.path);
        let trust = self.trust(row);
        let files = self.artifacts(&row.path);
        if files.is_empty() {
            import(&document, name, &trust)
        } else {
            import_with_files(&document, name, &trust, &files)
        }
    }

    /// The files that the document is about: a signed model's neighbours, or the artifact of the same name.
    fn artifacts(&self, path: &str) -> Vec<(String, PathBuf)> {
        let whole = self.folder.join(path);
        let folder = whole.parent().unwrap();
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.starts_with("model-signing/") {
            let neighbours = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            return neighbours.map(|path| (name(&path), path)).collect();
        }
        let stem = name(&whole).replace(".sigstore.json", "");
        let beside = folder.join(stem.replace("conformance-", "") + ".artifact");
        beside.is_file().then(|| (name(&beside), beside)).into_iter().collect()
    }
}

fn digests(imported: &Imported) -> Vec<ArtifactDigest> {
    let keys = imported.subjects.iter().map(Subject::key);
    keys.filter_map(|key| if let SubjectKey::Digest(digest) = key { Some(digest) } else { None }).collect()
}

/// Everything that an observation made from the document must keep to.
fn assert_fits(path: &str, imported: &Imported) {
    let observation = Observation {
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
    };
    observation.check().unwrap_or_else(|e| panic!("{path}: {e}"));
    let bytes = counterfoil_protocol::codec::encode(&observation).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert!(bytes.len() <= counterfoil_protocol::limits::PAYLOAD_BYTES_MAX, "{path}: {} bytes", bytes.len());
    let back: Observation = counterfoil_protocol::codec::decode(&bytes, bytes.len()).unwrap();
    assert_eq!(back, observation, "{path}");
}

#[test]
fn documents_that_verify_are_verified_and_the_wrong_ones_refused() {
    let Some(table) = Table::read() else { return };
    let mut counts = BTreeMap::<&str, usize>::new();
    for row in table.documents() {
        let Row { path, what, verified_by, found, .. } = row;
        let outcome = table.import(row);
        if let Ok(imported) = &outcome {
            assert_fits(path, imported);
        }
        let kind = if what.starts_with("NEGATIVE") || found.starts_with("REFUSED") {
            let e = outcome.err().unwrap_or_else(|| panic!("{path}: it was accepted"));
            let named = format!("{path} {found}");
            let expected = REFUSALS.iter().find(|(word, _)| named.contains(word));
            let (_, check) =
                expected.unwrap_or_else(|| panic!("{path}: no check is known that should refuse it"));
            assert!(e.check.contains(check), "{path}: refused by {} instead of {check}: {e}", e.check);
            assert!(e.to_string().contains(e.check) && e.to_string().contains(&e.input), "{e}");
            "refused"
        } else if found.starts_with("QUIRK") {
            match outcome {
                Ok(imported) => assert!(imported.source.signature < SourceSignature::Verified, "{path}"),
                Err(e) => assert!(e.check.contains("signature"), "{path}: {e}"),
            }
            "not verified"
        } else if found.starts_with("PASS") {
            let imported = outcome.unwrap_or_else(|e| panic!("{path}: {e}"));
            let source = &imported.source;
            let least = if found.contains("Rekor") || verified_by.contains("trusted_root") {
                SourceSignature::VerifiedAndLogged
            } else {
                SourceSignature::Verified
            };
            assert!(source.signature >= least, "{path}: {source:#?}");
            assert!(source.signer.is_some(), "{path}: {source:#?}");
            assert_eq!(
                source.signature == SourceSignature::VerifiedAndLogged,
                source.witnessed.is_some(),
                "{path}"
            );
            "verified"
        } else if what.contains("INVALID") {
            match outcome {
                Ok(imported) => {
                    let doubted = imported.source.checks.iter().any(|check| check.check == "model-index");
                    assert!(doubted, "{path}: {:#?}", imported.source);
                }
                Err(e) => assert_eq!(e.check, "front-matter", "{path}: {e}"),
            }
            "invalid card"
        } else {
            let imported = outcome.unwrap_or_else(|e| panic!("{path}: {e}"));
            if verified_by.starts_with("unsigned") {
                assert!(
                    imported.source.signature < SourceSignature::Verified,
                    "{path}: {:#?}",
                    imported.source
                );
            }
            "other"
        };
        *counts.entry(kind).or_default() += 1;
    }
    eprintln!("{counts:?}");
    for kind in ["verified", "refused", "not verified", "invalid card", "other"] {
        assert!(counts.contains_key(kind), "the table has no document of the kind {kind:?}");
    }
}

#[test]
fn artifacts_beside_a_document_are_its_subjects() {
    let Some(table) = Table::read() else { return };
    let mut checked = 0;
    for artifact in
        table.rows.iter().filter(|row| row.found == "digest matches" || row.what.contains("subject of"))
    {
        let bytes = table.bytes(&artifact.path);
        let sha512 = ArtifactDigest::new(DigestAlgorithm::Sha512, Sha512::digest(&bytes).to_vec()).unwrap();
        let made = [ArtifactDigest::sha256_of(&bytes), sha512];
        for row in table.documents().filter(|row| is_about(row, artifact) && row.found.starts_with("PASS")) {
            let path = table.folder.join(&artifact.path);
            let imported = table.import(row).unwrap();
            if names_another_file(&imported, artifact) {
                continue;
            }
            let subjects = digests(&imported);
            assert!(made.iter().any(|digest| subjects.contains(digest)), "{}: {subjects:?}", row.path);

            let trust = table.trust(row);
            let document = table.bytes(&row.path);
            let good = import_with_files(&document, &row.path, &trust, &[(artifact.path.clone(), path)]);
            let checks = good.unwrap_or_else(|e| panic!("{e}")).source.checks;
            assert!(checks.iter().any(|check| check.check == "subject-digest" && check.proven), "{checks:?}");
            let other = [(row.path.clone(), table.folder.join(&row.path))];
            let wrong = import_with_files(&document, &row.path, &trust, &other);
            assert!(wrong.unwrap_err().check == "subject-digest", "{}", row.path);
            checked += 1;
        }
    }
    assert!(checked > 0, "no artifact stands beside its document");
}

/// Whether the two were published together: one under the other's name, or a folder of documents with one artifact.
fn is_about(document: &Row, artifact: &Row) -> bool {
    let beside = document.origin.strip_prefix(&artifact.origin).is_some_and(|rest| rest.starts_with('.'));
    let folder = artifact.origin.rsplit_once('/').map_or("", |(folder, _)| folder);
    beside || (artifact.what.ends_with("bundles") && document.origin.starts_with(&format!("{folder}/")))
}

/// Whether the document itself says that it is about another file of this kind.
fn names_another_file(imported: &Imported, artifact: &Row) -> bool {
    let file = artifact.origin.rsplit('/').next().unwrap();
    let kind = file.rsplit_once('.').map(|(_, kind)| kind);
    imported.subjects.iter().any(|subject| {
        let Subject::Artifact { label: Some(label), .. } = subject else { return false };
        label != file && kind.is_some() && label.rsplit_once('.').map(|(_, kind)| kind) == kind
    })
}

#[test]
fn without_a_key_a_signed_document_stands_as_unverified() {
    let Some(table) = Table::read() else { return };
    for row in table.documents().filter(|row| row.found.starts_with("PASS")) {
        let imported = import(&table.bytes(&row.path), &row.path, &Trust::default()).unwrap();
        assert_eq!(imported.source.signature, SourceSignature::Unverified, "{}", row.path);
        assert!(imported.source.checks.iter().any(|check| !check.proven), "{}", row.path);
        assert_eq!((imported.source.signer, imported.source.witnessed), (None, None), "{}", row.path);
    }
}

#[test]
fn a_changed_byte_never_changes_what_is_verified_and_never_panics() {
    let Some(table) = Table::read() else { return };
    for row in table.documents() {
        let trust = table.trust(row);
        let document = table.bytes(&row.path);
        let whole = import(&document, &row.path, &trust).ok();
        // A prime stride reaches every field of every document within some thousand imports.
        for at in (0..document.len()).step_by(if row.found.starts_with("PASS") { 97 } else { 499 }) {
            let mut changed = document.clone();
            changed[at] ^= 1;
            let Ok(imported) = import(&changed, &row.path, &trust) else { continue };
            assert_fits(&row.path, &imported);
            if imported.source.signature >= SourceSignature::Verified {
                // What is not signed may change, such as a key's hint; what is claimed must not.
                let whole = whole.as_ref().unwrap();
                assert_eq!(imported.claim, whole.claim, "{} at {at}", row.path);
                assert_eq!(imported.subjects, whole.subjects, "{} at {at}", row.path);
                assert_eq!(imported.materials, whole.materials, "{} at {at}", row.path);
                assert_eq!(imported.content, whole.content, "{} at {at}", row.path);
            }
        }
        for end in (0..document.len()).step_by(1 + document.len() / 16) {
            let _ = import(&document[..end], &row.path, &trust);
        }
    }
}

#[test]
fn a_model_with_a_changed_missing_or_unsigned_file_is_refused() {
    let Some(table) = Table::read() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let stranger = scratch.path().join("stranger");
    std::fs::write(&stranger, b"not signed").unwrap();
    let models = table
        .documents()
        .filter(|row| row.path.starts_with("model-signing/") && row.found.starts_with("PASS"));
    for row in models {
        let (document, trust) = (table.bytes(&row.path), table.trust(row));
        let refused = |files: &[(String, PathBuf)]| {
            import_with_files(&document, &row.path, &trust, files).unwrap_err().check
        };
        let files = table.artifacts(&row.path);
        let signed = import_with_files(&document, &row.path, &trust, &files).unwrap();
        let proven = |check: &str| signed.source.checks.iter().any(|one| one.check == check && one.proven);
        assert!(proven("resource-digest") && proven("model-root-digest"), "{:#?}", signed.source);

        let mut more = files.clone();
        more.push(("extra".into(), stranger.clone()));
        assert_eq!(refused(&more), "unsigned-file", "{}", row.path);
        let listed = |name: &str| name.starts_with("signme");
        let mut other = files.clone();
        other.iter_mut().find(|(name, _)| listed(name)).unwrap().1 = stranger.clone();
        assert_eq!(refused(&other), "resource-digest", "{}", row.path);
        let less: Vec<_> = files.iter().filter(|(name, _)| !listed(name)).cloned().collect();
        assert_eq!(refused(&less), "resource-digest", "{}", row.path);
    }
}
