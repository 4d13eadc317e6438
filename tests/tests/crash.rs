//! A real process is killed at any moment, fifty times: what it acknowledged stays provable, and it never signs a second
//! head for one sequence number.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use counterfoil_node::store::{HeadLock, Memory, Store};
use counterfoil_protocol::chain::Head;
use counterfoil_protocol::chain::proof::{inclusion_proof, verify_inclusion};
use counterfoil_protocol::chain::tree::LeafDigest;
use counterfoil_protocol::ids::{HeadHash, OrganisationId, Position, StatementId};
use counterfoil_protocol::keys::Signer as _;
use counterfoil_protocol::test_support::TestOrganisation;

const KILLS: u64 = 50;

struct Acknowledged {
    statement: StatementId,
    position: Position,
    seq: u64,
    head: HeadHash,
}

fn read(line: &str) -> Acknowledged {
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!((words.len(), words[0]), (5, "ack"), "{line}");
    Acknowledged {
        statement: words[1].parse().unwrap(),
        position: Position(words[2].parse().unwrap()),
        seq: words[3].parse().unwrap(),
        head: words[4].parse().unwrap(),
    }
}

#[test]
fn fifty_kills_lose_nothing_and_fork_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for kill in 0..KILLS {
        let mut command = Command::new(env!("CARGO_BIN_EXE_appender"));
        command.arg(directory.path()).arg((kill * 1_000_000).to_string());
        if kill == 0 {
            command.arg("open");
        }
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // Another number each time, so that the kill falls into another moment of a commit.
        for _ in 0..1 + kill * 7 % 90 {
            acknowledged.push(read(&lines.next().unwrap().unwrap()));
        }
        process.kill().unwrap();
        // What it said before it died counts too; the last line may be cut off.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        acknowledged.extend(rest.iter().filter(|line| line.split(' ').count() == 5).map_while(|line| {
            let whole = line.rsplit(' ').next()?.parse::<HeadHash>().is_ok();
            whole.then(|| read(line))
        }));
        process.wait().unwrap();
    }

    let mut heads: BTreeMap<u64, HeadHash> = BTreeMap::new();
    for one in &acknowledged {
        assert_eq!(*heads.entry(one.seq).or_insert(one.head), one.head, "two heads {}", one.seq);
    }
    let organisation = TestOrganisation::new(1);
    let id: OrganisationId = organisation.id();
    let store = Store::open(&directory.path().join("db"), Memory::default()).unwrap();
    let report = store.fsck().unwrap();
    assert_eq!(report.damage, Vec::<String>::new());
    let lock = HeadLock::open(&directory.path().join("head.lock")).unwrap();
    let head = Head::parse(lock.held().unwrap().clone())
        .unwrap()
        .verify(&organisation.chain_key.public_key())
        .unwrap();
    let chain = store.chain(id);
    for one in &acknowledged {
        assert_eq!(store.place(&one.statement).unwrap(), Some((id, one.position)));
        let counterfoil_node::store::StoredEntry::Statement(bytes) =
            store.entry(&id, one.position).unwrap().unwrap()
        else {
            unreachable!("nothing of one's own is withheld")
        };
        let leaf = LeafDigest::of(&bytes).leaf_hash();
        let path = inclusion_proof(&chain, one.position, head.size()).unwrap();
        verify_inclusion(&leaf, one.position, head.size(), &path, &head.root()).unwrap();
    }
    assert!(acknowledged.len() >= 1000, "{} acknowledged", acknowledged.len());
}
