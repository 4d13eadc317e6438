//! What a whole decision of a node costs, part by part: from the request to the permit that is on disk and under a head.
//!
//! One organisation, three profiles that compose, twenty pieces of evidence. It is measured how that grows with what the
//! chains hold that may count (standing statements), and with how often was decided about the same already, which is what an
//! AI runtime does that asks before each answer. `cargo bench -p counterfoil-node --bench decide` prints a table and writes
//! `bench/report.json` into the target directory; the temporary files lie in `TMPDIR`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a benchmark")]

#[path = "../../protocol/benches/report/mod.rs"]
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use counterfoil_node::data::{DataDir, Founding, NodeConfig};
use counterfoil_node::service::Node;
use counterfoil_node::service::say::Say;
use counterfoil_node::service::spent::Part;
use counterfoil_protocol::actuation::{Request, Reversibility};
use counterfoil_protocol::admissibility::Composition;
use counterfoil_protocol::ids::{StatementId, Timestamp};
use counterfoil_protocol::observation::{Observation, Subject};
use counterfoil_protocol::statement::Kind;
use report::Times;
use serde::Serialize;
use zeroize::Zeroizing;

const EVIDENCE: usize = 20;
const PROFILES: usize = 3;

/// Of one setting: the whole, and the mean of each part.
#[derive(Debug, Serialize)]
struct Measured {
    standing: usize,
    earlier: usize,
    /// One after the other, each with its permit.
    recorded: Times,
    /// Without recording.
    dry: Times,
    /// Mean microseconds of the parts of those that were recorded.
    parts_us: BTreeMap<&'static str, f64>,
    /// Bytes of a decision's statement with its verdict.
    statement_bytes: usize,
}

fn name(part: Part) -> &'static str {
    match part {
        Part::Asking => "asking",
        Part::States => "states",
        Part::Evidence => "evidence",
        Part::Verdict => "verdict",
        Part::Recording => "recording",
    }
}

fn profile(n: usize) -> String {
    let requirements: Vec<String> =
        (0..EVIDENCE).filter(|claim| claim % PROFILES == n).map(|c| format!("r{c}")).collect();
    let rule = requirements.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let each =
        requirements.iter().map(|name| format!("[requirements.{name}]\nclaims = [\"evaluation/{name}\"]\n"));
    format!(
        "id = \"profile-{n}\"\nversion = 1\ntitle = \"t\"\nfamily = \"test\"\nactions = [\"answer/*\"]\n\
         rule = {{ all = [{rule}] }}\n{}",
        each.collect::<String>()
    )
}

fn evidence(n: usize, now: Timestamp) -> Observation {
    Observation {
        claim: format!("evaluation/r{n}"),
        subjects: vec!["name:model".parse().unwrap()],
        effective: now,
        expires: None,
        adverse: false,
        content: BTreeMap::new(),
        sealed: Vec::new(),
        metrics: Vec::new(),
        derived_from: Vec::new(),
        materials: Vec::new(),
        source: None,
    }
}

fn request() -> Request {
    Request {
        action: "answer/question".into(),
        subjects: vec!["name:model".parse::<Subject>().unwrap()],
        actuator: "gateway".into(),
        scopes: BTreeMap::new(),
        predicted: BTreeMap::new(),
        reversibility: Reversibility::Reversible,
        harm: Vec::new(),
        purpose: String::new(),
    }
}

/// A node with everything that a decision needs, and so many standing statements besides.
fn node(folder: &std::path::Path, standing: usize) -> Arc<Node> {
    let data = DataDir::new(folder);
    let founding = Founding {
        name: "North".into(),
        domains: Vec::new(),
        jurisdictions: Vec::new(),
        parent: None,
        keys: 1,
        threshold: 1,
        activation_quorum: None,
    };
    data.found(founding, b"passphrase").unwrap();
    let node = Node::start(data, NodeConfig::default(), Zeroizing::new(b"passphrase".to_vec())).unwrap();
    let declared: Vec<StatementId> =
        (0..PROFILES).map(|n| node.declare(&profile(n)).unwrap().0.statement).collect();
    node.activate(declared, Composition::Intersection, None).unwrap();
    for n in 0..standing {
        node.declare(&profile(0).replace("profile-0", &format!("other-{n}"))).unwrap();
    }
    let now = Timestamp(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
    for n in 0..EVIDENCE {
        node.say(Say::new(Kind::Observation, &evidence(n, now)).unwrap()).unwrap();
    }
    node
}

fn times(runs: usize, mut work: impl FnMut()) -> Times {
    let each = (0..runs).map(|_| {
        let begin = Instant::now();
        work();
        begin.elapsed()
    });
    Times::of(each.collect())
}

fn measure(node: &Node, standing: usize, earlier: usize, runs: usize) -> Measured {
    let decide = |dry: bool| node.decide(request(), None, dry, Duration::ZERO).unwrap();
    decide(true);
    let dry = times(runs, || drop(decide(true)));
    let before: Vec<Duration> = Part::ALL.iter().map(|part| node.spent().of(*part)).collect();
    let recorded = times(runs, || assert!(decide(false).permit.is_some()));
    let parts = Part::ALL.iter().zip(before).map(|(part, before)| {
        let mean = (node.spent().of(*part) - before).as_secs_f64() * 1e6 / runs as f64;
        (name(*part), mean)
    });
    let last = decide(false).decision.unwrap();
    Measured {
        standing,
        earlier,
        recorded,
        dry,
        parts_us: parts.collect(),
        statement_bytes: node.raw(&last).unwrap().len(),
    }
}

fn main() {
    // `cargo test --benches` runs this without the flag: a short run then shows that it works.
    let in_full = std::env::args().any(|argument| argument == "--bench");
    let (runs, settings): (usize, &[(usize, &[usize])]) =
        if in_full { (100, &[(0, &[0, 300, 1000]), (1000, &[0])]) } else { (2, &[(0, &[0, 3])]) };
    let mut all = Vec::new();
    for (standing, earlier) in settings {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), *standing);
        let mut made = 0;
        for earlier in *earlier {
            while made < *earlier {
                node.decide(request(), None, false, Duration::ZERO).unwrap();
                made += 1;
            }
            let measured = measure(&node, *standing, made, runs);
            made += runs + 1;
            println!(
                "{standing:>5} standing, {:>5} earlier decisions: recorded p50 {:.0} us, p99 {:.0} us; dry p50 {:.0} us",
                measured.earlier, measured.recorded.p50_us, measured.recorded.p99_us, measured.dry.p50_us
            );
            println!(
                "      {}",
                measured.parts_us.iter().map(|(n, us)| format!("{n} {us:.0}")).collect::<Vec<_>>().join(", ")
            );
            all.push(measured);
        }
        node.stop();
    }
    if in_full {
        report::add("decide", &all);
    }
}
