//! Decisions: asked, recorded, explained; and the profiles that they follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use counterfoil_federation::replica::Replica;
use counterfoil_protocol::actuation::Request;
use counterfoil_protocol::admissibility::basis::{self, Standing};
use counterfoil_protocol::admissibility::declared::governance;
use counterfoil_protocol::admissibility::dispute::{concerns_dispute, links_on};
use counterfoil_protocol::admissibility::gather::{decide_with, reach, relevant};
use counterfoil_protocol::admissibility::{
    Activation, Basis, Composition, Inquiry, InquiryAnswer, Profile, SilenceRule, Verdict,
};
use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::codec;
use counterfoil_protocol::ids::{ByteString, MeshId, OrganisationId, StatementId, Timestamp};
use counterfoil_protocol::limits::{EVIDENCE_MAX, PAYLOAD_BYTES_MAX};
use counterfoil_protocol::observation::{Subject, SubjectKey};
use counterfoil_protocol::statement::{Kind, Payload, Verified};
use serde::{Deserialize, Serialize};

use super::known::{Known, standing_under};
use super::say::{Said, Say};
use super::spent::Part;
use super::{Node, ServiceError, is_covered};
use crate::runtime::View;
use crate::store::{EvidenceEdges, Placed};

/// How often it is asked on for one decision.
const INQUIRY_ROUNDS_MAX: usize = 4;

/// Most statements whose kinds are kept in memory.
const KINDS_KEPT_MAX: usize = 1 << 16;
/// Most bytes of statements that are kept verified.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// Evidence that decisions came across, verified in its place.
#[derive(Default)]
pub(super) struct Kept {
    of: BTreeMap<StatementId, Arc<Verified>>,
    bytes: usize,
}

impl Kept {
    fn keep(&mut self, verified: &Arc<Verified>) {
        self.bytes = self.bytes.saturating_add(verified.bytes().len());
        if self.bytes > KEPT_BYTES_MAX {
            // All at once: what is asked about again is soon known again.
            self.of.clear();
            self.bytes = verified.bytes().len();
        }
        self.of.insert(verified.id(), Arc::clone(verified));
    }
}

/// A decision with its verdict.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decided {
    /// The decision's statement; none of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<StatementId>,
    /// The permit's statement, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permit: Option<StatementId>,
    /// Until when the permit may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permit_expires: Option<Timestamp>,
    /// Until when the effect is to be reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect_by: Option<Timestamp>,
    /// What was asked.
    pub request: Request,
    /// When it was decided.
    pub time: Timestamp,
    /// Who decided.
    pub organisation: OrganisationId,
    /// The verdict.
    pub verdict: Verdict,
    /// Pieces of evidence that were weighed.
    pub weighed: usize,
    /// What was asked of the other members, and what came of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inquiries: Vec<Inquiry>,
    /// Names of those organisations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub asked: BTreeMap<OrganisationId, String>,
    /// Names of the authorities in the verdict: `role of organisation`.
    pub authorities: BTreeMap<String, String>,
}

/// Chains whose statements may count, each with its head.
type Heads<'a> = BTreeMap<OrganisationId, (&'a Replica, &'a SignedHead)>;

/// The parts of a case that have to outlive it.
pub(super) struct Gathered {
    pub(super) chains: BTreeMap<OrganisationId, Known>,
    pub(super) evidence: Vec<Arc<Verified>>,
    pub(super) mesh: Option<MeshId>,
    pub(super) forked: BTreeSet<OrganisationId>,
    pub(super) inquiries: Vec<Inquiry>,
    pub(super) silence: SilenceRule,
}

impl Node {
    /// Decides about a request from everything that this node knows now, and records it with a permit where it admits.
    /// A dry run records nothing, and may ask about another time. Before, the other members are asked what they know of the
    /// subjects, for as long as `wait` at most; not where it is about another time.
    ///
    /// # Errors
    /// [`ServiceError`]; a verdict that does not admit is no error.
    pub fn decide(
        &self,
        request: Request,
        at: Option<Timestamp>,
        dry_run: bool,
        wait: Duration,
    ) -> Result<Decided, ServiceError> {
        request.check().map_err(|error| ServiceError::caller("request", error.to_string()))?;
        if at.is_some() && !dry_run {
            let text = "a decision is recorded as of now; use --dry-run to ask about another time";
            return Err(ServiceError::caller("time", text));
        }
        let asking = || self.spent().on(Part::Asking, || self.inquire(&request, wait));
        let inquiries = if at.is_none() { asking()? } else { Vec::new() };
        let _acting = self.acting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let view = self.view()?;
        let time = at.unwrap_or_else(|| view.now.timestamp());
        self.decide_on(&view, request, time, dry_run, inquiries, None)
    }

