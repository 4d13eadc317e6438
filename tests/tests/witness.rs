//! One node witnesses another over HTTP, as any client of C2SP would ask it to; and strangers fetch receipts and keys.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use counterfoil_protocol::chain::checkpoint::Checkpoint;
use counterfoil_protocol::chain::cosignature::on_note;
use counterfoil_protocol::chain::note::Note;
use counterfoil_protocol::chain::proof::{LeafHashes, consistency_proof};
use counterfoil_protocol::chain::receipt::Receipt;
use counterfoil_protocol::chain::tile::hashes_of;
use counterfoil_protocol::codec::{self, Value as Cbor};
use counterfoil_protocol::digest::sha256;
use counterfoil_protocol::identity::Organisation;
use counterfoil_protocol::ids::{OrganisationId, TreeSize};
use counterfoil_protocol::statement::{Payload, Statement};
use counterfoil_tests::process::Process;

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

/// A request as a stranger makes it. Gives the status and the body.
fn http(api: &str, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(api).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {api}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer[end + 4..].to_vec())
}

fn api(node: &Process) -> String {
    node.run(&["status"]).unwrap()["api"].as_str().unwrap().to_owned()
}

fn description(node: &Process) -> (OrganisationId, Organisation) {
    let inception = Statement::parse(std::fs::read(node.data().join("inception.cose")).unwrap()).unwrap();
    let Ok(Payload::Organisation(organisation, _)) =
        Payload::decode(inception.header().kind, inception.payload())
    else {
        unreachable!("an inception")
    };
    (OrganisationId::from(inception.id()), *organisation)
}

/// The leaves of a node's chain, from its tiles.
fn leaves(api: &str, size: u64) -> LeafHashes {
    let (status, tile) = http(api, "GET", &format!("/log/tile/0/000.p/{size}"), &[]);
    assert_eq!(status, 200);
    LeafHashes(hashes_of(&tile).unwrap())
}

/// What a witness is sent.
fn request(api: &str, old: u64, checkpoint: &[u8]) -> Vec<u8> {
    let note = Note::parse(checkpoint).unwrap();
    let size = Checkpoint::parse(note.text()).unwrap().size;
    let proof = consistency_proof(&leaves(api, size.0), TreeSize(old), size).unwrap();
    let mut body = format!("old {old}\n");
    proof.iter().for_each(|hash| body.push_str(&format!("{}\n", STANDARD.encode(hash.0))));
    body.push('\n');
    [body.as_bytes(), checkpoint].concat()
}

