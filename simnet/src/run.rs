//! One run of a plan: mischief, then healing, then the demand that all is well.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_federation::Config;
use counterfoil_protocol::actuation::Mode;
use counterfoil_protocol::ids::{MeshId, OrganisationId};
use counterfoil_protocol::mesh::{Charter, OnFork};
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::TestOrganisation;

use crate::adversary::{Adversary, Fault, act};
use crate::canary::Canary;
use crate::checkers::chains::{self, AppendOnly};
use crate::checkers::{Violation, bounds, violation};
use crate::disk::Chain;
use crate::history::Decided;
use crate::plan::{Action, Plan};
use crate::scan;
use crate::workload::{self, What};
use crate::world::{Setting, World};

/// Longest time from healing after all mischief until every honest host has every head, in milliseconds. Some hosts start
/// anew then, and fetch their own chains first.
pub const CONVERGES_MS: u64 = 60_000;
/// Milliseconds between two looks at all disks.
const LOOK_MS: u64 = 1_000;
/// Age in seconds beyond which a head says nothing about the present, in simulated meshes.
pub const FRESHNESS_S: u64 = 20;

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Digest of everything that happened.
    pub digest: String,
    /// What happened, where lines were to be kept.
    pub lines: Vec<String>,
    /// Things that happened.
    pub events: u64,
    /// Milliseconds from the end of the mischief until every honest host had every head.
    pub converged_ms: u64,
    /// Milliseconds from the end of a partition until every honest host had every head.
    pub healed_ms: u64,
    /// Milliseconds until a recall was on every honest host's disk.
    pub recall_ms: u64,
    /// Links that the recall's gossip had travelled where it arrived last.
    pub recall_hops: u8,
    /// Milliseconds from healing until every honest host had a proof against the equivocator whose branches both reached
    /// honest hosts, if there was one.
    pub exposed_ms: Option<u64>,
    /// Kinds of inputs that were given to engines again.
    pub repeated: BTreeSet<&'static str>,
    /// Statements that were acknowledged.
    pub acknowledged: usize,
    /// Decisions that were made.
    pub decided: usize,
    /// Decisions that let something happen.
    pub admitted: usize,
    /// Decisions about what was recalled.
    pub recalled: usize,
    /// Times that a decision was computed again from another disk.
    pub computed_again: usize,
}

/// Looks at everything again and again while a run goes on.
#[derive(Debug, Default)]
pub struct Watch {
    append_only: AppendOnly,
    /// Equivocators both of whose branches reached honest hosts.
    pub reached: BTreeSet<OrganisationId>,
    /// Organisations that sign two chains.
    pub equivocators: BTreeSet<OrganisationId>,
}

/// Organisation number `n` of those that worlds of this thread are made of: its keys are derived once.
pub fn organisation(n: u64) -> Arc<TestOrganisation> {
    thread_local! {
        static MADE: RefCell<BTreeMap<u64, Arc<TestOrganisation>>> = RefCell::default();
    }
    MADE.with_borrow_mut(|made| made.entry(n).or_insert_with(|| Arc::new(TestOrganisation::new(n))).clone())
}

/// The engines' limits in simulated meshes: small, so that they are reached.
pub fn limits() -> Config {
    Config { peers_max: 64, page_entries_max: 8, candidates_max: 4, ..Config::small() }
}

/// The charter under which all hosts of a world found a mesh.
pub fn charter_of(world: &World, witness_quorum: u16) -> Charter {
    let mut members: Vec<OrganisationId> = world.hosts.iter().map(|host| host.id()).collect();
    members.sort();
    Charter {
        name: "simulated".into(),
        admission_threshold: u16::try_from(members.len().div_ceil(2)).unwrap_or(1),
        witness_quorum,
        members,
        freshness_s: FRESHNESS_S,
        link_answer_s: 60,
        on_fork: OnFork::Quarantine,
        amendment_threshold: None,
        witnesses: None,
    }
}