    /// Decides, and records it unless it is a dry run. The caller holds the lock on acting.
    pub(super) fn decide_on(
        &self,
        view: &View,
        request: Request,
        time: Timestamp,
        dry_run: bool,
        inquiries: Vec<Inquiry>,
        overriding: Option<&StatementId>,
    ) -> Result<Decided, ServiceError> {
        let mut gathered = self.gather(view, &request)?;
        gathered.inquiries = inquiries;
        gathered.evidence.extend(self.staged(view, &request)?.into_iter().map(Arc::new));
        if let Some(overriding) = overriding {
            gathered.evidence.push(Arc::new(self.verified_one(view, overriding)?));
        }
        let inputs = gathered.inputs(self.organisation(), request, time);
        let (decision, verdict) = self.spent().on(Part::Verdict, || {
            let mut evaluator = self.evaluator.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            decide_with(&inputs, &mut evaluator)
        })?;
        let (mut recorded, mut permit) = (None, None);
        if !dry_run {
            (recorded, permit) = self.spent().on(Part::Recording, || {
                let said = self.say(Say::new(Kind::Decision, &decision)?)?;
                self.have_reviewed(&said.statement, &verdict)?;
                let own = inputs.chains.get(&inputs.decider);
                let times_s = own.map(|own| governance(&inputs, own).times_s(&decision.request.action));
                let permit = self.permit(&said, &decision, &verdict, times_s.unwrap_or_default())?;
                Ok::<_, ServiceError>((Some(said.statement), permit))
            })?;
        }
        Ok(Decided {
            decision: recorded,
            permit: permit.as_ref().map(|(said, _)| said.statement),
            permit_expires: permit.as_ref().map(|(_, permit)| permit.expires),
            effect_by: permit.as_ref().map(|(_, permit)| permit.effect_by),
            request: decision.request,
            time: decision.time,
            organisation: self.organisation(),
            asked: asked_names(view, &decision.inquiries),
            inquiries: decision.inquiries,
            authorities: authority_names(view, &verdict),
            verdict,
            weighed: decision.evidence.len(),
        })
    }

    /// Asks the other members what they know of what a request rests on: what they name may lead on to more, so it is asked
    /// again until there is nothing new, or the time is over.
    fn inquire(&self, request: &Request, wait: Duration) -> Result<Vec<Inquiry>, ServiceError> {
        let over = Instant::now() + wait;
        let mut all: BTreeMap<OrganisationId, InquiryAnswer> = BTreeMap::new();
        let mut asked = BTreeSet::new();
        for _ in 0..INQUIRY_ROUNDS_MAX {
            let reached: BTreeSet<SubjectKey> =
                reach(&request.subjects, &EvidenceEdges(self.store()))?.into_keys().collect();
            if reached.is_subset(&asked) {
                break;
            }
            let left = over.saturating_duration_since(Instant::now());
            if !asked.is_empty() && left.is_zero() {
                break;
            }
            asked = reached;
            let about = asked.iter().cloned().map(Subject::from).collect();
            let wait_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            for Inquiry { organisation, answer } in self.runtime.gather(about, wait_ms)? {
                let answer = all.get(&organisation).map_or(answer, |before| before.and_then(answer));
                all.insert(organisation, answer);
            }
        }
        Ok(all.into_iter().map(|(organisation, answer)| Inquiry { organisation, answer }).collect())
    }

    /// Everything that this node knows and that bears on the request.
    // INVARIANT(9): a recall or revocation that reached this node is among the standing statements that are read here.
    pub(super) fn gather(&self, view: &View, request: &Request) -> Result<Gathered, ServiceError> {
        let heads = self.heads(view);
        let evidence = self.spent().on(Part::Evidence, || self.evidence(view, request, &heads))?;
        let mesh = view.membership.as_ref().map(|membership| membership.mesh());
        let chains = self.spent().on(Part::States, || self.rests_on(view, mesh, &heads, &evidence))?;
        let forked = view.misbehaved.iter().filter(|id| chains.contains_key(*id)).copied().collect();
        let silence = SilenceRule::Recognised;
        Ok(Gathered { chains, evidence, mesh, forked, inquiries: Vec::new(), silence })
    }

