//! What is wrong with an input decides how it is refused: by its own check, with its own status.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use counterfoil_node::cli::client::{Address, Client, Refused};
use counterfoil_protocol::digest::blake3;
use counterfoil_tests::process::Process;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

struct Bench {
    folder: tempfile::TempDir,
    node: Process,
    client: Client,
}

fn bench(name: &str) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::started(PROGRAM, &folder.path().join("node"), name).unwrap();
    let api = node.run(&["status"]).unwrap()["api"].as_str().unwrap().to_owned();
    let token = std::fs::read_to_string(node.data().join("api.token")).unwrap().trim().to_owned();
    Bench { folder, node, client: Client::new(Address::Tcp(api, token)) }
}

impl Bench {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn claim(&self, note: &str) -> String {
        let path = self.path("claim.json");
        let claim =
            json!({ "claim": "evaluation/test", "subjects": ["name:model"], "content": { "note": note } });
        std::fs::write(&path, claim.to_string()).unwrap();
        path
    }

    fn observe(&self, role: &str) -> String {
        let said = self.node.run(&["observe", &self.claim("fine"), "--as", role]).unwrap();
        said[0]["statement"].as_str().unwrap().to_owned()
    }

    fn bytes(&self, id: &str) -> Vec<u8> {
        self.node.run(&["show", id, "--raw", "-o", &self.path("statement.cose")]).unwrap();
        std::fs::read(self.path("statement.cose")).unwrap()
    }

    fn append(&self, bytes: &[u8]) -> (u16, String) {
        self.post("/v1/statements/signed", &json!({ "signed": STANDARD.encode(bytes) }))
    }

    /// Says something as this authority, and gives how that was refused.
    fn say(&self, role: &str, refs: &[&str]) -> (u16, String) {
        let payload = counterfoil_protocol::test_support::observation("evaluation/test", 1);
        let payload = counterfoil_protocol::codec::encode(&payload).unwrap();
        let payload = counterfoil_protocol::ids::ByteString(payload);
        self.post(
            "/v1/statements",
            &json!({ "kind": "observation", "payload": payload, "as": role, "refs": refs }),
        )
    }

    fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let error = self.client.post::<Value>(path, body).unwrap_err();
        let problem = &error.downcast_ref::<Refused>().unwrap().0;
        (problem.status, problem.check.clone())
    }

    /// The exit code of `verify`, and the first check that failed.
    fn verify(&self, bytes: &[u8]) -> (i32, String) {
        let path = self.path("changed.cfb");
        std::fs::write(&path, bytes).unwrap();
        let output = self.node.output(&["verify", &path]).unwrap();
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = all[0]["report"]["checks"].as_array().unwrap();
        let failed = checks.iter().find(|check| check["outcome"] == "failed");
        (output.status.code().unwrap(), failed.unwrap()["check"].as_str().unwrap().to_owned())
    }
}

#[test]
fn what_is_offered_to_the_chain() {
    let (ours, others) = (bench("North Hospital"), bench("South Hospital"));
    ours.node.run(&["authority", "issue", "--role", "tester"]).unwrap();
    let id = ours.observe("tester");
    let good = ours.bytes(&id);
    let said = |text: &str| text.to_owned();

    let mut tampered = good.clone();
    let at = tampered.windows(4).position(|window| window == b"fine").unwrap();
    tampered[at] = b'v';
    assert_eq!(ours.append(&tampered), (422, said("signature")));
    assert_eq!(ours.append(&good[..good.len() - 1]), (422, said("statement-form")));
    let foreign = others.bytes(&others.observe("steward"));
    assert_eq!(ours.append(&foreign), (421, said("chain")));
    let unknown = format!("stmt:{}", "a".repeat(52));
    assert_eq!(ours.say("tester", &[&unknown]), (424, said("refs")));

    ours.node.run(&["authority", "suspend", "tester", "--reason", "leave"]).unwrap();
    assert_eq!(ours.say("tester", &[]), (423, said("credential-suspended")));
    ours.node.run(&["authority", "revoke", "tester", "--reason", "gone"]).unwrap();
    assert_eq!(ours.say("tester", &[]), (403, said("credential-revoked")));
    // The command line says the same, and ends with 1. What was said before, in the same second, would be answered with its place.
    let output = ours.node.output(&["observe", &ours.claim("late"), "--as", "tester"]).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("credential-revoked"));
}

#[test]
fn what_is_offered_to_the_verifier() {
    let bench = bench("North Hospital");
    let id = bench.observe("steward");
    bench.node.run(&["bundle", &id, "-o", &bench.path("good.cfb")]).unwrap();
    let good = std::fs::read(bench.path("good.cfb")).unwrap();
    let sealed = |mut bytes: Vec<u8>| {
        let digest = blake3(&bytes);
        bytes.extend_from_slice(&[0x58, 0x20]);
        bytes.extend_from_slice(&digest);
        bytes
    };
    let body = good[..good.len() - 34].to_vec();
    assert_eq!(sealed(body.clone()), good);

    let mut tampered = good.clone();
    tampered[good.len() / 2] ^= 1;
    assert_eq!(bench.verify(&tampered), (3, "file-digest".into()));
    let mut tampered = body.clone();
    let at = tampered.windows(4).position(|window| window == b"fine").unwrap();
    tampered[at] = b'v';
    assert_eq!(bench.verify(&sealed(tampered)), (3, "signature".into()));
    assert_eq!(bench.verify(&sealed(body[..body.len() - 100].to_vec())), (3, "file-form".into()));
    assert_eq!(bench.verify(b"something else"), (3, "file-digest".into()));
    // What is not there at all is no failed verification.
    assert_eq!(bench.node.output(&["verify", &bench.path("nothing.cfb")]).unwrap().status.code(), Some(1));
}