/// Founds a mesh of all hosts of a world, starts those that are not absent, and lets each open its chain.
///
/// # Errors
/// When a host does not start.
pub fn found(world: &mut World, witness_quorum: u16, absent: &BTreeSet<usize>) -> Result<(), String> {
    let charter = charter_of(world, witness_quorum);
    let Some(founder) = world.hosts.first().map(|host| host.organisation.clone()) else { return Ok(()) };
    let statement = founder.statement(Kind::Charter, &charter);
    world.set_mesh(MeshId::from(statement.statement().id()), charter);
    for index in (0..world.hosts.len()).filter(|index| !absent.contains(index)) {
        let Some(organisation) = world.hosts.get(index).map(|host| host.organisation.clone()) else {
            continue;
        };
        world.start(index)?;
        organisation.opening().into_iter().for_each(|statement| world.append(index, statement));
        if index == 0 {
            world.append(0, statement.clone());
        }
    }
    Ok(())
}

/// The world of a plan, founded and at rest.
///
/// # Errors
/// When a host does not start.
pub fn world_of(plan: &Plan) -> Result<World, String> {
    const NUMBERS: u64 = 64;
    let organisations = (0..plan.hosts as u64)
        .map(|n| organisation(1 + (plan.seed.wrapping_mul(13).wrapping_add(n)) % NUMBERS));
    let setting =
        Setting { seed: plan.seed, config: limits(), topology: plan.topology, base_ms: (2, 30), taps: true };
    let mut world = World::new(setting, organisations.collect());
    for (host, clock) in world.hosts.iter_mut().zip(&plan.clocks) {
        host.clock = *clock;
    }
    let mut honest: BTreeSet<usize> = (0..plan.hosts).filter(|index| !plan.absent.contains(index)).collect();
    for (index, fault) in &plan.adversaries {
        // Honest hosts have to be able to do without those that are not.
        honest.remove(index);
        if !world.network.connects(&honest) {
            honest.insert(*index);
        } else if let Some(host) = world.hosts.get_mut(*index) {
            host.adversary = Some(Adversary::new(*fault));
        }
    }
    found(&mut world, 3.min(u16::try_from(plan.hosts).unwrap_or(3) - 1), &plan.absent)?;
    world.run_for(5_000);
    workload::prepare(&mut world);
    world.run_for(5_000);
    Ok(world)
}

impl Watch {
    /// Looks at all disks and engines.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn look(&mut self, world: &mut World) -> Result<(), Violation> {
        for (index, host) in world.hosts.iter().enumerate().filter(|(_, host)| host.is_honest()) {
            for (organisation, chain) in host.disk.chains() {
                if let Some(violation) = self.append_only.look(index, *organisation, chain) {
                    return Err(violation);
                }
            }
        }
        self.see_branches(world);
        see_outsiders(world);
        let is_honest = |index: usize| world.hosts.get(index).is_some_and(|host| host.is_honest());
        let found = world
            .history
            .beyond
            .clone()
            .or_else(|| chains::durable(&world.history))
            .or_else(|| bounds::limited(&world.history))
            .or_else(|| bounds::alarm(&world.history, is_honest))
            .or_else(|| bounds::closed(&world.history, is_honest));
        found.map_or(Ok(()), Err)
    }

    /// A host's disk was damaged on purpose.
    pub fn forget(&mut self, host: usize) {
        self.append_only.forget(host);
    }

    /// Whether two branches of an equivocator's chain lie on honest disks.
    fn see_branches(&mut self, world: &World) {
        for organisation in self.equivocators.difference(&self.reached.clone()) {
            let honest = world.hosts.iter().filter(|host| host.is_honest());
            let chains: Vec<&Chain> = honest
                .filter_map(|host| host.disk.chains().get(organisation).filter(|chain| chain.head.is_some()))
                .collect();
            let Some(longest) = chains.iter().max_by_key(|chain| chain.entries.len()) else { continue };
            let contradicts = |chain: &&Chain| {
                let head = chain.head.as_ref();
                head.is_some_and(|head| longest.root(head.size()).as_ref() != Ok(&head.root()))
            };
            let is_proven = world
                .hosts
                .iter()
                .any(|host| host.is_honest() && host.disk.proofs().contains_key(organisation));
            if is_proven || chains.iter().any(contradicts) {
                self.reached.insert(*organisation);
            }
        }
    }
}

