//! The second implementation, which runs in Node.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde::Deserialize;

use super::parts::Case;

/// What it found about one file.
#[derive(Debug, Deserialize)]
pub(crate) struct Found {
    pub(crate) verified: bool,
    pub(crate) checks: Vec<Check>,
    pub(crate) times: Vec<Times>,
}

/// When one statement must have been made, in seconds.
#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Times {
    pub(crate) statement: String,
    pub(crate) not_before: Option<String>,
    pub(crate) not_after: Option<String>,
}

/// One line of what it found.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Check {
    pub(crate) check: String,
    pub(crate) input: String,
    pub(crate) outcome: String,
    pub(crate) detail: String,
}

impl Found {
    pub(crate) fn failed(&self) -> Vec<&str> {
        self.checks.iter().filter(|one| one.outcome == "failed").map(|one| one.check.as_str()).collect()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/ui")
}

/// Builds it, once; false where this machine has no Node, which under `CI=true` is a failure.
pub(crate) fn build() -> bool {
    static BUILT: LazyLock<bool> = LazyLock::new(|| {
        let node = Command::new("node").arg("--version").stdout(Stdio::null()).status();
        if !node.is_ok_and(|status| status.success()) {
            let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!is_ci, "node is missing; `make setup` installs it");
            eprintln!("skipped: node is missing; `make setup` installs it");
            return false;
        }
        let built = Command::new(folder().join("build.sh")).status().unwrap();
        assert!(built.success(), "node/ui/build.sh failed");
        true
    });
    *BUILT
}

fn run(arguments: &[&Path]) -> Output {
    let mut command = Command::new("node");
    command.arg("--no-warnings").arg(folder().join("dist/verify/cli.js")).args(arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

fn read(output: &Output) -> Vec<Found> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Has every file verified, in order.
pub(crate) fn verify(cases: &[Case]) -> Vec<Found> {
    let files = tempfile::tempdir().unwrap();
    let write = |(n, case): (usize, &Case)| {
        let path = files.path().join(format!("{n}.cfb"));
        std::fs::write(&path, &case.bytes).unwrap();
        path
    };
    let paths: Vec<PathBuf> = cases.iter().enumerate().map(write).collect();
    let mut found = Vec::with_capacity(cases.len());
    // In portions, so that no command line becomes too long.
    for portion in paths.chunks(500) {
        let portion: Vec<&Path> = portion.iter().map(PathBuf::as_path).collect();
        let output = run(&portion);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {error}", output.status);
        found.extend(read(&output));
    }
    assert_eq!(found.len(), cases.len());
    found
}

/// Has one file verified against a trust file; nothing where that is refused.
pub(crate) fn trusting(case: &Case, trust: &str) -> Option<Found> {
    let files = tempfile::tempdir().unwrap();
    let (bundle, policy) = (files.path().join("bundle.cfb"), files.path().join("trust"));
    std::fs::write(&bundle, &case.bytes).unwrap();
    std::fs::write(&policy, trust).unwrap();
    let output = run(&[Path::new("--trust"), &policy, &bundle]);
    read(&output).pop()
}

/// Has expressions looked into, one a line: what each came to, in words; nothing where it was not read.
pub(crate) fn expressions(lines: &str) -> Vec<Option<String>> {
    let files = tempfile::tempdir().unwrap();
    let input = files.path().join("expressions");
    std::fs::write(&input, lines).unwrap();
    let mut command = Command::new("node");
    command.arg("--no-warnings").arg(folder().join("dist/test/expressions.js"));
    let output = command.stdin(std::fs::File::open(&input).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let word = |line: &str| {
        let found: serde_json::Value = serde_json::from_str(line).unwrap();
        let holds = found["holds"].as_bool().map(|holds| holds.to_string());
        holds.or_else(|| found["undecided"].as_str().map(str::to_owned))
    };
    text.lines().map(word).collect()
}

/// What the page shows of one file.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) state: String,
    pub(crate) status: String,
    pub(crate) checks: Vec<Check>,
    /// Checks that are explained.
    pub(crate) meanings: Vec<String>,
}

/// What the page asked of anybody, and what went wrong in it.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    pub(crate) requests: Vec<String>,
    pub(crate) problems: Vec<String>,
}

/// False where this machine has no browser, which under `CI=true` is a failure.
pub(crate) fn has_browser() -> bool {
    let is_there = Path::new("/usr/bin/chromium").exists();
    let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(is_there || !is_ci, "chromium is missing; `deploy/setup/tests.sh` installs it");
    if !is_there {
        eprintln!("skipped: chromium is missing; `deploy/setup/tests.sh` installs it");
    }
    is_there
}

/// Has the page verify every file, in a browser; the last one is dropped onto it.
pub(crate) fn browse(cases: &[Case]) -> (Vec<Answer>, Asked) {
    let files = tempfile::tempdir().unwrap();
    let write = |(n, case): (usize, &Case)| {
        let path = files.path().join(format!("{n}.cfb"));
        std::fs::write(&path, &case.bytes).unwrap();
        path
    };
    let paths: Vec<PathBuf> = cases.iter().enumerate().map(write).collect();
    let mut command = Command::new("node");
    // The browser keeps its settings where its user does.
    command.env("HOME", files.path()).arg(folder().join("dist/test/browser.js")).args(&paths);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let (last, answers) =
        text.lines().collect::<Vec<_>>().split_last().map(|(l, a)| (*l, a.to_vec())).unwrap();
    let answers = answers.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    (answers, serde_json::from_str(last).unwrap())
}
