//! A retention that ends before the law lets it is refused; one that does not deletes documents, and nothing of the chain.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::time::{Duration, SystemTime};

use counterfoil_tests::process::Process;
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

#[test]
fn documents_are_kept_as_long_as_the_law_asks_and_the_chain_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::at(PROGRAM, folder.path());
    node.run(&["init", "--name", "deployer", "--jurisdiction", "DE"]).unwrap();
    let config = folder.path().join("node.toml");
    let plain = std::fs::read_to_string(&config).unwrap();
    let retain = |days: u32| std::fs::write(&config, format!("retention-days = {days}\n{plain}")).unwrap();

    retain(183);
    let refused = node.start().unwrap_err().to_string();
    assert!(refused.contains("183 days of retention end before the 184 that DE asks for"), "{refused}");
    assert!(refused.contains("Articles 19(1) and 26(6)"), "{refused}");

    retain(184);
    node.start().unwrap();
    let claim = |name: &str| {
        let path = folder.path().join(name);
        let claim = json!({ "claim": "evaluation/test", "subjects": [format!("name:{name}")] });
        std::fs::write(&path, claim.to_string()).unwrap();
        node.run(&["observe", &path.to_string_lossy()]).unwrap()[0]["said"]["statement"].clone()
    };
    let (old, young) = (claim("old"), claim("young"));
    let documents = || -> Vec<std::path::PathBuf> {
        std::fs::read_dir(folder.path().join("blobs")).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    assert_eq!(documents().len(), 2);
    let aged = documents()
        .into_iter()
        .find(|path| std::fs::read_to_string(path).unwrap().contains("name:old"))
        .unwrap();
    let then = SystemTime::now() - Duration::from_secs(185 * 86_400);
    std::fs::File::options().write(true).open(&aged).unwrap().set_modified(then).unwrap();
    // What is overdue is deleted when the node looks, which it does when it starts.
    node.kill().unwrap();
    node.start().unwrap();
    node.until(&["status"], |_| !aged.exists()).unwrap();
    assert_eq!(documents().len(), 1);
    for statement in [old, young] {
        let out = folder.path().join("receipt");
        let proof = ["receipt", statement.as_str().unwrap(), "-o", &out.to_string_lossy()];
        node.run(&proof).unwrap();
    }
}
