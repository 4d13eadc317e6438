//! Python environments with pinned packages, for tests that run other people's software.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The `bin` folder of an environment in `folder` with the packages that a file pins, made once; none where that cannot be
/// done, which fails the test where it must not be left out.
///
/// # Panics
/// Under CI, when the environment cannot be made.
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails this way says where")]
pub fn environment(folder: &Path, requirements: &Path) -> Option<PathBuf> {
    let wanted = std::fs::read_to_string(requirements).unwrap();
    let (environment, mark) = (folder.join("venv"), folder.join("installed"));
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Some(environment.join("bin"));
    }
    std::fs::create_dir_all(folder).unwrap();
    // Tests of other processes make the same one.
    let turn = std::fs::File::create(folder.join("lock")).unwrap();
    turn.lock().unwrap();
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Some(environment.join("bin"));
    }
    let make = ["-m", "venv", "--clear"].map(str::to_owned).into_iter();
    let install = ["install", "--quiet", "--only-binary", ":all:", "-r"].map(str::to_owned).into_iter();
    let steps: [(PathBuf, Vec<String>); 2] = [
        ("python3".into(), make.chain([environment.display().to_string()]).collect()),
        (environment.join("bin/pip"), install.chain([requirements.display().to_string()]).collect()),
    ];
    for (program, arguments) in steps {
        let failure = match Command::new(&program).args(arguments).output() {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        assert!(std::env::var("CI").is_err(), "{}: {failure}", program.display());
        println!("skipped: {} cannot be run here: {failure}", program.display());
        return None;
    }
    std::fs::write(&mark, wanted).unwrap();
    Some(environment.join("bin"))
}
