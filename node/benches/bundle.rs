//! A bundle of a long chain, verified as it is read: how fast beside the signature checks alone, and in how much memory.
//!
//! `cargo bench -p counterfoil-node --bench bundle`; `STATEMENTS` says how many, a million where it says nothing. The
//! verifier runs in a process of its own, which measures both, in turn, on all cores.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs, reason = "a benchmark")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use counterfoil_node::workers::AllCores;
use counterfoil_protocol::bundle::{Entry, Manifest, Range, Section, Settings, verify_file};
use counterfoil_protocol::chain::{CompactRange, HeadDraft};
use counterfoil_protocol::codec::{self, Value};
use counterfoil_protocol::cose::{Sign1, to_be_signed};
use counterfoil_protocol::identity::OrganisationState;
use counterfoil_protocol::ids::{ByteString, HeadSeq, Position, Timestamp};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::statement::{Authentic, Kind, verify};
use counterfoil_protocol::test_support::{TestOrganisation, observation};

const ROUNDS: usize = 3;
/// Statements of which the signature alone is checked.
const SAMPLE: usize = 100_000;

/// A statement of about 1 KiB.
fn statement(organisation: &TestOrganisation, n: u64) -> Authentic {
    let mut observation = observation("evaluation/test", n);
    observation.content.insert("note".into(), Value::Text("x".repeat(600)));
    organisation.statement(Kind::Observation, &observation)
}

/// Everything that an organisation said, as a bundle.
fn make(path: &Path, count: u64) {
    let organisation = TestOrganisation::new(1);
    let mut state = OrganisationState::from_inception(organisation.inception.statement()).unwrap();
    let mut tree = CompactRange::default();
    let body = path.with_extension("body");
    let mut out = BufWriter::new(File::create(&body).unwrap());
    let opening = organisation.opening();
    let later = (0..count - opening.len() as u64).map(|n| statement(&organisation, n));
    for statement in opening.into_iter().chain(later) {
        let verified = verify(&state, statement).unwrap();
        state.apply(&verified).unwrap();
        tree.append(verified.leaf_digest().leaf_hash());
        let mut item = Vec::new();
        Entry::Statement { bytes: verified.bytes().clone(), disclosures: Vec::new() }.encode(&mut item);
        out.write_all(&item).unwrap();
    }
    out.flush().unwrap();
    let head = HeadDraft {
        organisation: organisation.id(),
        seq: HeadSeq(0),
        previous: None,
        size: tree.size(),
        root: tree.root(),
        standing: state.standing_digest(),
        issued_at: Timestamp(1000),
    }
    .sign(organisation.chain_key.as_ref())
    .unwrap();
    let manifest = Manifest {
        about: vec![],
        absent: vec![],
        limited: vec![],
        misbehaviour: vec![],
        ranges: vec![Range { organisation: organisation.id(), from: Position(0), to: Position(count) }],
        period: Some((Timestamp(0), Timestamp(2000))),
        sections: 1,
    };
    let section = Section {
        organisation: organisation.id(),
        head: ByteString(head.bytes().to_vec()),
        cosignatures: vec![],
        earlier: vec![],
        entries: count,
    };
    let start =
        [b"CFBUNDLE\x02".to_vec(), codec::encode(&manifest).unwrap(), codec::encode(&section).unwrap()]
            .concat();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&start);
    hasher.update_reader(File::open(&body).unwrap()).unwrap();
    let mut out = File::create(path).unwrap();
    out.write_all(&start).unwrap();
    std::io::copy(&mut File::open(&body).unwrap(), &mut out).unwrap();
    out.write_all(&codec::encode(&ByteString(hasher.finalize().as_bytes().to_vec())).unwrap()).unwrap();
    std::fs::remove_file(body).unwrap();
}

/// Signatures a second by `verify_strict` and nothing else, on all cores.
fn signatures(count: usize) -> f64 {
    let organisation = TestOrganisation::new(1);
    let key: PublicKey = counterfoil_protocol::keys::Signer::public_key(&organisation.authority_key);
    let signed: Vec<_> = (0..1000)
        .map(|n| {
            let statement = statement(&organisation, n);
            let bytes = statement.statement().bytes().clone();
            let parts = Sign1::parse(&bytes).unwrap();
            (to_be_signed(&bytes[parts.protected], &bytes[parts.payload]), parts.signature)
        })
        .collect();
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(64, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    for (message, signature) in signed.iter().cycle().skip(n % 1000).take(64) {
                        key.verify(message, signature).unwrap();
                    }
                }
            });
        }
    });
    count as f64 / begin.elapsed().as_secs_f64()
}

/// Peak resident memory of this process, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() / 1024
}

fn measure(path: &Path, count: u64) {
    for round in 1..=ROUNDS {
        let alone = signatures(SAMPLE.min(count as usize * 10));
        let begin = Instant::now();
        let (report, _) =
            verify_file(&mut File::open(path).unwrap(), &Settings::default(), &AllCores).unwrap();
        let seconds = begin.elapsed().as_secs_f64();
        assert!(report.is_verified(), "{:?}", report.failures().collect::<Vec<_>>());
        let rate = count as f64 / seconds;
        println!(
            "round {round}: {rate:.0} statements a second, {alone:.0} signatures alone, ratio {:.2}; peak {} MiB",
            rate / alone,
            peak()
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `make FILE COUNT` and `verify FILE COUNT` by themselves are for profilers.
    if let [_, what, path, count] = arguments.as_slice()
        && ["make", "verify"].contains(&what.as_str())
    {
        let (path, count) = (Path::new(path), count.parse().unwrap());
        return if what == "make" { make(path, count) } else { measure(path, count) };
    }
    let in_full = arguments.iter().any(|argument| argument == "--bench");
    let asked = std::env::var("STATEMENTS").ok().and_then(|text| text.parse().ok());
    let full = asked.unwrap_or(1_000_000);
    let counts = if in_full { vec![full / 10, full] } else { vec![2_000] };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chain.cfb");
    for count in counts {
        make(&path, count);
        println!("{count} statements, {} bytes", std::fs::metadata(&path).unwrap().len());
        let program = std::env::current_exe().unwrap();
        let done = Command::new(program).arg("verify").arg(&path).arg(count.to_string()).status().unwrap();
        assert!(done.success());
    }
}
