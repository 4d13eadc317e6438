//! A seeded run with an equivocator: one organisation on two machines, each shown to a part of the members that cannot
//! see the other part. The two chains grow by different lengths; then the members see each other again.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::ids::OrganisationId;
use counterfoil_protocol::statement::Kind;

use crate::checkers::{
    OnDisk, Violation, acknowledged_is_provable, convergence, exposure, no_honest_conviction,
};
use crate::swarm::mesh;
use crate::world::{Faults, World};

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// Virtual milliseconds from healing until every honest host had the proof.
    pub within_ms: u64,
    /// What the two faces had signed: statements of each.
    pub sizes: (u64, u64),
    /// One line for each thing that happened.
    pub trace: Vec<String>,
}

/// Longest time from healing until everybody must have the proof, in virtual milliseconds.
pub const BOUND_MS: u64 = 5_000;

const EQUIVOCATOR: usize = 0;

/// A run in which host 0 shows two chains.
///
/// # Errors
/// The first [`Violation`], or why a host did not start.
pub fn run(seed: u64, hosts: u64) -> Result<Exposed, Violation> {
    let failed = |text: String| Violation { checker: "start", text };
    let mut world = mesh(seed, hosts).map_err(failed)?;
    let count = world.hosts.len();
    let guilty = world.hosts.first().map(|host| host.id()).ok_or_else(|| failed("no hosts".into()))?;
    let middle = 1 + usize::try_from(world.below(hosts.saturating_sub(2))).unwrap_or_default();
    let shown: BTreeSet<usize> = (middle + 1..count).collect();
    let face = world.second_face(EQUIVOCATOR, &shown).map_err(failed)?;
    for a in 1..=middle {
        shown.iter().for_each(|b| world.cut(a, *b));
    }
    let rounds = 1 + world.below(6);
    for _ in 0..rounds {
        world.faults = Faults { loss: world.below(200), duplication: 100, delay_ms: 1 + world.below(400) };
        for index in [EQUIVOCATOR, face] {
            for _ in 0..world.below(5) {
                say(&mut world, index, index == face);
            }
        }
        let honest = 1 + usize::try_from(world.below(hosts - 1)).unwrap_or_default();
        say(&mut world, honest, false);
        world.run_for(1_000);
    }
    // Both branches have something that the other has not, and reach whom they are shown to.
    say(&mut world, EQUIVOCATOR, false);
    say(&mut world, face, true);
    world.faults = Faults { loss: 0, duplication: 0, delay_ms: 20 };
    world.run_for(20_000);
    let sizes = (size(&world, EQUIVOCATOR, &guilty), size(&world, face, &guilty));
    if world.below(2) == 0 {
        // One machine stays away from now on: what it had signed convicts all the same.
        let gone = if world.below(2) == 0 { EQUIVOCATOR } else { face };
        world.crash(gone);
    }
    world.heal();
    if count > 3 && world.below(2) == 0 {
        // One member comes back when all is said: what gossip told the others, the head vectors have to tell it.
        let latecomer = count - 1;
        (0..face).filter(|other| *other != latecomer).for_each(|other| world.cut(latecomer, other));
        world.run_for(10_000);
        world.heal();
    }
    let mut within_ms = 0;
    while exposure(&proofs(&world, face), &BTreeSet::from([guilty])).is_some() && within_ms < BOUND_MS {
        world.run_for(100);
        within_ms += 100;
    }
    check(&world, guilty, face)?;
    // What the honest have to say goes on.
    say(&mut world, 1, false);
    world.run_for(20_000);
    check(&world, guilty, face)?;
    let honest: Vec<_> =
        world.heads().into_iter().filter(|(host, _)| *host != EQUIVOCATOR && *host != face).collect();
    let organisations: BTreeSet<OrganisationId> =
        world.hosts.iter().map(|host| host.id()).filter(|id| *id != guilty).collect();
    let mut history = world.history.clone();
    history.acknowledged.retain(|acknowledged| acknowledged.organisation != guilty);
    let chains: BTreeMap<_, _> = world
        .hosts
        .iter()
        .filter_map(|host| Some((host.id(), host.disk.chains().get(&host.id())?)))
        .collect();
    let violation =
        convergence(&honest, &organisations).or_else(|| acknowledged_is_provable(&history, &chains));
    match violation {
        Some(violation) => Err(violation),
        None => Ok(Exposed { within_ms, sizes, trace: world.history.trace }),
    }
}

fn check(world: &World, guilty: OrganisationId, face: usize) -> Result<(), Violation> {
    let alarm = world.alarms.iter().find(|(host, _)| *host != EQUIVOCATOR && *host != face);
    if let Some((host, alarm)) = alarm {
        return Err(Violation { checker: "alarm", text: format!("host {host}: {alarm}") });
    }
    let (proofs, guilty) = (proofs(world, face), BTreeSet::from([guilty]));
    let violation = exposure(&proofs, &guilty).or_else(|| no_honest_conviction(&proofs, &guilty));
    violation.map_or(Ok(()), Err)
}

/// The proofs on the disks of honest hosts.
pub fn proofs(world: &World, face: usize) -> Vec<OnDisk<'_>> {
    let hosts = world.hosts.iter().enumerate();
    let honest = hosts.filter(|(index, _)| *index != EQUIVOCATOR && *index != face);
    honest.map(|(index, host)| (index, host.disk.proofs())).collect()
}

/// Lets a host say something. The two faces say different things, credentials among them.
fn say(world: &mut World, index: usize, is_second: bool) {
    let is_standing = world.below(6) == 0;
    let Some(host) = world.hosts.get_mut(index) else { return };
    host.appended += 1;
    let n = host.appended + if is_second { 1_000_000 } else { 0 };
    let statement = if is_standing {
        let join = counterfoil_protocol::mesh::Admission {
            mesh: counterfoil_protocol::ids::MeshId::from_bytes([9; 32]),
            organisation: OrganisationId::from_bytes([u8::try_from(n % 251).unwrap_or_default(); 32]),
            ballot: counterfoil_protocol::mesh::Ballot::Admit,
            after: None,
        };
        host.organisation.statement(Kind::Admission, &join)
    } else {
        host.organisation.observation(n)
    };
    world.append(index, statement);
}

fn size(world: &World, index: usize, organisation: &OrganisationId) -> u64 {
    let chain = world.hosts.get(index).and_then(|host| host.disk.chains().get(organisation));
    chain.and_then(|chain| chain.head.as_ref()).map_or(0, |head| head.size().0)
}
