//! Durable append through engine and RocksDB: signature checked, hashed, sequenced, synced, acknowledged.
//!
//! Beside it, on the same disk: plain durable inserts into PostgreSQL (`deploy/bench/postgres.sh`), and what one small
//! synced write costs, which bounds both. `cargo bench -p counterfoil-node --bench append` prints a table and writes
//! `bench/report.json` into the target directory; the temporary files lie in `TMPDIR`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs, reason = "a benchmark")]

use std::collections::VecDeque;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use counterfoil_federation::Config;
use counterfoil_federation::engine::Identity;
use counterfoil_node::runtime::Runtime;
use counterfoil_node::store::Memory;
use counterfoil_protocol::codec::Value;
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::{TestOrganisation, observation};
use serde::{Deserialize, Serialize};

const THREADS: usize = 4;
const IN_FLIGHT: usize = 64;
const EACH: usize = 10_000;
/// The three are measured in turn, so many times: a disk's mood changes within a minute.
const ROUNDS: usize = 3;

/// Of each the round with the median rate, and the rates of all rounds.
#[derive(Serialize)]
struct Report {
    counterfoil: Append,
    /// None where PostgreSQL is not installed.
    postgresql: Option<Postgres>,
    disk: Disk,
    /// Appends a second, in PostgreSQL's.
    ratio: Option<f64>,
    rounds: Vec<Rates>,
}

#[derive(Serialize)]
struct Rates {
    counterfoil: f64,
    postgresql: Option<f64>,
    disk: f64,
}

