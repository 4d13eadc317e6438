//! Lineages of a million statements: backward over ten levels, and forward as lines of JSON.
//!
//! Beside it, over the same graph on the same machine: PostgreSQL's recursive query (`deploy/bench/lineage-postgres.sh`)
//! and igraph in memory (`deploy/bench/lineage-igraph.sh`). `cargo bench -p counterfoil-protocol --bench lineage` prints
//! a table, adds to `bench/report.json` in the target directory, and fails when a bar is missed.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark reads the clock, and stops at the first thing that is not as it should be"
)]

mod report;

use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::ids::{OrganisationId, Position, StatementId, Timestamp};
use counterfoil_protocol::lineage::index::{Direction, Index, Place, Reached};
use counterfoil_protocol::lineage::{Edge, EdgeKind};
use counterfoil_protocol::observation::SubjectKey;
use report::Times;
use serde::{Deserialize, Serialize};

/// Levels of derivation: the deepest statements rest on others over ten steps.
const LEVELS: u32 = 11;
/// Statements that a few in a hundred of all others are derived from: base images, public datasets.
const HUBS: u32 = 100;
/// The machine is shared: everything is measured so many times, in turn, and the round with the best median counts.
const ROUNDS: usize = 5;
const STREAMED: usize = 100_000;

/// How large the graph is.
#[derive(Clone, Copy)]
struct Size {
    statements: u32,
    edges: usize,
    queries: u32,
}

#[derive(Serialize)]
struct Report {
    statements: usize,
    edges: usize,
    /// Seconds to insert all of it, and the memory that it takes.
    build_s: f64,
    memory_mib: u64,
    /// Nodes that a backward walk reaches, in the median.
    reached: usize,
    backward: Times,
    /// None where a peer is not here.
    postgresql: Option<Peer>,
    igraph: Option<Peer>,
    /// Times that the peer takes for one of ours.
    postgresql_ratio: Option<f64>,
    igraph_ratio: Option<f64>,
    /// Nodes a second, forward, written as lines.
    streamed_per_second: f64,
}

/// What a peer's script prints.
#[derive(Serialize, Deserialize, Clone)]
struct Peer {
    version: String,
    p50_us: f64,
    p99_us: f64,
    /// Nodes reached over all queries, the starts among them: the same for everybody.
    nodes: u64,
}

fn main() {
    // `cargo test --benches` runs this without the flag: a short run then shows that it works.
    let in_full = std::env::args().any(|argument| argument == "--bench");
    if !in_full {
        let small = Size { statements: 11_000, edges: 33_000, queries: 20 };
        let (edges, queries) = graph(small);
        let (index, _) = index(small, &edges);
        backward(&index, &queries);
        stream(&index, 100);
        return;
    }
    let size = Size { statements: 1_000_000, edges: 3_000_000, queries: 200 };
    let (edges, queries) = graph(size);
    let before = memory_mib();
    let (index, build) = index(size, &edges);
    let memory_mib = memory_mib() - before;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lineage");
    write(&folder, &edges, &queries);
    drop(edges);

    let mut rounds = Vec::new();
    let (mut postgresql, mut igraph) = (None, None);
    for round in 0..ROUNDS {
        rounds.push(backward(&index, &queries));
        if round == ROUNDS / 2 {
            postgresql = peer("lineage-postgres.sh", &folder);
            igraph = peer("lineage-igraph.sh", &folder);
        }
    }
    let nodes = rounds[0].1;
    let backward = rounds.iter().map(|round| round.0).min_by(|a, b| a.p50_us.total_cmp(&b.p50_us)).unwrap();
    for other in [&postgresql, &igraph].into_iter().flatten() {
        assert_eq!(other.nodes, nodes, "everybody walks the same graph");
    }
    let ratio = |peer: &Option<Peer>| peer.as_ref().map(|peer| peer.p50_us / backward.p50_us);
    let report = Report {
        statements: index.nodes(),
        edges: index.edges(),
        build_s: build.as_secs_f64(),
        memory_mib,
        reached: usize::try_from(nodes).unwrap() / queries.len(),
        postgresql_ratio: ratio(&postgresql),
        igraph_ratio: ratio(&igraph),
        backward,
        postgresql,
        igraph,
        streamed_per_second: (0..ROUNDS).map(|_| stream(&index, STREAMED)).fold(0.0, f64::max),
    };
    print(&report);
    report::add("lineage", &report);
    let held = report.postgresql_ratio.is_none_or(|ratio| ratio >= 10.0)
        && report.igraph_ratio.is_none_or(|ratio| ratio >= 0.5)
        && report.streamed_per_second >= 500_000.0;
    if !held {
        println!("MISSED: ten times PostgreSQL, half of igraph, or 500000 nodes a second");
        std::process::exit(1);
    }
}

fn print(report: &Report) {
    println!(
        "{} statements, {} edges: built in {:.1} s, {} MiB",
        report.statements, report.edges, report.build_s, report.memory_mib
    );
    println!("{:<52} {:>10} {:>10} {:>7}", "backward over ten levels", "p50 us", "p99 us", "times");
    let ours = report.backward;
    println!("{:<52} {:>10.1} {:>10.1} {:>7}", "counterfoil", ours.p50_us, ours.p99_us, "1");
    let peers = [
        ("PostgreSQL", &report.postgresql, report.postgresql_ratio),
        ("igraph", &report.igraph, report.igraph_ratio),
    ];
    for (name, peer, ratio) in peers {
        match (peer, ratio) {
            (Some(peer), Some(ratio)) => {
                let name = format!("{name} {}", peer.version);
                println!("{name:<52} {:>10.1} {:>10.1} {ratio:>7.1}", peer.p50_us, peer.p99_us);
            }
            _ => println!("{name:<52} is not here"),
        }
    }
    println!("forward, as lines of JSON: {:.0} nodes a second", report.streamed_per_second);
}