#[test]
fn a_checkpoint_is_cosigned_once_it_extends_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let log = Process::found(PROGRAM, &folder.path().join("log"), "Log").unwrap();
    let mut witness = Process::found(PROGRAM, &folder.path().join("witness"), "Witness").unwrap();
    log.start().unwrap();
    witness.start().unwrap();
    let (witness_id, known) = description(&witness);
    let (log_id, _) = description(&log);
    log.run(&["mesh", "create", "--name", "m", "--member", &witness_id.to_string()]).unwrap();
    let invitation = log.run(&["mesh", "invite"]).unwrap();
    witness.run(&["mesh", "join", invitation.as_str().unwrap()]).unwrap();
    let knows = |status: &serde_json::Value| status["chains"].as_array().is_some_and(|all| all.len() == 2);
    witness.until(&["status"], knows).unwrap();
    witness.keep_addresses().unwrap();
    let (ours, theirs) = (api(&log), api(&witness));
    let ask = |body: &[u8]| http(&theirs, "POST", "/add-checkpoint", body);

    // One node asks the other by itself: first from nothing, then from where the witness says that it was.
    let address = format!("http://{theirs}");
    let cosigned = log.run(&["witness", &address]).unwrap();
    assert_eq!(cosigned[0]["witness"].as_str().unwrap(), witness_id.to_string());
    log.run(&["observe", &claim(&folder, "evaluation/early")]).unwrap();
    let again = log.run(&["witness", &address]).unwrap();
    assert!(again[0]["size"].as_u64() > cosigned[0]["size"].as_u64());
    let output = log.output(&["witness", &format!("http://{ours}")]).unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("witness"));

    let first = http(&ours, "GET", "/log/checkpoint", &[]).1;
    let seen = again[0]["size"].as_u64().unwrap();
    let (status, line) = ask(&request(&ours, seen, &first));
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&line));
    let note = Note::parse(&[first.as_slice(), &line].concat()).unwrap();
    let keys = BTreeMap::from([(witness_id, known.witness_key)]);
    assert!(on_note(&note, &keys).unwrap().contains_key(&witness_id));

    let size = Checkpoint::parse(Note::parse(&first).unwrap().text()).unwrap().size.0;
    let claim = folder.path().join("claim.json");
    std::fs::write(&claim, r#"{"claim": "evaluation/test", "subjects": ["name:model"]}"#).unwrap();
    let said = log.run(&["observe", &claim.to_string_lossy()]).unwrap();
    let second = http(&ours, "GET", "/log/checkpoint", &[]).1;
    let extending = request(&ours, size, &second);
    assert_eq!(ask(&extending).0, 200);
    let latest = Checkpoint::parse(Note::parse(&second).unwrap().text()).unwrap().size;

    // What was cosigned is not cosigned again from an older size, and the answer says from where to go on.
    assert_eq!(ask(&extending), (409, format!("{latest}\n").into_bytes()));
    assert_eq!(ask(&request(&ours, 0, &first)), (409, format!("{latest}\n").into_bytes()));
    log.run(&["observe", &claim.to_string_lossy(), "--claim", "evaluation/more"]).unwrap();
    let third = http(&ours, "GET", "/log/checkpoint", &[]).1;
    let good = request(&ours, latest.0, &third);
    let mut wrong = good.clone();
    let hash = wrong.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    wrong[hash] = if wrong[hash] == b'A' { b'B' } else { b'A' };
    assert_eq!(ask(&wrong).0, 422);
    let unsigned = String::from_utf8(good.clone()).unwrap();
    let (text, signature) = unsigned.rsplit_once("\n\n").unwrap();
    let forged = signature.lines().next().unwrap().rsplit_once(' ').unwrap().0;
    let forged = format!("{text}\n\n{forged} {}\n", STANDARD.encode([7; 68]));
    assert_eq!(ask(forged.as_bytes()).0, 403);
    let origin = counterfoil_protocol::chain::checkpoint::origin(&log_id);
    let stranger = OrganisationId::from_bytes([9; 32]);
    let elsewhere = unsigned.replace(&origin, &counterfoil_protocol::chain::checkpoint::origin(&stranger));
    assert_eq!(ask(elsewhere.as_bytes()).0, 404);
    for malformed in [&b""[..], b"old\n\n", b"old 07\n\nx", b"old 1\nnot base64\n\n"] {
        assert_eq!(ask(malformed).0, 400);
    }
    let beyond = unsigned.replacen(&format!("old {latest}"), "old 999", 1);
    assert_eq!(ask(beyond.as_bytes()).0, 400);

    // A witness that was killed remembers what it had said.
    witness.kill().unwrap();
    witness.start().unwrap();
    let theirs = api(&witness);
    let name = data_encoding::HEXLOWER.encode(&sha256(&[origin.as_bytes()]));
    let (status, kept) = http(&theirs, "GET", &format!("/{name}/checkpoint"), &[]);
    assert_eq!(status, 200);
    assert_eq!(Checkpoint::parse(Note::parse(&kept).unwrap().text()).unwrap().size, latest);
    assert_eq!(http(&theirs, "POST", "/add-checkpoint", &extending).0, 409);
    assert_eq!(http(&theirs, "POST", "/add-checkpoint", &good).0, 200);

    // A node that has been told of a witness asks it by itself, about each checkpoint to come.
    log.kill().unwrap();
    log.start_with(&["--witness", &format!("http://{theirs}"), "--witness", "http://127.0.0.1:1"]).unwrap();
    let ours = api(&log);
    log.run(&["observe", &claim.to_string_lossy(), "--claim", "evaluation/last"]).unwrap();
    let last = log.run(&["status"]).unwrap()["size"].as_u64().unwrap();
    let since = std::time::Instant::now();
    let cosigned = || {
        let (_, kept) = http(&theirs, "GET", &format!("/{name}/checkpoint"), &[]);
        Checkpoint::parse(Note::parse(&kept).unwrap().text()).unwrap().size.0
    };
    while cosigned() < last {
        assert!(since.elapsed().as_secs() < 60, "not asked about checkpoint {last}");
        std::thread::yield_now();
    }

    strangers_fetch_receipts(&log, &ours, said[0]["statement"].as_str().unwrap());
}

fn strangers_fetch_receipts(log: &Process, api: &str, id: &str) {
    let (log_id, known) = description(log);
    let (status, receipt) = http(api, "GET", &format!("/entries/{id}"), &[]);
    assert_eq!(status, 200);
    let statement = log.data().join("statement.cose");
    log.run(&["show", id, "--raw", "-o", &statement.to_string_lossy()]).unwrap();
    let leaf = Statement::parse(std::fs::read(statement).unwrap()).unwrap().leaf_digest();
    Receipt::parse(&receipt).unwrap().verify(&log_id, &known.chain_key, &leaf).unwrap();
    let (status, keys) = http(api, "GET", "/.well-known/scitt-keys", &[]);
    assert_eq!(status, 200);
    let Cbor::Array(keys) = codec::from_bytes(&keys, 1000).unwrap() else { unreachable!("a key set") };
    let x = keys[0].as_map().unwrap().iter().find(|(name, _)| *name == Cbor::Integer((-2).into())).unwrap();
    assert_eq!(x.1.as_bytes().unwrap(), known.chain_key.as_bytes());
    let kid = data_encoding::HEXLOWER.encode(known.chain_key.id().as_bytes());
    assert_eq!(http(api, "GET", &format!("/.well-known/scitt-keys/{kid}"), &[]).0, 200);
    assert_eq!(http(api, "GET", "/.well-known/scitt-keys/00", &[]).0, 404);
    assert_eq!(http(api, "GET", "/entries/nonsense", &[]).0, 400);
    assert_eq!(http(api, "GET", &format!("/entries/stmt:{}", "a".repeat(52)), &[]).0, 404);
    // Registering is for the owner, who has the token.
    assert_eq!(http(api, "POST", "/entries", b"x").0, 401);
}

/// A document that makes this claim.
fn claim(folder: &tempfile::TempDir, claim: &str) -> String {
    let path = folder.path().join("early.json");
    std::fs::write(&path, format!(r#"{{"claim": "{claim}", "subjects": ["name:model"]}}"#)).unwrap();
    path.to_string_lossy().into_owned()
}