/// Takes note of who is no member by the votes on each honest disk.
fn see_outsiders(world: &mut World) {
    let outsider = workload::outsider().id();
    for index in 0..world.hosts.len() {
        let votes = world.hosts.get(index).is_some_and(|host| host.is_honest() && host.runs());
        let Some(membership) = votes.then(|| crate::decide::membership(world, index)).flatten() else {
            continue;
        };
        let members: BTreeSet<OrganisationId> = membership.members().iter().copied().collect();
        let ids: Vec<OrganisationId> = world.hosts.iter().map(|host| host.id()).chain([outsider]).collect();
        let Some(host) = world.hosts.get_mut(index) else { continue };
        host.outsiders.retain(|organisation, _| !members.contains(organisation));
        for organisation in ids.into_iter().filter(|id| !members.contains(id)) {
            let sizes = host.disk.chains().iter();
            let sizes = sizes
                .map(|(id, chain)| (*id, counterfoil_protocol::ids::TreeSize(chain.entries.len() as u64)));
            let sizes = sizes.collect();
            host.outsiders.entry(organisation).or_insert(sizes);
        }
    }
}

/// Whether a host may lose what its copy of a chain has from position `keep` on: the last good copy stays in the mesh.
fn may_lose(world: &World, index: usize, organisation: &OrganisationId, keep: usize) -> bool {
    let Some(owner) = world.hosts.iter().position(|host| host.id() == *organisation) else { return false };
    let Some(own) = world.hosts.get(owner) else { return false };
    let locked = own.disk.lock().map(counterfoil_protocol::chain::SignedHead::hash);
    let has_all = |host: &crate::host::Host| {
        let chain = host.disk.chains().get(organisation);
        chain.is_some_and(|chain| {
            chain.tip() == locked && chain.entries.iter().all(|stored| stored.is_whole()) && locked.is_some()
        })
    };
    if owner != index {
        return has_all(own);
    }
    // A node whose data ends before the binding of its own key cannot introduce itself any more.
    let is_binding = |stored: &Arc<crate::disk::Stored>| {
        stored.statement.as_ref().is_some_and(|(_, kind, ..)| *kind == Kind::Node)
    };
    let mut kept =
        own.disk.chains().get(organisation).into_iter().flat_map(|chain| chain.entries.iter().take(keep));
    if !kept.any(is_binding) {
        return false;
    }
    let secret = |stored: &Arc<crate::disk::Stored>| {
        stored.statement.as_ref().is_some_and(|(id, ..)| world.limited.contains_key(id))
    };
    let lost =
        own.disk.chains().get(organisation).into_iter().flat_map(|chain| chain.entries.iter().skip(keep));
    let others = world.hosts.iter().enumerate().filter(|(other, host)| *other != index && host.is_honest());
    let mut lost = lost.peekable();
    lost.peek().is_some() && !lost.any(secret) && others.map(|(_, host)| host).any(has_all)
}

