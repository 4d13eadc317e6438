//! Decisions, made from what lies on one host's disk: folded anew, verified anew, weighed by the protocol's own function.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_federation::Millis;
use counterfoil_protocol::actuation::Request;
use counterfoil_protocol::actuation::request::Reversibility;
use counterfoil_protocol::admissibility::gather::{ChainView, Inputs, decide};
use counterfoil_protocol::admissibility::{Basis, Decision, SilenceRule};
use counterfoil_protocol::identity::OrganisationState;
use counterfoil_protocol::ids::{ByteString, OrganisationId, StatementId, Timestamp, TreeSize};
use counterfoil_protocol::observation::{ArtifactDigest, Subject, SubjectKey};
use counterfoil_protocol::statement::{Kind, Payload, Statement, Verified, verify};

use crate::disk::{Chain, Disk};
use crate::history::Decided;
use crate::world::World;

/// The profile that deployers have in force.
pub const PROFILE: &str = r#"
    id = "clinical"
    version = 1
    title = "Deployment on a supplier's evaluation"
    family = "clinical"
    actions = ["deploy/*"]
    vetoes = ["recall", "fork"]
    rule = "evaluation"
    [requirements.evaluation]
    claims = ["evaluation/*"]
"#;

/// What a decider does wrong, where that is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Careless {
    /// It goes by something that it does not record.
    Impure,
    /// It counts every head as confirmed just now.
    Wishful,
    /// It overlooks recalls.
    Forgetful,
}

/// A chain, verified statement by statement up to some size.
pub struct Folded {
    /// What is in force then.
    pub state: OrganisationState,
    /// The statements that are there.
    pub verified: Vec<Verified>,
}

/// Verifies a chain anew, from its bytes alone.
///
/// # Errors
/// The first check that fails, and where.
pub fn fold(chain: &Chain, size: TreeSize) -> Result<Folded, String> {
    let parse = |bytes: &std::sync::Arc<[u8]>| Statement::parse(bytes.clone()).map_err(|e| e.to_string());
    let inception = chain.entries.first().and_then(|stored| stored.statement.as_ref());
    let (.., inception) = inception.ok_or("the inception is missing")?;
    let mut state = OrganisationState::from_inception(&parse(inception)?).map_err(|e| e.to_string())?;
    let mut all = Vec::new();
    for (stored, position) in chain.entries.iter().zip(0..size.0) {
        let Some((.., bytes)) = &stored.statement else { continue };
        let at = |error: String| format!("position {position}: {error}");
        state.skip_to(TreeSize(position).next_position());
        let authentic = state.authenticate(parse(bytes).map_err(at)?).map_err(|e| at(e.to_string()))?;
        let verified = verify(&state, authentic).map_err(|e| at(e.to_string()))?;
        state.apply(&verified).map_err(|e| at(e.to_string()))?;
        all.push(verified);
    }
    state.skip_to(size.next_position());
    Ok(Folded { state, verified: all })
}

/// Whether a chain is verified from its bytes, under its latest head.
fn under_head(chain: &Chain) -> Option<(Folded, Basis)> {
    let head = chain.head.as_ref()?;
    let basis = Basis {
        organisation: head.organisation(),
        head: ByteString(head.bytes().to_vec()),
        cosignatures: chain.cosignatures.iter().map(|line| line.as_ref().to_owned()).collect(),
        seen: Timestamp(0),
    };
    Some((fold(chain, head.size()).ok()?, basis))
}

/// A request to deploy the `n`th artifact.
pub fn request(n: u64) -> Request {
    Request {
        action: "deploy/simulated".into(),
        subjects: vec![Subject::artifact(ArtifactDigest::sha256_of(&n.to_be_bytes()))],
        actuator: "actuator".into(),
        scopes: BTreeMap::new(),
        predicted: BTreeMap::new(),
        reversibility: Reversibility::Reversible,
        harm: Vec::new(),
        purpose: String::new(),
    }
}