/// Edges as pairs of numbers, what is derived first, sorted; and where the queries start: among the deepest.
fn graph(size: Size) -> (Vec<(u32, u32)>, Vec<u32>) {
    let mut state = 42u64;
    let mut below = move |end: u32| {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        u32::try_from(((state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) * u64::from(end)) >> 32).unwrap()
    };
    let each = size.statements / LEVELS;
    let mut edges = Vec::with_capacity(size.edges);
    let mut parents = Vec::with_capacity(4);
    for statement in each..each * LEVELS {
        let (level, place) = (statement / each, statement % each);
        // Three for all, and for the first ones a fourth, so that it comes out at the number asked for.
        let derived = u64::from(each) * u64::from(LEVELS - 1);
        let fourth = u64::from(statement - each) < size.edges as u64 - 3 * derived;
        parents.clear();
        while parents.len() < 3 + usize::from(fourth) {
            // Mostly from its neighbours of the level below; now and then from anything older, or from a hub.
            let parent = match (parents.len(), below(100)) {
                (2, 0..5) => below(level * each),
                (2, 97..) => below(HUBS),
                _ => (level - 1) * each + (place + below(13)).saturating_sub(6).min(each - 1),
            };
            if !parents.contains(&parent) {
                parents.push(parent);
            }
        }
        parents.sort_unstable();
        edges.extend(parents.iter().map(|parent| (statement, *parent)));
    }
    let queries = (0..size.queries).map(|_| (LEVELS - 1) * each + below(each)).collect();
    (edges, queries)
}

fn statement(number: u32) -> StatementId {
    StatementId::from_bytes(blake3(&number.to_be_bytes()))
}

fn index(size: Size, edges: &[(u32, u32)]) -> (Index, Duration) {
    let node = |number| SubjectKey::Statement(statement(number));
    let begin = Instant::now();
    let mut index = Index::default();
    let mut rest = edges;
    for number in 0..size.statements {
        let own = rest.iter().take_while(|(from, _)| *from == number).count();
        let (now, later) = rest.split_at(own);
        rest = later;
        let asserted_by = statement(number);
        let own: Vec<Edge> = now
            .iter()
            .map(|(from, to)| Edge {
                from: node(*from),
                kind: EdgeKind::DerivedFrom,
                to: node(*to),
                asserted_by,
            })
            .collect();
        let place = Place {
            organisation: OrganisationId::from_bytes([(number % 8) as u8; 32]),
            position: Position(u64::from(number / 8)),
            issued_at: Timestamp(u64::from(number)),
        };
        index.insert(asserted_by, &place, &own).unwrap();
    }
    (index, begin.elapsed())
}

/// The times of all queries, and how many nodes they reach together.
fn backward(index: &Index, queries: &[u32]) -> (Times, u64) {
    let mut nodes = 0;
    let times = queries
        .iter()
        .map(|query| {
            let start = SubjectKey::Statement(statement(*query));
            let begin = Instant::now();
            let walk = index.walk(index.find(&start), Direction::Backward, usize::MAX, None);
            let reached: Vec<Reached> = black_box(walk.collect());
            let time = begin.elapsed();
            nodes += reached.len() as u64;
            time
        })
        .collect();
    (Times::of(times), nodes)
}

/// Nodes a second at which what rests on some hubs is written, up to `count` of them.
fn stream(index: &Index, count: usize) -> f64 {
    struct Count(usize);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += black_box(bytes).len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let start = (0..HUBS / 4).filter_map(|hub| index.find(&SubjectKey::Statement(statement(hub))));
    let begin = Instant::now();
    let mut walk = index.walk(start, Direction::Forward, count, None);
    let mut out = Count(0);
    index.write_lines(walk.by_ref(), &mut out).unwrap();
    let time = begin.elapsed();
    assert!(walk.is_truncated() && out.0 > count * 50, "there is as much as was asked for");
    count as f64 / time.as_secs_f64()
}

/// Resident memory of this process.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() / 1024
}

/// The graph for the peers: `edges.csv` with a pair on each line, `queries.txt` with a number on each.
fn write(folder: &Path, edges: &[(u32, u32)], queries: &[u32]) {
    std::fs::create_dir_all(folder).unwrap();
    let file = |name: &str| std::io::BufWriter::new(std::fs::File::create(folder.join(name)).unwrap());
    let mut out = file("edges.csv");
    edges.iter().for_each(|(from, to)| writeln!(out, "{from},{to}").unwrap());
    out.flush().unwrap();
    let mut out = file("queries.txt");
    queries.iter().for_each(|query| writeln!(out, "{query}").unwrap());
    out.flush().unwrap();
}

/// Runs a peer's script, which says on standard error why it has nothing to say.
fn peer(script: &str, folder: &Path) -> Option<Peer> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/bench").join(script);
    let output = Command::new(path).arg(folder).stderr(Stdio::inherit()).output().ok()?;
    assert!(output.status.success(), "{script} failed");
    serde_json::from_slice(&output.stdout).unwrap()
}