    /// The chains whose statements may count, each with its head.
    fn heads<'a>(&self, view: &'a View) -> Heads<'a> {
        let is_member = |organisation: &OrganisationId| {
            *organisation == self.organisation()
                || view.membership.as_ref().is_some_and(|membership| membership.contains(organisation))
        };
        let members = view.chains.iter().filter(|(id, _)| is_member(id));
        members.filter_map(|(id, replica)| Some((*id, (replica, replica.head()?)))).collect()
    }

    /// The statements that bear on a request, in chains that may count.
    fn evidence(
        &self,
        view: &View,
        request: &Request,
        heads: &Heads<'_>,
    ) -> Result<Vec<Arc<Verified>>, ServiceError> {
        let mut by_chain: BTreeMap<OrganisationId, Vec<Placed>> = BTreeMap::new();
        let mut count = 0;
        let edges = EvidenceEdges(self.store());
        let found = relevant(&request.subjects, &edges)?;
        let mut disputable = found.clone();
        disputable.extend(request.subjects.iter().filter_map(|subject| match subject {
            Subject::Statement(id) => Some(*id),
            _ => None,
        }));
        let disputing = links_on(&disputable, &edges)?;
        for id in found.iter().chain(disputing.difference(&found)) {
            if !matches!(self.kind_of(id)?, Some(Kind::Observation | Kind::Counterfoil | Kind::Link)) {
                continue;
            }
            let Some(placed) = self.store().statement(id)? else { continue };
            let is_evidence = match placed.statement.header().kind {
                Kind::Observation | Kind::Counterfoil => true,
                Kind::Link if found.contains(id) => true,
                Kind::Link => {
                    matches!(payload(&placed), Some(Payload::Link(link)) if concerns_dispute(&link))
                }
                _ => false,
            };
            if is_evidence
                && heads.contains_key(&placed.organisation)
                && is_covered(view, &placed.organisation, placed.position)
            {
                count += 1;
                by_chain.entry(placed.organisation).or_default().push(placed);
            }
        }
        if count > EVIDENCE_MAX {
            let text =
                format!("{count} statements bear on this, more than the {EVIDENCE_MAX} of one decision");
            return Err(ServiceError::refused("capacity", text));
        }
        let mut evidence = Vec::with_capacity(count);
        for (organisation, placed) in by_chain {
            evidence.extend(self.verified_once(view, &organisation, placed)?);
        }
        Ok(evidence)
    }

    /// Statements of one chain, verified when a decision came across them first: in its place a statement stays what it is.
    /// How it stands today, by revocations and recalls, is looked at anew.
    fn verified_once(
        &self,
        view: &View,
        organisation: &OrganisationId,
        placed: Vec<Placed>,
    ) -> Result<Vec<Arc<Verified>>, ServiceError> {
        let mut kept = self.evidence.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_kept = |one: &Placed| {
            let known = kept.of.get(&one.statement.id())?;
            (known.position() == one.position && known.organisation() == one.organisation)
                .then(|| known.clone())
        };
        let mut found = Vec::with_capacity(placed.len());
        let mut new = Vec::new();
        for one in placed {
            match is_kept(&one) {
                Some(known) => found.push(known),
                None => new.push(one),
            }
        }
        for verified in self.verified(view, organisation, new)? {
            let verified = Arc::new(verified);
            kept.keep(&verified);
            found.push(verified);
        }
        found.sort_by_key(|verified| verified.position());
        Ok(found)
    }

    /// What is known of the chains that a decision about this evidence rests on.
    fn rests_on(
        &self,
        view: &View,
        mesh: Option<MeshId>,
        heads: &Heads<'_>,
        evidence: &[Arc<Verified>],
    ) -> Result<BTreeMap<OrganisationId, Known>, ServiceError> {
        let me = self.organisation();
        let standing: Standing<'_> = heads
            .iter()
            .map(|(id, (replica, head))| (*id, standing_under(replica, head.size()).collect()))
            .collect();
        let signers = |id: &OrganisationId| {
            heads
                .get(id)
                .map(|(replica, _)| replica.cosignatures().keys().copied().collect())
                .unwrap_or_default()
        };
        let evidence: Vec<&Verified> = evidence.iter().map(Arc::as_ref).collect();
        let weighed = basis::weighed(&me, &evidence);
        let mut chains = BTreeMap::new();
        for id in basis::rests_on(&me, mesh, &standing, &evidence, signers) {
            let Some((replica, head)) = heads.get(&id) else { continue };
            let lines = replica.cosignatures().values().map(|line| &**line);
            let cosignatures = match weighed.contains(&id) {
                true => basis::enough(view.membership.as_ref(), head, lines),
                false => Vec::new(),
            };
            let seen = if id == me { view.now } else { replica.seen };
            let head_bytes = ByteString(head.bytes().to_vec());
            let basis = Basis { organisation: id, head: head_bytes, cosignatures, seen: seen.timestamp() };
            chains.insert(id, Known::under(replica, head.size(), basis)?);
        }
        Ok(chains)
    }

    /// The kind of a statement, if it is here. It is read once, and then known.
    pub(super) fn kind_of(&self, id: &StatementId) -> Result<Option<Kind>, ServiceError> {
        let mut kinds = self.kinds.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(kind) = kinds.get(id) {
            return Ok(Some(*kind));
        }
        let kind = self.store().statement(id)?.map(|placed| placed.statement.header().kind);
        if let Some(kind) = kind {
            // All at once: what is asked about again is soon known again.
            if kinds.len() >= KINDS_KEPT_MAX {
                kinds.clear();
            }
            kinds.insert(*id, kind);
        }
        Ok(kind)
    }

    /// A recorded decision with its verdict, own or foreign.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn why(&self, id: &StatementId) -> Result<Decided, ServiceError> {
        let view = self.view()?;
        let verified = self.verified_one(&view, id)?;
        let Payload::Decision(decision) = verified.payload() else {
            let kind = verified.kind();
            return Err(ServiceError::caller("decision", format!("{id} is a statement of kind {kind}")));
        };
        let verdict: Verdict = codec::decode(&decision.verdict.0, PAYLOAD_BYTES_MAX)?;
        let permit = self.follows(id, Kind::Permit)?;
        let permitted = permit.as_ref().and_then(|placed| match payload(placed) {
            Some(Payload::Permit(permit)) => Some(permit),
            _ => None,
        });
        Ok(Decided {
            decision: Some(*id),
            permit: permit.map(|placed| placed.statement.id()),
            permit_expires: permitted.as_ref().map(|permit| permit.expires),
            effect_by: permitted.as_ref().map(|permit| permit.effect_by),
            request: decision.request.clone(),
            time: decision.time,
            organisation: verified.organisation(),
            asked: asked_names(&view, &decision.inquiries),
            inquiries: decision.inquiries.clone(),
            authorities: authority_names(&view, &verdict),
            verdict,
            weighed: decision.evidence.len(),
        })
    }

    /// Declares a profile. It is not in force before it is activated.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn declare(&self, toml: &str) -> Result<(Said, Profile), ServiceError> {
        let profile =
            Profile::from_toml(toml).map_err(|error| ServiceError::caller("profile", error.to_string()))?;
        Ok((self.say(Say::new(Kind::Profile, &profile)?)?, profile))
    }

    /// Puts declared profiles into force, own ones and other organisations', in place of those that were before.
    ///
    /// # Errors
    /// [`ServiceError`] when one is no profile, or when fewer stand behind it than the organisation asks for.
    pub fn activate(
        &self,
        profiles: Vec<StatementId>,
        composition: Composition,
        authority: Option<String>,
    ) -> Result<Said, ServiceError> {
        self.stand_behind(Kind::Activation, profiles, composition, authority)
    }

    /// Stands behind an activation that is to come: just this one, profile by profile and composed like this.
    ///
    /// # Errors
    /// [`ServiceError`] when one is no profile.
    pub fn approve(
        &self,
        profiles: Vec<StatementId>,
        composition: Composition,
        authority: Option<String>,
    ) -> Result<Said, ServiceError> {
        self.stand_behind(Kind::Approval, profiles, composition, authority)
    }

    fn stand_behind(
        &self,
        kind: Kind,
        profiles: Vec<StatementId>,
        composition: Composition,
        authority: Option<String>,
    ) -> Result<Said, ServiceError> {
        let view = self.view()?;
        for id in &profiles {
            let verified = self.verified_one(&view, id)?;
            if !matches!(verified.payload(), Payload::Profile(_)) {
                let text = format!("{id} is no profile; declare one with `profile declare`");
                return Err(ServiceError::refused("profile", text));
            }
        }
        if profiles.is_empty() {
            return Err(ServiceError::caller("profile", "name the profiles that are to be in force"));
        }
        let mut say = Say::new(kind, &Activation { profiles: profiles.clone(), composition })?;
        say.refs = profiles;
        say.authority = authority;
        self.say(say)
    }
}

pub(super) fn payload(placed: &Placed) -> Option<Payload> {
    Payload::decode(placed.statement.header().kind, placed.statement.payload()).ok()
}

/// Names of the organisations that were asked.
fn asked_names(view: &View, inquiries: &[Inquiry]) -> BTreeMap<OrganisationId, String> {
    let mut names = Node::names(view);
    names.retain(|id, _| inquiries.iter().any(|inquiry| inquiry.organisation == *id));
    names
}

/// `role of organisation` for each authority that a verdict names.
pub(super) fn authority_names(view: &View, verdict: &Verdict) -> BTreeMap<String, String> {
    let named =
        verdict.necessary.iter().chain(verdict.sufficient.iter().flat_map(|set| &set.authorities)).chain(
            verdict.profiles.iter().flat_map(|profile| {
                profile.requirements.values().flat_map(|r| r.considered.iter().map(|c| &c.authority))
            }),
        );
    let mut names = BTreeMap::new();
    for authority in named {
        let found = view.chains.values().find_map(|replica| {
            let record = replica.state().authorities().get(authority)?;
            Some(format!("{} of {}", record.credential.role, replica.state().description().name))
        });
        if let Some(name) = found {
            names.insert(authority.to_string(), name);
        }
    }
    names
}
