//! The shared material: public vectors and real documents, which are no part of this repository.

use std::path::{Path, PathBuf};

/// The folder `part` of the shared material: in `COUNTERFOIL_SHARED`, or beside the checkout.
///
/// Where it is absent, a continuous integration run (`CI=true`) fails, and any other run is told that the test was
/// skipped and gets nothing.
///
/// # Panics
/// Under `CI=true`, when the material is absent.
#[allow(clippy::panic, reason = "a gate without its material must not pass")]
pub fn shared(part: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let root = std::env::var_os("COUNTERFOIL_SHARED").map_or(beside, PathBuf::from);
    let folder = root.join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        panic!("the shared material {} is absent", folder.display());
    }
    eprintln!("skipped: the shared material {} is absent; COUNTERFOIL_SHARED may name it", folder.display());
    None
}

/// Every file under `folder` with this extension, in order.
///
/// # Errors
/// What the system says.
pub fn files(folder: &Path, extension: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
