//! What a node gives out, checked by other people's software: PyPI's `scitt-cose`, `pycose` and `prov`, which this test
//! installs, and Go's `sumdb/note` and `sumdb/tlog` as Debian has them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails this way says where"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use counterfoil_node::cli::client::{Address, Client};
use counterfoil_protocol::chain::checkpoint::Checkpoint;
use counterfoil_protocol::chain::note::Note;
use counterfoil_protocol::codec::{self, Value};
use counterfoil_protocol::digest::sha256;
use counterfoil_tests::process::Process;
use counterfoil_tests::python::environment;

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");
const FOREIGN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign");

/// A Python environment with the pinned packages, made once for a target directory.
fn python() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign");
    environment(&folder, &Path::new(FOREIGN).join("requirements.txt"))
}

struct Bench {
    folder: tempfile::TempDir,
    client: Client,
    bin: PathBuf,
}

impl Bench {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn check(&self, arguments: &[&str]) -> Output {
        let script = format!("{FOREIGN}/check.py");
        Command::new(self.bin.join("python")).arg(script).args(arguments).output().unwrap()
    }

    fn root(&self) -> Checkpoint {
        let note = Note::parse(&self.client.bytes("/log/checkpoint").unwrap()).unwrap();
        Checkpoint::parse(note.text()).unwrap()
    }
}

/// The program in `foreign/sumdb`, built with Debian's packages alone.
fn go() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign");
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("sumdb");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(Path::new(FOREIGN).join("sumdb"))
        .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", "")])
        .env("GOCACHE", folder.join("go-cache"))
        .output();
    let failure = match built {
        Ok(output) if output.status.success() => return Some(program),
        Ok(output) => text(&output.stderr),
        Err(error) => error.to_string(),
    };
    assert!(std::env::var("CI").is_err(), "go: {failure}");
    println!("skipped: the Go program cannot be built here: {failure}");
    None
}