#[derive(Serialize, Clone)]
struct Append {
    statements: usize,
    bytes: usize,
    in_flight: usize,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

#[derive(Serialize, Deserialize, Clone)]
struct Postgres {
    version: String,
    clients: u32,
    seconds: u32,
    transactions: u64,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Writes of 4 KiB into a file that is there already, each followed by `fdatasync`, one after the other.
#[derive(Serialize, Clone)]
struct Disk {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

fn main() {
    // `cargo test --benches` runs this without the flag: a short run then shows that it works.
    let in_full = std::env::args().any(|argument| argument == "--bench");
    if !in_full {
        disk(Duration::ZERO);
        append(100);
        return;
    }
    if std::env::args().any(|argument| argument == "alone") {
        // For a profiler, which is to see nothing else.
        let ours = append(EACH);
        println!("{:.0} a second, p50 {:.3} ms, p99 {:.3} ms", ours.per_second, ours.p50_ms, ours.p99_ms);
        return;
    }
    let rounds: Vec<_> =
        (0..ROUNDS).map(|_| (disk(Duration::from_secs(2)), append(EACH), postgres())).collect();
    let counterfoil = median(rounds.iter().map(|round| round.1.clone()), |round| round.per_second).unwrap();
    let postgresql = median(rounds.iter().filter_map(|round| round.2.clone()), |round| round.per_second);
    let ratio = postgresql.as_ref().map(|other| counterfoil.per_second / other.per_second);
    let report = Report {
        disk: median(rounds.iter().map(|round| round.0.clone()), |round| round.per_second).unwrap(),
        counterfoil,
        postgresql,
        ratio,
        rounds: rounds
            .iter()
            .map(|(disk, counterfoil, postgresql)| Rates {
                counterfoil: counterfoil.per_second,
                postgresql: postgresql.as_ref().map(|round| round.per_second),
                disk: disk.per_second,
            })
            .collect(),
    };
    print(&report);
    // Cargo says where the target directory is only by way of a folder in it.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("bench");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("report.json");
    std::fs::write(&path, serde_json::to_string_pretty(&report).unwrap() + "\n").unwrap();
    println!("\n{}", path.display());
}

fn median<T>(rounds: impl Iterator<Item = T>, rate: impl Fn(&T) -> f64) -> Option<T> {
    let mut rounds: Vec<T> = rounds.collect();
    rounds.sort_by(|a, b| rate(a).total_cmp(&rate(b)));
    let middle = rounds.len() / 2;
    rounds.into_iter().nth(middle)
}

fn print(report: &Report) {
    let line = |what: &str, per_second: f64, p50: f64, p99: f64| {
        println!("{what:<52} {per_second:>9.0} {p50:>9.3} {p99:>9.3}");
    };
    println!("{:<52} {:>9} {:>9} {:>9}", "durable, about 1 KiB each", "a second", "p50 ms", "p99 ms");
    let ours = &report.counterfoil;
    let what = format!("counterfoil, {} bytes, {} in flight", ours.bytes, ours.in_flight);
    line(&what, ours.per_second, ours.p50_ms, ours.p99_ms);
    match &report.postgresql {
        Some(other) => {
            let what = format!("PostgreSQL {}, plain insert, {} clients", other.version, other.clients);
            line(&what, other.per_second, other.p50_ms, other.p99_ms);
        }
        None => println!("PostgreSQL: not installed, not measured"),
    }
    let disk = &report.disk;
    line("the disk: 4 KiB and fdatasync, one after the other", disk.per_second, disk.p50_ms, disk.p99_ms);
    if let Some(ratio) = report.ratio {
        println!("counterfoil : PostgreSQL = {ratio:.2}");
    }
    for (n, round) in report.rounds.iter().enumerate() {
        let other = round.postgresql.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
        let (ours, disk) = (round.counterfoil, round.disk);
        println!("round {}: counterfoil {ours:.0}, PostgreSQL {other}, disk {disk:.0}", n + 1);
    }
}

/// The value at that share of sorted times, in milliseconds.
fn at(times: &[u128], share: f64) -> f64 {
    times[((times.len() - 1) as f64 * share) as usize] as f64 / 1e6
}

fn disk(duration: Duration) -> Disk {
    const BLOCKS: u64 = 1024;
    let mut file = tempfile::tempfile().unwrap();
    let block = [0x5a; 4096];
    for _ in 0..BLOCKS {
        file.write_all(&block).unwrap();
    }
    file.sync_all().unwrap();
    let mut times = Vec::new();
    let begin = Instant::now();
    while times.is_empty() || begin.elapsed() < duration {
        let start = Instant::now();
        file.seek(SeekFrom::Start(times.len() as u64 % BLOCKS * 4096)).unwrap();
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
        times.push(start.elapsed().as_nanos());
    }
    let per_second = times.len() as f64 / begin.elapsed().as_secs_f64();
    times.sort_unstable();
    Disk { per_second, p50_ms: at(&times, 0.5), p99_ms: at(&times, 0.99) }
}

fn postgres() -> Option<Postgres> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/bench/postgres.sh");
    let run = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(run.status.success(), "{script}: {}", run.status);
    serde_json::from_slice(&run.stdout).unwrap()
}

fn append(each: usize) -> Append {
    let directory = tempfile::tempdir().unwrap();
    let organisation = TestOrganisation::new(1);
    let identity = Identity {
        inception: organisation.inception.statement().bytes().clone(),
        chain_key: organisation.chain_key.clone(),
        witness_key: organisation.witness_key.clone(),
    };
    let most = std::env::var("COMMIT").ok().and_then(|text| text.parse().ok());
    let defaults = Config::default();
    let config = Config { commit_statements_max: most.unwrap_or(defaults.commit_statements_max), ..defaults };
    let node = Runtime::start(directory.path(), identity, config, Memory::default()).unwrap();
    for statement in organisation.opening() {
        node.append(statement.statement().bytes()).unwrap();
    }
    let statements: Vec<_> = (0..(THREADS * each) as u64)
        .map(|n| {
            let mut observation = observation("evaluation/bench", n);
            observation.content.insert("note".into(), Value::Text("x".repeat(662)));
            organisation.statement(Kind::Observation, &observation).statement().bytes().clone()
        })
        .collect();
    let bytes = statements[0].len();
    let begin = Instant::now();
    let mut times: Vec<u128> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            statements.chunks(each).map(|chunk| scope.spawn(|| drive(&node, chunk))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let seconds = begin.elapsed().as_secs_f64();
    times.sort_unstable();
    Append {
        statements: times.len(),
        bytes,
        in_flight: THREADS * IN_FLIGHT,
        per_second: times.len() as f64 / seconds,
        p50_ms: at(&times, 0.5),
        p99_ms: at(&times, 0.99),
    }
}

fn drive(node: &Runtime, statements: &[std::sync::Arc<[u8]>]) -> Vec<u128> {
    let mut under_way = VecDeque::new();
    let mut times = Vec::with_capacity(statements.len());
    for statement in statements {
        if under_way.len() == IN_FLIGHT {
            finish(&mut under_way, &mut times);
        }
        under_way.push_back((Instant::now(), node.submit(statement).unwrap()));
    }
    while !under_way.is_empty() {
        finish(&mut under_way, &mut times);
    }
    times
}

type UnderWay<T> = VecDeque<(Instant, std::sync::mpsc::Receiver<T>)>;

fn finish<T: std::fmt::Debug, E: std::fmt::Debug>(
    under_way: &mut UnderWay<Result<T, E>>,
    times: &mut Vec<u128>,
) {
    if let Some((begin, reply)) = under_way.pop_front() {
        reply.recv().unwrap().unwrap();
        times.push(begin.elapsed().as_nanos());
    }
}
