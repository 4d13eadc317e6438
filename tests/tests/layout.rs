//! Style that a machine can check: how long a file gets, which crate may know which, and what tests may not do.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails this way says where"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use counterfoil_tests::shared::files;
use toml::{Table, Value};

const LINES_MAX: usize = 900;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn manifest(folder: &Path) -> Table {
    let path = folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn members() -> Vec<String> {
    let manifest = manifest(&root());
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

/// Every Rust file of the workspace with its text; build output lies outside the members' folders.
fn sources() -> Vec<(PathBuf, String)> {
    let folders = members().into_iter().map(|member| root().join(member));
    let all = folders.flat_map(|folder| files(&folder, "rs").unwrap());
    all.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

fn is_test(path: &Path) -> bool {
    path.strip_prefix(root()).unwrap().components().nth(1).is_some_and(|folder| folder.as_os_str() == "tests")
}

/// The crates in the tables whose names end so, at the top or for one target, under the names they are published by.
fn depends_on(member: &str, tables: &[&str]) -> BTreeSet<String> {
    let manifest = manifest(&root().join(member));
    let mut found = BTreeSet::new();
    let mut read = |from: &Table| {
        for dependencies in tables.iter().filter_map(|table| from.get(*table)?.as_table()) {
            for (name, value) in dependencies {
                let package = value.get("package").and_then(Value::as_str);
                found.insert(package.unwrap_or(name).to_owned());
            }
        }
    };
    read(&manifest);
    let targets = manifest.get("target").and_then(Value::as_table);
    targets.into_iter().flat_map(Table::values).filter_map(Value::as_table).for_each(read);
    found
}

/// What a crate is built from, its own tests aside.
fn builds_on(member: &str) -> BTreeSet<String> {
    depends_on(member, &["dependencies", "build-dependencies"])
}

fn assert_free_of(member: &str, found: &BTreeSet<String>, forbidden: &[&str]) {
    for name in found {
        // libp2p and RocksDB come in several crates each.
        let hit = forbidden.iter().any(|no| name == no || name.starts_with(&format!("{no}-")));
        assert!(!hit, "{member} depends on {name}");
    }
}

#[test]
fn no_file_is_too_long() {
    let sources = sources();
    assert!(sources.len() > 50, "only {} files were found", sources.len());
    for (path, text) in sources {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, where {LINES_MAX} are allowed", path.display());
    }
}

#[test]
fn the_protocol_is_pure() {
    let forbidden =
        ["tokio", "libp2p", "rocksdb", "librocksdb", "rand", "rand_core", "rand_chacha", "getrandom"];
    assert_free_of("protocol", &builds_on("protocol"), &forbidden);
    for member in members() {
        let own = format!("counterfoil-{member}");
        assert!(
            member == "protocol" || !builds_on("protocol").contains(&own),
            "protocol depends on {member}"
        );
    }
}

#[test]
fn the_federation_has_no_network_disk_or_clock_of_its_own() {
    let found = builds_on("federation");
    assert_free_of("federation", &found, &["tokio", "libp2p", "rocksdb", "librocksdb"]);
    let others = ["counterfoil-node", "counterfoil-simnet", "counterfoil-tests"];
    assert_free_of("federation", &found, &others);
}

#[test]
fn node_and_simulation_do_not_know_each_other() {
    let tables = ["dependencies", "build-dependencies", "dev-dependencies"];
    assert_free_of("node", &depends_on("node", &tables), &["counterfoil-simnet"]);
    assert_free_of("simnet", &depends_on("simnet", &tables), &["counterfoil-node"]);
}

#[test]
fn every_crate_takes_lints_and_versions_from_the_workspace() {
    for member in members() {
        let manifest = manifest(&root().join(&member));
        assert_eq!(manifest["lints"]["workspace"], Value::Boolean(true), "{member}");
        for table in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let Some(table) = manifest.get(table).and_then(Value::as_table) else { continue };
            for (name, value) in table {
                let shared = value.get("workspace") == Some(&Value::Boolean(true));
                // A crate's own tests name it by path, to turn its test support on.
                let itself = value.get("path").and_then(Value::as_str) == Some(".");
                assert!(shared || itself, "{member} gives {name} a version of its own");
            }
        }
    }
}

#[test]
fn no_test_is_left_out_or_waits_for_time_to_pass() {
    // Put together here, so that this file does not find itself.
    let (ignore, sleep) = (["#[ign", "ore"].concat(), ["thread::sl", "eep"].concat());
    for (path, text) in sources() {
        assert!(!text.contains(&ignore), "{} leaves a test out", path.display());
        assert!(!is_test(&path) || !text.contains(&sleep), "{} sleeps", path.display());
    }
}
