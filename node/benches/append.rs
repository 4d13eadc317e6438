//! Durable append through engine and RocksDB: signature checked, hashed, sequenced, synced, acknowledged.
//!
//! `cargo bench -p counterfoil-node --bench append` prints statements a second with 256 in flight, and p50 and p99 of the
//! time from hand-over to acknowledgement.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a benchmark")]

use std::collections::VecDeque;
use std::time::Instant;

use counterfoil_federation::Config;
use counterfoil_federation::engine::Identity;
use counterfoil_node::runtime::Runtime;
use counterfoil_protocol::codec::Value;
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::{TestOrganisation, observation};

const THREADS: usize = 4;
const IN_FLIGHT: usize = 64;
const EACH: u64 = 20_000;

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let organisation = TestOrganisation::new(1);
    let identity = Identity {
        inception: organisation.inception.statement().bytes().clone(),
        chain_key: organisation.chain_key.clone(),
        witness_key: organisation.witness_key.clone(),
    };
    let node = Runtime::start(directory.path(), identity, Config::default()).unwrap();
    for statement in organisation.opening() {
        node.append(statement.statement().bytes()).unwrap();
    }
    let statements: Vec<_> = (0..THREADS as u64 * EACH)
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
            statements.chunks(EACH as usize).map(|chunk| scope.spawn(|| drive(&node, chunk))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let seconds = begin.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] / 1000;
    println!(
        "{} statements of {bytes} bytes, {} in flight: {:.0} a second, p50 {} us, p99 {} us",
        times.len(),
        THREADS * IN_FLIGHT,
        times.len() as f64 / seconds,
        at(0.5),
        at(0.99)
    );
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
