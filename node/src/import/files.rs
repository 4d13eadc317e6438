//! Artifact files, read in pieces and compared with the digests that a document states.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use counterfoil_protocol::observation::{ArtifactDigest, DigestAlgorithm, Subject, SubjectKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::proof::check as finding;
use super::{ImportError, Imported, Input, model_signing};

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

enum Hasher {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    fn new(algorithm: DigestAlgorithm) -> Self {
        match algorithm {
            DigestAlgorithm::Sha256 => Self::Sha256(Sha256::new()),
            DigestAlgorithm::Sha384 => Self::Sha384(Sha384::new()),
            DigestAlgorithm::Sha512 => Self::Sha512(Sha512::new()),
            DigestAlgorithm::Blake3 => Self::Blake3(Box::default()),
        }
    }

    fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(piece),
            Self::Sha384(hasher) => hasher.update(piece),
            Self::Sha512(hasher) => hasher.update(piece),
            Self::Blake3(hasher) => {
                hasher.update(piece);
            }
        }
    }

    fn finish(self) -> Option<ArtifactDigest> {
        let (algorithm, value) = match self {
            Self::Sha256(hasher) => (DigestAlgorithm::Sha256, hasher.finalize().to_vec()),
            Self::Sha384(hasher) => (DigestAlgorithm::Sha384, hasher.finalize().to_vec()),
            Self::Sha512(hasher) => (DigestAlgorithm::Sha512, hasher.finalize().to_vec()),
            Self::Blake3(hasher) => (DigestAlgorithm::Blake3, hasher.finalize().as_bytes().to_vec()),
        };
        ArtifactDigest::new(algorithm, value).ok()
    }
}

/// The file's digests of these algorithms, in one pass and constant memory.
pub(super) fn digests(
    path: &Path,
    algorithms: &BTreeSet<DigestAlgorithm>,
) -> io::Result<BTreeSet<ArtifactDigest>> {
    let mut hashers: Vec<_> = algorithms.iter().copied().map(Hasher::new).collect();
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE];
    loop {
        let length = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let read = piece.get(..length).unwrap_or_default();
        hashers.iter_mut().for_each(|hasher| hasher.update(read));
    }
    Ok(hashers.into_iter().filter_map(Hasher::finish).collect())
}

fn artifacts(subjects: &[Subject]) -> BTreeSet<ArtifactDigest> {
    let keys = subjects.iter().map(Subject::key);
    keys.filter_map(|key| match key {
        SubjectKey::Digest(digest) => Some(digest),
        SubjectKey::Name(_) | SubjectKey::Statement(_) => None,
    })
    .collect()
}

/// Every file that was given must be a subject or a material of the claim, by its bytes.
pub(super) fn check(input: &Input<'_>, imported: &mut Imported) -> Result<(), ImportError> {
    // A signed model says more about its files than that each is known; it was checked when it was read.
    if input.files.is_empty() || imported.claim == model_signing::CLAIM {
        return Ok(());
    }
    let mut stated = artifacts(&imported.subjects);
    stated.append(&mut artifacts(&imported.materials));
    let algorithms = stated.iter().map(ArtifactDigest::algorithm).collect();
    for (name, path) in input.files {
        let found = digests(path, &algorithms).map_err(|e| input.fail("file", format!("{name}: {e}")))?;
        if found.is_disjoint(&stated) {
            let detail = format!("{name} has none of the {} digests that the document states", stated.len());
            return Err(input.fail("subject-digest", detail));
        }
    }
    let detail = format!("{} files have the digests that the document states", input.files.len());
    imported.source.checks.push(finding("subject-digest", true, detail));
    Ok(())
}