/// What a decision is computed from, in one place.
pub struct Ground {
    chains: BTreeMap<OrganisationId, (Folded, Basis)>,
    decider: OrganisationId,
    request: Request,
    time: Timestamp,
    mesh: Option<counterfoil_protocol::ids::MeshId>,
    forked: BTreeSet<OrganisationId>,
    silence: SilenceRule,
    /// What was weighed, where that is known already: a decider has statements that others have not.
    weighed: Option<BTreeSet<StatementId>>,
    careless: Option<Careless>,
}

impl Ground {
    /// The ground of a recorded decision, rebuilt from the chains on some disk; none where they are not long enough.
    pub fn of(
        decision: &Decision,
        decider: OrganisationId,
        chains: &BTreeMap<OrganisationId, Chain>,
    ) -> Option<Self> {
        let mut ground = BTreeMap::new();
        for basis in &decision.basis {
            let head = counterfoil_protocol::chain::Head::parse(basis.head.0.as_slice()).ok()?;
            let chain = chains.get(&basis.organisation)?;
            if chain.entries.len() as u64 <= head.claimed_size().0.saturating_sub(1) {
                return None;
            }
            let folded = fold(chain, head.claimed_size()).ok()?;
            ground.insert(basis.organisation, (folded, basis.clone()));
        }
        let weighed: BTreeSet<StatementId> = decision.evidence.iter().map(|item| item.statement).collect();
        let here = |id: &StatementId| {
            ground.values().any(|(folded, _): &(Folded, Basis)| folded.verified.iter().any(|v| v.id() == *id))
        };
        if !weighed.iter().all(here) {
            return None;
        }
        Some(Self {
            chains: ground,
            weighed: Some(weighed),
            decider,
            request: decision.request.clone(),
            time: decision.time,
            mesh: decision.mesh,
            silence: decision.silence,
            forked: decision.forked.iter().copied().collect(),
            careless: None,
        })
    }

    /// Says when a chain's head was last confirmed.
    pub fn confirm(&mut self, organisation: &OrganisationId, seen: Timestamp) {
        if let Some((_, basis)) = self.chains.get_mut(organisation) {
            basis.seen = seen;
        }
    }

    /// Organisations whose chains are known.
    pub fn organisations(&self) -> Vec<OrganisationId> {
        self.chains.keys().copied().collect()
    }

    /// Decides; with the evidence in the opposite order where `backwards`.
    pub fn decide(&self, backwards: bool) -> Option<Decision> {
        let views = self.chains.iter().map(|(organisation, (folded, basis))| {
            let overlooks = |kind: Kind| self.careless == Some(Careless::Forgetful) && kind == Kind::Recall;
            let stands = |verified: &&Verified| verified.kind().is_standing() && !overlooks(verified.kind());
            let standing = folded.verified.iter().filter(stands).collect();
            (*organisation, ChainView { state: &folded.state, standing, basis: basis.clone() })
        });
        let all = self.chains.values().flat_map(|(folded, _)| &folded.verified);
        let evidence = all.filter(|v| match &self.weighed {
            Some(weighed) => weighed.contains(&v.id()),
            None => matches!(v.payload(), Payload::Observation(_) | Payload::Link(_)),
        });
        let mut evidence: Vec<&Verified> = evidence.collect();
        if backwards {
            evidence.reverse();
        }
        let inputs = Inputs {
            decider: self.decider,
            request: self.request.clone(),
            time: self.time,
            mesh: self.mesh,
            chains: views.collect(),
            inquiries: Vec::new(),
            silence: self.silence,
            evidence,
            forked: self.forked.clone(),
        };
        decide(&inputs).ok().map(|(decision, _)| decision)
    }
}

/// The number of the artifact that the next decision is about: the supplier's latest observation, or in turn with that the one
/// which it has withdrawn last.
pub fn next_subject(world: &World, supplier: usize) -> Option<u64> {
    let host = world.hosts.get(supplier)?;
    let latest = host.observed.last().map(|(n, _)| *n);
    let withdrawn = recalled_on(&host.disk).remove(&host.id()).unwrap_or_default();
    let withdrawn = withdrawn.last().map(|(_, subjects)| subjects);
    let is_withdrawn = |n: &u64| {
        withdrawn.is_some_and(|subjects| request(*n).subjects.iter().any(|s| subjects.contains(&s.key())))
    };
    let withdrawn = (1..=host.appended).rev().map(|nth| number(supplier, nth)).find(is_withdrawn);
    let turns = world.history.decided.len().is_multiple_of(2);
    if turns { latest.or(withdrawn) } else { withdrawn.or(latest) }
}