/// Does one thing to the world.
///
/// # Errors
/// When a host does not start.
pub fn perform(world: &mut World, watch: &mut Watch, action: &Action) -> Result<(), String> {
    let is_honest = |world: &World, index: usize| world.hosts.get(index).is_some_and(|host| host.is_honest());
    match action {
        Action::Say(index, what) => workload::say(world, *index, *what),
        Action::Crash(index, torn) => {
            let queued = world.hosts.get(*index).map_or(0, |host| host.disk.queued() as u64);
            let survive = usize::try_from(world.below(queued + 1)).unwrap_or_default();
            world.stop(*index, survive, *torn);
        }
        Action::Start(index) => {
            if let Some(host) = world.hosts.get_mut(*index) {
                host.disk.full = false;
            }
            start(world, watch, *index)?;
        }
        Action::Cut(a, b) => world.cut(*a, *b),
        Action::Deaf(a, b) => world.network.set_deaf(*a, *b, true),
        Action::Clog(a, b, ms) => world.network.clog(*a, *b, world.now().plus(*ms)),
        Action::Partition(side) => {
            for a in side {
                for b in world.network.neighbours(*a) {
                    if !side.contains(&b) {
                        world.cut(*a, b);
                    }
                }
            }
        }
        Action::Heal => world.heal(),
        Action::Weather(weather) => world.network.weather = *weather,
        Action::Step(index, ms) => {
            if let Some(host) = world.hosts.get_mut(*index) {
                host.clock.step(*ms);
            }
        }
        Action::BackUp(index) => {
            if let Some(host) = world.hosts.get_mut(*index) {
                host.disk.back_up();
            }
        }
        Action::Restore(index) if is_honest(world, *index) => restore(world, watch, *index)?,
        Action::LoseSynced(index, of, entries) if is_honest(world, *index) => {
            let Some(organisation) = world.hosts.get(*of).map(|host| host.id()) else { return Ok(()) };
            let Some(mut chain) = chain_of(world, *index, &organisation).cloned() else { return Ok(()) };
            let length = chain.entries.len();
            if chain.cut_off(length.saturating_sub(*entries))
                && may_lose(world, *index, &organisation, chain.entries.len())
            {
                world.stop(*index, 0, false);
                watch.forget(*index);
                if let Some(host) = world.hosts.get_mut(*index) {
                    host.disk.chains_mut().insert(organisation, chain);
                }
                world.note(&format!("{index} loses what it had synced of the chain of {of}"));
                start(world, watch, *index)?;
            }
        }
        Action::Rot(index, of, bit) if is_honest(world, *index) => {
            let Some(organisation) = world.hosts.get(*of).map(|host| host.id()) else { return Ok(()) };
            let Some(chain) = chain_of(world, *index, &organisation) else { return Ok(()) };
            let at = bit % chain.entries.len().max(1);
            let mut cut = chain.clone();
            if cut.cut_off(at)
                && may_lose(world, *index, &organisation, cut.entries.len())
                && let Some(host) = world.hosts.get_mut(*index)
                && host.disk.rot(&organisation, at, *bit)
            {
                world.note(&format!("{index}: position {at} of the chain of {of} rots"));
            }
        }
        Action::Full(index) => {
            if let Some(host) = world.hosts.get_mut(*index) {
                host.disk.full = true;
            }
        }
        Action::SecondFace(index, shown) if is_honest(world, *index) => {
            second_face(world, watch, *index, shown)?;
        }
        Action::Act(index) => act(world, *index),
        Action::Restore(_) | Action::LoseSynced(..) | Action::Rot(..) | Action::SecondFace(..) => {}
    }
    Ok(())
}

fn chain_of<'a>(world: &'a World, index: usize, organisation: &OrganisationId) -> Option<&'a Chain> {
    world.hosts.get(index)?.disk.chains().get(organisation)
}

/// Starts a host; what its disk cuts off as damaged counts no more.
fn start(world: &mut World, watch: &mut Watch, index: usize) -> Result<(), String> {
    if world.hosts.get(index).is_some_and(|host| !host.runs() && host.starts > 0) {
        let damaged = |host: &crate::host::Host| {
            host.disk.chains().values().flat_map(|chain| &chain.entries).any(|stored| !stored.is_whole())
        };
        if world.hosts.get(index).is_some_and(damaged) {
            watch.forget(index);
        }
        world.start(index)?;
    }
    Ok(())
}

fn restore(world: &mut World, watch: &mut Watch, index: usize) -> Result<(), String> {
    let Some(host) = world.hosts.get(index) else { return Ok(()) };
    let Some(backup) = host.disk.backup().cloned() else { return Ok(()) };
    let shrinks = host.disk.chains().iter().filter(|(id, chain)| {
        backup.get(id).map_or(0, |old| old.entries.len()) < chain.entries.len()
            || backup.get(id).and_then(Chain::tip) != chain.tip()
    });
    let mut all = shrinks.map(|(id, _)| (*id, backup.get(id).map_or(0, |old| old.entries.len())));
    let own = backup.get(&host.id()).is_some_and(|chain| chain.head.is_some());
    if own && all.all(|(id, keep)| may_lose(world, index, &id, keep)) {
        world.stop(index, 0, false);
        watch.forget(index);
        if let Some(host) = world.hosts.get_mut(index) {
            host.disk.restore_data(backup);
        }
        world.note(&format!("{index} gets an old backup back"));
        start(world, watch, index)?;
    }
    Ok(())
}

