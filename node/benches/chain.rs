//! A long chain on disk: what it costs beside the statements' bytes, how fast it is opened, proven and checked.
//!
//! `cargo bench -p counterfoil-node --bench chain`; `STATEMENTS` says how many, a million where it says nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs, reason = "a benchmark")]

use std::path::Path;
use std::time::Instant;

use counterfoil_federation::effect::Write;
use counterfoil_federation::engine::Identity;
use counterfoil_federation::replica::Replica;
use counterfoil_node::runtime::Runtime;
use counterfoil_node::store::{HeadLock, Memory, Store};
use counterfoil_protocol::chain::HeadDraft;
use counterfoil_protocol::chain::proof::inclusion_proof;
use counterfoil_protocol::ids::{HeadSeq, Position, Timestamp};
use counterfoil_protocol::keys::Signer;
use counterfoil_protocol::statement::verify;
use counterfoil_protocol::test_support::TestOrganisation;

const BATCH: usize = 4096;

fn size(folder: &Path) -> u64 {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// The chain's statements, verified one by one as the engine would, in synced batches.
fn fill(store: &Store, organisation: &TestOrganisation, count: u64) -> (u64, Replica) {
    let mut replica = Replica::new(organisation.inception.statement().bytes().clone()).unwrap();
    let (mut bytes, mut writes) = (0, Vec::with_capacity(BATCH + 1));
    let opening = organisation.opening();
    let later = (0..count - opening.len() as u64).map(|n| organisation.observation(n));
    for statement in opening.into_iter().chain(later) {
        let verified = std::sync::Arc::new(verify(replica.state(), statement).unwrap());
        replica.append(&verified).unwrap();
        bytes += verified.bytes().len() as u64;
        writes.push(Write::Statement(verified));
        if writes.len() == BATCH {
            let organisation = replica.organisation();
            writes.push(Write::Tree { organisation, range: replica.range().clone() });
            store.persist(&std::mem::take(&mut writes)).unwrap();
        }
    }
    let head = HeadDraft {
        organisation: replica.organisation(),
        seq: HeadSeq(0),
        previous: None,
        size: replica.size(),
        root: replica.range().root(),
        standing: replica.state().standing_digest(),
        issued_at: Timestamp(1000),
    }
    .sign(organisation.chain_key.as_ref())
    .unwrap();
    writes.push(Write::Tree { organisation: replica.organisation(), range: replica.range().clone() });
    writes.push(Write::Head(head.clone()));
    store.persist(&writes).unwrap();
    replica.set_head(head);
    (bytes, replica)
}

fn main() {
    let in_full = std::env::args().any(|argument| argument == "--bench");
    let asked = std::env::var("STATEMENTS").ok().and_then(|text| text.parse().ok());
    let count = if in_full { asked.unwrap_or(1_000_000) } else { 2_000 };
    let directory = tempfile::tempdir().unwrap();
    let db = directory.path().join("db");
    let organisation = TestOrganisation::new(1);
    let store = Store::open(&db, Memory::default()).unwrap();
    let begin = Instant::now();
    let (bytes, replica) = fill(&store, &organisation, count);
    println!("{count} statements made, verified and written in {:.1} s", begin.elapsed().as_secs_f64());
    for (family, overhead) in store.compacted().unwrap() {
        println!("  {family:<14} {:>7.1} bytes a statement", overhead as f64 / count as f64);
    }
    drop(store);

    let begin = Instant::now();
    let mut lock = HeadLock::open(&directory.path().join("head.lock")).unwrap();
    lock.swap(None, replica.head().unwrap()).unwrap().unwrap();
    drop(lock);
    let identity = Identity {
        inception: organisation.inception.statement().bytes().clone(),
        chain_key: organisation.chain_key.clone() as std::sync::Arc<dyn Signer>,
        witness_key: organisation.witness_key.clone(),
    };
    let node = Runtime::start(directory.path(), identity, Default::default(), Memory::default()).unwrap();
    println!("started in {:.3} s", begin.elapsed().as_secs_f64());

    let chain = node.store().chain(organisation.id());
    let mut times: Vec<u128> = (0..10_000.min(count))
        .map(|n| {
            // A stride without a common measure with the length visits all of the chain.
            let position = Position(n.wrapping_mul(7_919_977) % count);
            let begin = Instant::now();
            inclusion_proof(&chain, position, replica.size()).unwrap();
            begin.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1e6;
    println!("inclusion proof from the store: p50 {:.3} ms, p99 {:.3} ms", at(0.5), at(0.99));

    let begin = Instant::now();
    let report = node.store().fsck().unwrap();
    assert_eq!((report.entries, report.damage), (count, vec![]));
    println!("fsck in {:.1} s", begin.elapsed().as_secs_f64());
    node.stop();
    println!("{} bytes of statements, {} bytes of files", bytes, size(&db));
}