fn passes(output: &Output) {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

fn fails(output: &Output, because: &str) {
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!output.status.success() && said.contains(because), "{because:?} in {said}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The public key as PEM, as `scitt-cose` wants it: the SubjectPublicKeyInfo of Ed25519 (RFC 8410) is a fixed prefix.
fn pem(key: &[u8]) -> String {
    use base64::Engine as _;
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let body = base64::engine::general_purpose::STANDARD.encode([&prefix, key].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
}

#[test]
fn statements_and_receipts_hold_for_scitt_cose_and_pycose() {
    let Some(bin) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let node = Process::started(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    let api = node.run(&["status"]).unwrap()["api"].as_str().unwrap().to_owned();
    let bench = Bench { folder, client: Client::new(Address::Tcp(api, String::new())), bin };
    let older = bench.root();
    let claims = ["one", "two", "three"].map(|name| {
        let claim = format!(r#"{{"claim": "evaluation/test", "subjects": ["name:{name}"]}}"#);
        bench.write(&format!("{name}.json"), claim.as_bytes())
    });
    let [one, two, three] = claims.each_ref().map(String::as_str);
    let said = node.run(&["observe", one, two, three]).unwrap();
    let id = said[1]["statement"].as_str().unwrap();
    let (statement, receipt) = (bench.path("statement.cose"), bench.path("receipt.cose"));
    node.run(&["show", id, "--raw", "-o", &statement]).unwrap();
    node.run(&["receipt", id, "-o", &receipt]).unwrap();
    let served = bench.client.bytes(&format!("/entries/{id}")).unwrap();
    assert_eq!(served, std::fs::read(&receipt).unwrap());
    let keys = bench.client.bytes("/.well-known/scitt-keys").unwrap();
    let Value::Array(set) = codec::from_bytes(&keys, 4096).unwrap() else { panic!("a set of keys") };
    let point = set[0].as_map().unwrap().iter().find(|(label, _)| *label == Value::Integer((-2).into()));
    let log_key = bench.write("log.pem", pem(point.unwrap().1.as_bytes().unwrap()).as_bytes());
    let keys = bench.write("keys.cbor", &keys);

    // scitt-cose, by its own command.
    let bytes = std::fs::read(&statement).unwrap();
    let scitt = |statement: &str, receipt: &str, entry: &[u8]| {
        let entry = data_encoding::HEXLOWER.encode(&sha256(&[entry]));
        Command::new(bench.bin.join("scitt-cose"))
            .args(["--statement", statement, "--receipt", receipt, "--receipt-log-pubkey", &log_key])
            .args(["--leaf-entry-hex", &entry])
            .output()
            .unwrap()
    };
    passes(&scitt(&statement, &receipt, &bytes));
    fails(&scitt(&statement, &receipt, b"another statement"), "");
    let mut other = std::fs::read(&receipt).unwrap();
    let last = other.len() - 1;
    other[last] ^= 1;
    let other = bench.write("other.cose", &other);
    fails(&scitt(&statement, &other, &bytes), "");

    // pycose, with the proofs followed by the script.
    passes(&bench.check(&[&keys, &statement, &receipt]));
    fails(&bench.check(&[&keys, &statement, &other]), "does not verify");
    let mut tampered = bytes;
    let middle = tampered.len() / 2;
    tampered[middle] ^= 1;
    let tampered = bench.write("tampered.cose", &tampered);
    fails(&bench.check(&[&keys, &tampered, &receipt]), "");

    // Consistency, from what the chain was at first.
    let newer = bench.root();
    assert!(newer.size > older.size);
    let receipt = bench.client.bytes(&format!("/log/consistency/{}", older.size)).unwrap();
    let receipt = bench.write("consistency.cose", &receipt);
    let hex = |checkpoint: &Checkpoint| data_encoding::HEXLOWER.encode(&checkpoint.root.0);
    passes(&bench.check(&[&keys, &receipt, &hex(&older), &hex(&newer)]));
    fails(&bench.check(&[&keys, &receipt, &hex(&newer), &hex(&newer)]), "not consistent");
    fails(&bench.check(&[&keys, &receipt, &hex(&older), &hex(&older)]), "does not verify");
    assert!(bench.client.bytes("/log/consistency/9999").is_err());
}

#[test]
fn lineages_are_prov_for_prov() {
    let Some(bin) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let node = Process::started(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let observe = |name: &str, claim: serde_json::Value, sources: &[&str]| {
        std::fs::write(path(name), claim.to_string()).unwrap();
        let mut arguments = vec!["observe".to_owned(), path(name)];
        sources.iter().for_each(|id| arguments.extend(["--derived-from".to_owned(), (*id).to_owned()]));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        node.run(&arguments).unwrap()[0]["statement"].as_str().unwrap().to_owned()
    };
    let data = observe(
        "data.json",
        serde_json::json!({ "claim": "provenance/datasheet", "subjects": ["name:a dataset"] }),
        &[],
    );
    let model = serde_json::json!({ "claim": "evaluation/test", "subjects": [format!("sha256:{}", "ab".repeat(32))] });
    let model = observe("model.json", model, &[&data]);
    for (command, id) in [("trace", &model), ("impact", &data)] {
        let output = node.output(&[command, id, "--format", "prov-json"]).unwrap();
        passes(&output);
        std::fs::write(path("lineage.json"), &output.stdout).unwrap();
        let script = format!("{FOREIGN}/lineage.py");
        let read =
            |file: &str| Command::new(bin.join("python")).args([&script, &path(file)]).output().unwrap();
        let whole = read("lineage.json");
        passes(&whole);
        let counts: Vec<usize> = text(&whole.stdout).split_whitespace().map(|n| n.parse().unwrap()).collect();
        assert!(counts[0] >= 4 && counts[1] >= 4, "{counts:?}");
        // The check can fail: an edge to something that is not described.
        let mut broken: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        broken["entity"].as_object_mut().unwrap().retain(|id, _| !id.starts_with("stmt:"));
        std::fs::write(path("broken.json"), broken.to_string()).unwrap();
        fails(&read("broken.json"), "not described");
    }
}

#[test]
fn checkpoints_and_tiles_hold_for_go() {
    let Some(program) = go() else { return };
    let folder = tempfile::tempdir().unwrap();
    let node = Process::started(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    let api = node.run(&["status"]).unwrap()["api"].as_str().unwrap().to_owned();
    let client = Client::new(Address::Tcp(api.clone(), String::new()));
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(path("older"), client.bytes("/log/checkpoint").unwrap()).unwrap();
    // More than a tile has, so that there is a full one and a level above it.
    let mut said = serde_json::Value::Null;
    for round in 0..13 {
        let claims: Vec<String> = (0..20).map(|n| path(&format!("claim-{n}.json"))).collect();
        for (n, file) in claims.iter().enumerate() {
            let claim = format!(r#"{{"claim": "evaluation/test", "subjects": ["name:model-{round}-{n}"]}}"#);
            std::fs::write(file, claim).unwrap();
        }
        let mut arguments = vec!["observe"];
        arguments.extend(claims.iter().map(String::as_str));
        said = node.run(&arguments).unwrap();
    }
    let id = said[19]["statement"].as_str().unwrap();
    node.run(&["show", id, "--raw", "-o", &path("statement.cose")]).unwrap();
    let digest = data_encoding::HEXLOWER.encode(&sha256(&[&std::fs::read(path("statement.cose")).unwrap()]));
    let position = said[19]["said"]["position"].to_string();
    let known: serde_json::Value = client.get("/.well-known/counterfoil.json").unwrap();
    let vkey = known["vkey"].as_str().unwrap();
    let run = |vkey: &str, older: &str, index: &str, digest: &str| {
        Command::new(&program).args([&api, vkey, older, index, digest]).output().unwrap()
    };
    let done = run(vkey, &path("older"), &position, &digest);
    passes(&done);
    assert!(text(&done.stdout).contains("begins with what it was at 3"), "{}", text(&done.stdout));

    fails(&run(vkey, &path("older"), "1", &digest), "inclusion");
    fails(&run(vkey, &path("older"), &position, &"00".repeat(32)), "inclusion");
    let other = Process::started(PROGRAM, &folder.path().join("other"), "South Hospital").unwrap();
    let address = other.run(&["status"]).unwrap()["api"].as_str().unwrap().to_owned();
    let stranger = Client::new(Address::Tcp(address, String::new()));
    std::fs::write(path("foreign"), stranger.bytes("/log/checkpoint").unwrap()).unwrap();
    fails(&run(vkey, &path("foreign"), &position, &digest), "older checkpoint");
    let known: serde_json::Value = stranger.get("/.well-known/counterfoil.json").unwrap();
    fails(&run(known["vkey"].as_str().unwrap(), &path("older"), &position, &digest), "checkpoint");
}
