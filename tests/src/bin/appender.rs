//! A node of a test organisation that appends observations until it is killed, and says what was acknowledged:
//! `ack <statement> <position> <head seq> <head hash>`, a line each.
//!
//! `appender <data directory> <first observation> [open]`; with `open` the chain is begun first.

use std::collections::VecDeque;
use std::error::Error;
use std::io::Write as _;
use std::path::Path;

use counterfoil_federation::Config;
use counterfoil_federation::engine::Identity;
use counterfoil_node::runtime::Runtime;
use counterfoil_node::store::Memory;
use counterfoil_protocol::test_support::TestOrganisation;

const IN_FLIGHT: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(directory), Some(first)) = (arguments.first(), arguments.get(1)) else {
        return Err("usage: appender <data directory> <first observation> [open]".into());
    };
    let organisation = TestOrganisation::new(1);
    let identity = Identity {
        inception: organisation.inception.statement().bytes().clone(),
        chain_key: organisation.chain_key.clone(),
        witness_key: organisation.witness_key.clone(),
    };
    let node = Runtime::start(Path::new(directory), identity, Config::default(), Memory::default())?;
    if arguments.iter().any(|argument| argument == "open") {
        for statement in organisation.opening() {
            node.append(statement.statement().bytes())?;
        }
    }
    let mut out = std::io::stdout().lock();
    let mut under_way = VecDeque::new();
    for n in first.parse::<u64>()?.. {
        under_way.push_back(node.submit(organisation.observation(n).statement().bytes())?);
        if under_way.len() < IN_FLIGHT {
            continue;
        }
        if let Some(reply) = under_way.pop_front() {
            let done = reply.recv()??;
            let head = &done.head;
            writeln!(out, "ack {} {} {} {}", done.statement, done.position, head.seq(), head.hash())?;
            out.flush()?;
        }
    }
    Ok(())
}