fn second_face(
    world: &mut World,
    watch: &mut Watch,
    index: usize,
    shown: &BTreeSet<usize>,
) -> Result<(), String> {
    let honest: BTreeSet<usize> = world.honest().into_iter().filter(|other| *other != index).collect();
    let Some(host) = world.hosts.get(index).filter(|host| host.runs()) else { return Ok(()) };
    if !world.network.connects(&honest) || host.disk.lock().is_none() {
        return Ok(());
    }
    watch.equivocators.insert(host.id());
    let shown = shown.iter().copied().filter(|other| *other != index).collect();
    world.note(&format!("a second machine with the keys of {index} starts"));
    let face = world.second_face(index, &shown)?;
    for host in [index, face] {
        if let Some(host) = world.hosts.get_mut(host) {
            host.adversary = Some(Adversary::new(Fault::Equivocator));
        }
        workload::say(world, host, What::Observe(1 + host as u64 % 3));
    }
    Ok(())
}

/// Everything that is broken is mended: links, disks, clocks, hosts that are down.
///
/// # Errors
/// When a host does not start.
pub fn mend(world: &mut World, watch: &mut Watch, absent: &BTreeSet<usize>) -> Result<(), String> {
    world.network.weather = crate::network::Weather::CALM;
    world.heal();
    for index in (0..world.hosts.len()).filter(|index| !absent.contains(index)) {
        let Some(host) = world.hosts.get_mut(index) else { continue };
        host.clock.correct();
        host.disk.full = false;
        let damaged = host.disk.chains().values().flat_map(|chain| &chain.entries).any(|s| !s.is_whole());
        if damaged && host.runs() {
            world.stop(index, 0, false);
        }
        start(world, watch, index)?;
    }
    Ok(())
}

/// Runs a plan.
///
/// # Errors
/// The first [`Violation`], with how the run had gone until then.
pub fn run(
    plan: &Plan,
    canary: Option<Canary>,
    keep_lines: bool,
) -> Result<Report, Box<(Violation, Report)>> {
    let mut report = Report::default();
    let world = world_of(plan).map_err(|text| violation("start", text));
    let mut world = match world {
        Ok(world) => world,
        Err(found) => return Err(Box::new((found, report))),
    };
    if keep_lines {
        world.trace.keep_lines();
    }
    let outcome = play(plan, canary, &mut world, &mut report);
    report.digest = world.trace.digest();
    report.events = world.trace.events();
    report.lines = world.trace.lines().to_vec();
    report.acknowledged = world.history.acknowledged.len();
    report.decided = world.history.decided.len();
    let admits = |decided: &&Decided| decided.decision.mode <= Mode::Partial;
    report.admitted = world.history.decided.iter().filter(admits).count();
    match outcome {
        Ok(()) => Ok(report),
        Err(found) => Err(Box::new((found, report))),
    }
}

fn play(
    plan: &Plan,
    canary: Option<Canary>,
    world: &mut World,
    report: &mut Report,
) -> Result<(), Violation> {
    let failed = |text: String| violation("start", text);
    let mut watch = Watch::default();
    if let Some(canary) = canary {
        canary.before(world);
    }
    let began = world.now();
    for step in &plan.steps {
        while world.now().since(began) + LOOK_MS < step.at_ms {
            world.run_for(LOOK_MS);
            watch.look(world)?;
        }
        world.run_for(step.at_ms.saturating_sub(world.now().since(began)));
        world.note(&format!("> {:?}", step.action));
        let touches = plan.absent.iter().any(|absent| is_start_of(&step.action, *absent));
        if !touches {
            perform(world, &mut watch, &step.action).map_err(failed)?;
        }
        watch.look(world)?;
    }
    world.run_for(LOOK_MS);
    watch.look(world)?;
    mend(world, &mut watch, &plan.absent).map_err(failed)?;
    scan::all(world, &mut watch, canary, report)
}

fn is_start_of(action: &Action, host: usize) -> bool {
    matches!(action, Action::Start(index) | Action::Restore(index) if *index == host)
}
