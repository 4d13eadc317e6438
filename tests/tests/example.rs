//! The example in `deploy/examples/python`, run as it stands against a real node: a model whose answers a node gates.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::path::{Path, PathBuf};
use std::process::Command;

use counterfoil_tests::process::Process;
use counterfoil_tests::python::environment;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples/python");

struct Bench {
    folder: tempfile::TempDir,
    node: Process,
    python: PathBuf,
}

impl Bench {
    fn model(&self) -> String {
        self.folder.path().join("model").to_string_lossy().into_owned()
    }

    /// What the example says line by line, and how it ends.
    fn gate(&self, arguments: &[&str]) -> (i32, Vec<Value>) {
        let output = Command::new(&self.python)
            .arg(format!("{EXAMPLE}/gate.py"))
            .args(arguments)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        let (said, complaint) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let lines = said.lines().map(|line| serde_json::from_str(line).unwrap_or(Value::Null)).collect();
        println!("{said}{complaint}");
        (output.status.code().unwrap(), lines)
    }

    fn answers(&self, batches: &str) -> (i32, Vec<Value>) {
        let api = self.node.run(&["status"]).unwrap()["api"].as_str().unwrap().to_owned();
        let token = self.node.data().join("api.token").to_string_lossy().into_owned();
        let node = format!("http://{api}");
        self.gate(&["answer", &self.model(), "--node", &node, "--token", &token, "--batches", batches])
    }

    fn observe(&self, file: &Path) -> String {
        let said = self.node.run(&["observe", &file.to_string_lossy()]).unwrap();
        said[0]["statement"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_models_answers_stop_when_its_evaluation_is_recalled() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("example");
    let Some(bin) = environment(&folder, &Path::new(EXAMPLE).join("requirements.txt")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let node = Process::started(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    let bench = Bench { folder, node, python: bin.join("python") };
    let (code, trained) = bench.gate(&["train", &bench.model()]);
    assert_eq!(code, 0);
    let digest = trained[0]["model"].as_str().unwrap().to_owned();
    let declared = bench.node.run(&["profile", "declare", &format!("{EXAMPLE}/profile.toml")]).unwrap();
    let profile = declared[0]["statement"].as_str().unwrap();
    bench.node.run(&["profile", "activate", profile]).unwrap();

    // Nobody has evaluated this model: no answer.
    let (code, said) = bench.answers("2");
    assert_eq!((code, said.len(), &said[0]["mode"]), (11, 1, &Value::from("defer")));
    // Evaluated here and not yet elsewhere: it answers where it is sure.
    let evaluation = bench.observe(&Path::new(&bench.model()).join("evaluation.json"));
    let (code, said) = bench.answers("3");
    assert_eq!((code, said.len()), (0, 3));
    for batch in &said {
        assert_eq!((&batch["mode"], &batch["mismatches"]), (&Value::from("partial"), &serde_json::json!([])));
        let (given, of) = (batch["answers"].as_u64().unwrap(), batch["of"].as_u64().unwrap());
        assert!(0 < given && given <= of, "{batch}");
    }
    assert!(said.iter().any(|batch| batch["answers"] != batch["of"]), "it abstains nowhere: {said:?}");
    // Evaluated elsewhere too: it answers everything.
    let external = serde_json::json!({ "claim": "evaluation/external", "subjects": [digest] });
    let file = bench.folder.path().join("external.json");
    std::fs::write(&file, external.to_string()).unwrap();
    bench.observe(&file);
    let (code, said) = bench.answers("2");
    assert_eq!(
        (code, &said[1]["mode"], &said[1]["answers"]),
        (0, &Value::from("continue"), &Value::from(20))
    );
    // Every batch has its decision, its permit and its effect in the chain.
    let effects = bench.node.run(&["log", "--kind", "effect"]).unwrap();
    assert_eq!(effects.as_array().unwrap().len(), 5);

    bench.node.run(&["recall", &evaluation, "--reason", "the holdout leaked into training"]).unwrap();
    let (code, said) = bench.answers("2");
    assert_eq!((code, said.len(), &said[0]["mode"]), (12, 1, &Value::from("refuse")));
    assert!(said[0]["reasons"][0].as_str().unwrap().contains("the holdout leaked into training"));
    let effects = bench.node.run(&["log", "--kind", "effect"]).unwrap();
    assert_eq!(effects.as_array().unwrap().len(), 5);
}
