//! One real node, asked over TCP as a stranger and as a friend, and from the command line as its owner.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_node::cli::client::{Address, Client, Refused};
use counterfoil_protocol::chain::CompactRange;
use counterfoil_protocol::chain::checkpoint::Checkpoint;
use counterfoil_protocol::chain::note::{Note, VerifierKey};
use counterfoil_protocol::chain::tile::hashes_of;
use counterfoil_tests::process::Process;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

struct Bench {
    _folder: tempfile::TempDir,
    node: Process,
    api: String,
    token: String,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::started(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    let api = node.run(&["status"]).unwrap()["api"].as_str().unwrap().to_owned();
    let token = std::fs::read_to_string(node.data().join("api.token")).unwrap().trim().to_owned();
    Bench { _folder: folder, node, api, token }
}

impl Bench {
    fn client(&self, token: &str) -> Client {
        Client::new(Address::Tcp(self.api.clone(), token.to_owned()))
    }

    fn friend(&self) -> Client {
        self.client(&self.token)
    }

    /// How a command ended, and what it said on standard error.
    fn ends(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.node.output(arguments).unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn refused(outcome: anyhow::Result<Value>) -> (u16, String) {
    let error = outcome.unwrap_err();
    let problem = &error.downcast_ref::<Refused>().unwrap().0;
    (problem.status, problem.check.clone())
}

#[test]
fn strangers_see_the_log_and_nothing_else() {
    let bench = bench();
    let stranger = bench.client("guessed");
    assert_eq!(stranger.bytes("/healthz").unwrap(), b"ok\n");
    assert_eq!(stranger.bytes("/readyz").unwrap(), b"ready\n");
    for path in ["/v1/status", "/v1/statements", "/v1/mesh/members"] {
        assert_eq!(refused(stranger.get(path)), (401, "token".into()), "{path}");
    }
    assert_eq!(refused(stranger.post("/v1/keys/intruder", &json!({}))), (401, "token".into()));
    let known: Value = stranger.get("/.well-known/counterfoil.json").unwrap();
    let status: Value = bench.friend().get("/v1/status").unwrap();
    assert_eq!(known["organisation"], status["organisation"]);
    assert_eq!(known["vkey"], status["vkey"]);
}

#[test]
fn checkpoint_and_tiles_fit_each_other_and_the_verifier_key() {
    let bench = bench();
    let stranger = bench.client("");
    let known: Value = stranger.get("/.well-known/counterfoil.json").unwrap();
    let note = Note::parse(&stranger.bytes("/log/checkpoint").unwrap()).unwrap();
    let key: VerifierKey = known["vkey"].as_str().unwrap().parse().unwrap();
    note.verify(&key).unwrap();
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    assert_eq!(checkpoint.size.0, 3);
    let tile = stranger.bytes("/log/tile/0/000.p/3").unwrap();
    let mut range = CompactRange::default();
    hashes_of(&tile).unwrap().into_iter().for_each(|leaf| range.append(leaf));
    assert_eq!(range.root(), checkpoint.root);
    let entries = stranger.bytes("/log/tile/entries/000.p/3").unwrap();
    assert_eq!(entries.len(), 3 * 34);
    for missing in ["/log/tile/0/000", "/log/tile/0/000.p/4", "/log/tile/1/000.p/1", "/log/tile/entries/001"]
    {
        let error = stranger.bytes(missing).unwrap_err();
        assert_eq!(error.downcast_ref::<Refused>().unwrap().0.status, 404, "{missing}");
    }
    assert_eq!(
        stranger.bytes("/log/tile/0/0").unwrap_err().downcast_ref::<Refused>().unwrap().0.check,
        "tile"
    );
}

#[test]
fn problems_name_the_check_and_the_way_out() {
    let bench = bench();
    let friend = bench.friend();
    let nobody = format!("stmt:{}", "a".repeat(52));
    assert_eq!(refused(friend.get(&format!("/v1/statements/{nobody}"))), (404, "known".into()));
    assert_eq!(refused(friend.get("/v1/statements/short")), (400, "id".into()));
    assert_eq!(refused(friend.get("/nowhere")), (404, "address".into()));
    assert_eq!(refused(friend.post("/v1/decisions", &json!({ "reqest": 1 }))), (400, "json".into()));
    let observation = json!({ "kind": "observation", "payload": "aa" });
    assert_eq!(refused(friend.post("/v1/statements", &observation)), (400, "payload".into()));
    let signed = json!({ "signed": "AAAA" });
    assert_eq!(refused(friend.post("/v1/statements/signed", &signed)), (422, "statement-form".into()));
    assert_eq!(refused(friend.get("/v1/mesh/terms")), (422, "mesh".into()));
    let request = json!({ "request": {
        "action": "deploy/x", "subjects": [{ "named": "x" }], "actuator": "a", "reversibility": "reversible",
    }});
    let error = friend.post::<Value>("/v1/decisions", &request).unwrap_err().to_string();
    assert!(error.contains("profile declare"), "{error}");
    // Nothing of all this changed the chain.
    assert_eq!(friend.get::<Value>("/v1/status").unwrap()["size"], 3);
}

#[test]
fn commands_end_with_the_codes_that_scripts_rely_on() {
    let bench = bench();
    assert_eq!(bench.ends(&["frobnicate"]).0, 2);
    let (code, error) = bench.ends(&["show", "stmt"]);
    assert_eq!(code, 1);
    assert!(error.contains("eight characters"), "{error}");
    let (code, error) = bench.ends(&["init", "--name", "again"]);
    assert_eq!(code, 1);
    assert!(error.contains("holds an organisation already"), "{error}");
    // A second process on the same data is kept out, by the command that checks the disk too.
    for second in [&["run", "--api", "127.0.0.1:0"][..], &["fsck"]] {
        let (code, error) = bench.ends(second);
        assert!(code == 1 && error.contains("head.lock.guard"), "{error}");
    }
    let broken = bench.node.data().join("broken.cfb");
    std::fs::write(&broken, b"CFBUNDLE").unwrap();
    assert_eq!(bench.ends(&["verify", &broken.to_string_lossy()]).0, 3);
    let request = bench.node.data().join("request.toml");
    std::fs::write(&request, "action = \"deploy/x\"\nsubject = [\"x\"]\n").unwrap();
    let (code, error) = bench.ends(&["decide", &request.to_string_lossy()]);
    assert!(code == 1 && error.contains("request.toml") && error.contains("unknown field"), "{error}");
    bench.node.kill().unwrap();
    let whole = bench.node.run(&["fsck"]).unwrap();
    assert_eq!((&whole["entries"], &whole["damage"]), (&json!(3), &json!([])));
    let (code, error) = bench.ends(&["status"]);
    assert!(code == 1 && error.contains("counterfoil run"), "{error}");
}