/// The number of a host's `nth` observation.
pub const fn number(index: usize, nth: u64) -> u64 {
    nth * 10 + index as u64 % 10
}

/// A host decides about the `n`th artifact on the evidence of all whose chains its disk has, a supplier's among them, with what
/// its engine knows of them.
pub fn decide_at(world: &World, index: usize, supplier: usize, n: u64) -> Option<Decided> {
    let host = world.hosts.get(index)?;
    let engine = host.engine.as_ref()?;
    let me = host.id();
    let now = host.clock.read(world.now()).timestamp();
    let supplier = world.hosts.get(supplier)?.id();
    let mut chains = BTreeMap::new();
    for (organisation, chain) in host.disk.chains() {
        let Some((folded, mut basis)) = under_head(chain) else { continue };
        let Some(seen) = seen(engine, organisation) else { continue };
        let is_now = *organisation == me || world.careless == Some(Careless::Wishful);
        basis.seen = if is_now { now } else { seen.timestamp() };
        chains.insert(*organisation, (folded, basis));
    }
    if !chains.contains_key(&me) || !chains.contains_key(&supplier) {
        return None;
    }
    let (mesh, charter) = world.mesh()?;
    let forked: BTreeSet<OrganisationId> = host.disk.proofs().keys().copied().collect();
    let (request, mesh) = (request(n), Some(*mesh));
    let silence = SilenceRule::Recognised;
    let mut ground = Ground {
        chains,
        decider: me,
        request,
        time: now,
        mesh,
        forked,
        silence,
        weighed: None,
        careless: world.careless,
    };
    let decision = if world.careless == Some(Careless::Impure) && ground.forked.insert(supplier) {
        let mut decision = ground.decide(false)?;
        decision.forked.retain(|organisation| *organisation != supplier);
        decision
    } else {
        ground.decide(false)?
    };
    let mut heard: BTreeMap<OrganisationId, Millis> = BTreeMap::new();
    for (other, at) in world.hosts.iter().zip(host.word.iter().chain(std::iter::repeat(&Millis(0)))) {
        // Two machines may speak for one organisation.
        let latest = heard.entry(other.id()).or_default();
        *latest = (*latest).max(host.clock.read(*at));
    }
    let freshness_s = charter.freshness_s;
    let recalled = recalled_on(&host.disk).into_values().flatten().collect();
    Some(Decided { host: index, organisation: me, decision, heard, recalled, freshness_s })
}

fn seen(
    engine: &counterfoil_federation::Engine,
    organisation: &OrganisationId,
) -> Option<counterfoil_federation::Millis> {
    engine.replicas().get(organisation).map(|replica| replica.seen)
}

/// What each organisation has recalled of its own statements, in order, by all that lies on a disk, whatever an engine or a
/// decision makes of it.
fn recalled_on(disk: &Disk) -> BTreeMap<OrganisationId, Vec<(StatementId, BTreeSet<SubjectKey>)>> {
    let statements = |chain: &Chain| {
        let stored = chain.entries.iter().filter_map(|stored| stored.statement.clone());
        stored.collect::<Vec<_>>()
    };
    let recalls = disk.chains().iter().map(|(organisation, chain)| {
        let statements = statements(chain);
        let own: BTreeSet<StatementId> = statements.iter().map(|(id, ..)| *id).collect();
        let recalls = statements.iter().filter(|(_, kind, ..)| *kind == Kind::Recall);
        let recalls = recalls.filter_map(|(.., bytes)| {
            let statement = Statement::parse(bytes.clone()).ok()?;
            match Payload::decode(Kind::Recall, statement.payload()).ok()? {
                Payload::Recall(recall) => {
                    Some((recall.statement, recall.subjects.iter().map(Subject::key).collect()))
                }
                _ => None,
            }
        });
        (*organisation, recalls.filter(|(recalled, _)| own.contains(recalled)).collect())
    });
    recalls.collect()
}
