//! One run of a plan: mischief, then healing, then the demand that all is well.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_federation::Config;
use counterfoil_protocol::actuation::Mode;
use counterfoil_protocol::ids::{MeshId, OrganisationId, TreeSize};
use counterfoil_protocol::mesh::{Charter, OnFork};
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::TestOrganisation;

use crate::adversary::Adversary;
use crate::canary::Canary;
use crate::checkers::chains::{self, AppendOnly};
use crate::checkers::{Violation, bounds, violation};
use crate::disk::Chain;
use crate::history::Decided;
use crate::host::Host;
use crate::members::Roll;
use crate::network::Topology;
use crate::plan::{Action, Plan};
use crate::tally::{Mark, Tally};
use crate::world::{Setting, World};
use crate::{mischief, scan, workload};

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
    /// What took effect.
    pub tally: Tally,
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
        world.start(index)?;
        workload::open(world, index);
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
    for newcomer in plan.hosts..plan.everybody() {
        let organisation = organisation(1 + NUMBERS + (plan.seed + newcomer as u64) % NUMBERS);
        let with: Vec<usize> = match plan.topology {
            Topology::Full => (0..newcomer).collect(),
            Topology::Circles { degree } => {
                (0..degree.min(newcomer)).map(|nth| nth * newcomer / degree).collect()
            }
        };
        world.add_host(organisation, &with);
        let clock = plan.clocks.get(newcomer).copied();
        world.hosts.last_mut().into_iter().zip(clock).for_each(|(host, clock)| host.clock = clock);
    }
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
    fn see_branches(&mut self, world: &mut World) {
        let mut unproven = self.equivocators.difference(&self.reached).copied().peekable();
        if unproven.peek().is_none() {
            return;
        }
        // What is known to those alone who are told nothing and heard by nobody, nobody can compare.
        let members = world.roll().members;
        let counts = |(index, host): &(usize, &Host)| {
            host.is_honest() && members.contains(&host.id()) && !world.parted.contains_key(index)
        };
        let honest = world.hosts.iter().enumerate().filter(counts).map(|(_, host)| host);
        let is_known = |organisation: &OrganisationId| {
            let chains = honest.clone().filter_map(|host| host.disk.chains().get(organisation));
            let chains: Vec<&Chain> = chains.filter(|chain| chain.head.is_some()).collect();
            let Some(longest) = chains.iter().max_by_key(|chain| chain.entries.len()) else { return false };
            let contradicts = |chain: &&Chain| {
                let head = chain.head.as_ref();
                head.is_some_and(|head| longest.root(head.size()).as_ref() != Ok(&head.root()))
            };
            honest.clone().any(|host| host.disk.proofs().contains_key(organisation))
                || chains.iter().any(contradicts)
        };
        let known: Vec<OrganisationId> = unproven.filter(is_known).collect();
        for organisation in known {
            world.tally.took(Mark::Forked);
            self.reached.insert(organisation);
        }
    }
}

/// Takes note of who is no member by the votes on each honest disk, and of what was served to those.
pub fn see_outsiders(world: &mut World) {
    let outsider = workload::outsider().id();
    let by_all = world.roll_of_all();
    for suspect in std::mem::take(&mut world.suspects) {
        let reader = world.hosts.get(suspect.to).map(|host| host.id());
        let is_member = |roll: &Arc<Roll>| reader.is_some_and(|reader| roll.members.contains(&reader));
        // Votes that the server had, and lost before they were on its disk, are in the chains of those who voted.
        if ![world.roll_of(suspect.from), by_all.clone()].iter().flatten().any(is_member) {
            world.history.leaks.push(suspect);
        }
    }
    for index in 0..world.hosts.len() {
        let votes = world.hosts.get(index).is_some_and(|host| host.is_honest() && host.runs());
        let Some(roll) = votes.then(|| world.roll_of(index)).flatten() else { continue };
        let ids: Vec<OrganisationId> = world.hosts.iter().map(|host| host.id()).chain([outsider]).collect();
        let Some(host) = world.hosts.get_mut(index) else { continue };
        host.outsiders.retain(|organisation, _| !roll.members.contains(organisation));
        for organisation in ids.into_iter().filter(|id| !roll.members.contains(id)) {
            let sizes = host.disk.chains().iter();
            let sizes = sizes.map(|(id, chain)| (*id, TreeSize(chain.entries.len() as u64)));
            let sizes = sizes.collect();
            host.outsiders.entry(organisation).or_insert(sizes);
        }
    }
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
    mischief::outcome(&mut world);
    report.tally = world.tally.clone();
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
            mischief::perform(world, &mut watch, &step.action).map_err(failed)?;
        }
        watch.look(world)?;
    }
    world.run_for(LOOK_MS);
    watch.look(world)?;
    mischief::mend(world, &mut watch, &plan.absent).map_err(failed)?;
    scan::all(world, &mut watch, canary, report)
}

fn is_start_of(action: &Action, host: usize) -> bool {
    matches!(action, Action::Start(index) | Action::Restore(index) if *index == host)
}
