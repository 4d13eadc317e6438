//! Real nodes that are voted in, put out, and leave: with membership ends what they are told and what they may say.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::time::{Duration, Instant};

use counterfoil_federation::Config;
use counterfoil_node::service::mesh::MemberView;
use counterfoil_tests::fleet::{Fleet, until};
use counterfoil_tests::hostile::Hostile;
use counterfoil_tests::process::Process;
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");
const HOSTILE: &str = env!("CARGO_BIN_EXE_hostile");
/// Longest wait for anything that the nodes do.
const PATIENCE: Duration = Duration::from_secs(60);
/// The one that comes, and is put out again.
const NEWCOMER: usize = 3;
/// The founder that leaves.
const LEAVER: usize = 2;

fn view(fleet: &Fleet, number: usize, about: usize) -> MemberView {
    let members: Vec<MemberView> = fleet.nodes[number].client().get("/v1/mesh/members").unwrap();
    members.into_iter().find(|one| one.organisation.to_string() == fleet.ids[about]).unwrap()
}

fn is_member(fleet: &Fleet, number: usize, about: usize) -> bool {
    view(fleet, number, about).member
}

/// Statements go to and fro between members.
fn round(fleet: &Fleet, members: &[usize]) {
    for author in members {
        let size = fleet.observe(*author, 0).unwrap().size.0;
        for reader in members.iter().filter(|reader| *reader != author) {
            fleet.await_size(*reader, *author, size, PATIENCE).unwrap();
        }
    }
}

/// What was known of each other when somebody stopped being a member.
struct Parting {
    gone: usize,
    members: Vec<usize>,
    /// Sizes of the members' chains at that time.
    sizes: Vec<u64>,
    /// Sizes of its chain at the members.
    said: Vec<u64>,
}

impl Parting {
    /// All members know that `gone` is none.
    fn new(fleet: &Fleet, gone: usize, members: &[usize]) -> Self {
        for number in members {
            let is_out = || if is_member(fleet, *number, gone) { Err("a member".into()) } else { Ok(()) };
            until(PATIENCE, is_out).unwrap();
        }
        let sizes = members.iter().map(|number| fleet.size_of(*number, *number).unwrap()).collect();
        let said = members.iter().map(|number| fleet.size_of(*number, gone).unwrap()).collect();
        Self { gone, members: members.to_vec(), sizes, said }
    }

    /// Nobody has listened to it since.
    fn is_unheard(&self, fleet: &Fleet) {
        for (number, said) in self.members.iter().zip(&self.said) {
            let chain = fleet.chain_of(*number, self.gone).unwrap().unwrap();
            let heard = (chain.size.0, chain.limited, chain.misbehaved);
            assert_eq!(heard, (*said, 0, false), "node {number} heard of node {}", self.gone);
        }
    }

    /// Nobody has told it anything since, while there was something to tell over several times in which heads are compared.
    fn holds(&self, fleet: &Fleet) {
        let periods = Duration::from_millis(2 * Config::default().anti_entropy_ms);
        let (since, mut rounds) = (Instant::now(), 0);
        while rounds < 4 || since.elapsed() < periods {
            fleet.observe(self.gone, 0).unwrap();
            round(fleet, &self.members);
            rounds += 1;
        }
        for (number, size) in self.members.iter().zip(&self.sizes) {
            let there = fleet.size_of(self.gone, *number).unwrap();
            assert!(there <= *size, "node {} was told {there} of {size} of node {number}", self.gone);
            assert!(fleet.size_of(*number, *number).unwrap() > *size);
        }
        self.is_unheard(fleet);
        self.is_refused(fleet);
    }

    /// With its key somebody asks one member and floods another with its latest head, of which nobody knows: in vain.
    fn is_refused(&self, fleet: &Fleet) {
        fleet.nodes[self.gone].kill().unwrap();
        let start = |mode: &str, number: usize| {
            let at = fleet.nodes[number].listening()[0].clone();
            Hostile::start(HOSTILE, None, fleet.nodes[self.gone].data(), &at, &[mode.to_owned()]).unwrap()
        };
        let mut asking = start("ask", self.members[0]);
        let refused = || {
            let fate = asking.fate().map_err(|error| error.to_string())?;
            assert!(!fate.is_introduced() && fate.count("answered") == 0, "{fate:?}");
            if fate.count("refused") > 100 { Ok(()) } else { Err(format!("{fate:?}")) }
        };
        until(PATIENCE, refused).unwrap();
        drop(asking);
        let mut flooding = start("flood", self.members[1]);
        let (mut rounds, mut published) = (0, 0);
        while rounds < 4 || published < 5000 {
            round(fleet, &self.members);
            let fate = flooding.fate().unwrap();
            assert!(!fate.is_introduced() && fate.count("closed") < 2, "{fate:?}");
            published = fate.count("published");
            rounds += 1;
            assert!(rounds < 200, "{fate:?}");
        }
        self.is_unheard(fleet);
    }
}

#[test]
fn who_is_put_out_or_leaves_is_told_nothing_more_and_heard_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let found = |name: &str| Process::found(PROGRAM, &folder.path().join(name), name).unwrap();
    let mut fleet = Fleet::of(["one", "two", "three"].map(found).into());
    fleet.meet(1, &[]).unwrap();
    fleet.settle(PATIENCE).unwrap();
    fleet.nodes.iter_mut().for_each(|node| node.keep_addresses().unwrap());

    // Voted in by two of three, and at work like any other.
    let newcomer = found("newcomer");
    newcomer.start().unwrap();
    let invitation = fleet.nodes[0].run(&["mesh", "invite"]).unwrap();
    newcomer.run(&["mesh", "join", invitation.as_str().unwrap()]).unwrap();
    let id = newcomer.run(&["status"]).unwrap()["organisation"].as_str().unwrap().to_owned();
    fleet.nodes.push(newcomer);
    fleet.ids.push(id.clone());
    for founder in [0, 1] {
        let admit = || fleet.nodes[founder].run(&["mesh", "admit", &id]).map_err(|error| error.to_string());
        until(PATIENCE, admit).unwrap();
    }
    fleet.settle(PATIENCE).unwrap();
    round(&fleet, &[0, 1, LEAVER, NEWCOMER]);

    // One of the two that let it in cannot put it out alone.
    fleet.nodes[0].run(&["mesh", "expel", &id]).unwrap();
    let is_told = || match view(&fleet, 1, NEWCOMER) {
        MemberView { member: true, against, .. } if against.len() == 1 => Ok(()),
        other => Err(format!("{other:?}")),
    };
    until(PATIENCE, is_told).unwrap();
    round(&fleet, &[0, 1, LEAVER, NEWCOMER]);
    fleet.nodes[1].run(&["mesh", "expel", &id]).unwrap();
    assert!(view(&fleet, 1, NEWCOMER).former);
    Parting::new(&fleet, NEWCOMER, &[0, 1, LEAVER]).holds(&fleet);

    fleet.nodes[LEAVER].run(&["mesh", "leave"]).unwrap();
    Parting::new(&fleet, LEAVER, &[0, 1]).holds(&fleet);
    for number in [0, 1] {
        assert_eq!(fleet.nodes[number].run(&["forks", "list"]).unwrap(), json!([]));
    }
}
