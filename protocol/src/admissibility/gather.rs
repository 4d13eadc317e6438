//! From chains and statements to a case.
//!
//! The same function builds the case when a node decides and when anybody recomputes the decision from a bundle, so
//! that what is decided depends on nothing that the decision does not record.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::decision::{Activation, Basis, Decision, EvidenceRef, Inquiry, SilenceRule};
use super::declared;
use super::dispute;
use super::evaluate::{Case, CaseError, DeclaredProfile};
use super::evaluator::Evaluator;
use super::evidence::{
    Crossing, Evidence, Finding, FindingKind, Freshness, ReceiptStanding, RecognitionStanding, Relation,
    Silence,
};
use super::verdict::Verdict;
use crate::actuation::Request;
use crate::chain::cosignature::{self, Cosignature};
use crate::chain::head::{Head, HeadError, SignedHead};
use crate::chain::note::{Note, NoteError};
use crate::identity::OrganisationState;
use crate::ids::{MeshId, OrganisationId, StatementId, Timestamp};
use crate::keys::PublicKey;
use crate::limits::LINEAGE_DEPTH_MAX;
use crate::lineage::graph::{EdgeSet, EdgeSource};
use crate::lineage::{Edge, EdgeKind, Recall, edges};
use crate::mesh::{Agreements, Membership, Outside, Recognition, Term};
use crate::observation::{Subject, SubjectKey};
use crate::statement::{Payload, Signatory, Verified, Visibility};

/// What is known of one chain: its state and standing statements under one head.
pub struct ChainView<'a> {
    /// The state after the head's size.
    pub state: &'a OrganisationState,
    /// The standing statements under the head, in chain order.
    pub standing: Vec<&'a Verified>,
    /// The head, with its cosignatures and when it was last confirmed.
    pub basis: Basis,
}

/// What a decision is made from.
pub struct Inputs<'a> {
    /// Who decides.
    pub decider: OrganisationId,
    /// What is asked.
    pub request: Request,
    /// When.
    pub time: Timestamp,
    /// The mesh whose charter applies.
    pub mesh: Option<MeshId>,
    /// What is known of each chain.
    pub chains: BTreeMap<OrganisationId, ChainView<'a>>,
    /// What was asked of the other members before.
    pub inquiries: Vec<Inquiry>,
    /// Whose silence counts.
    pub silence: SilenceRule,
    /// Observations and links to be weighed.
    pub evidence: Vec<&'a Verified>,
    /// Organisations that are known to have signed contradicting heads.
    pub forked: BTreeSet<OrganisationId>,
}

/// Why no case can be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatherError {
    /// The decider's own chain is not among the chains.
    #[error("the chain of {0}, who decides, is not there")]
    NoDecider(OrganisationId),
    /// No profile is in force.
    #[error(
        "no profile is active; declare one with `profile declare` and activate it with `profile activate`"
    )]
    NoActivation,
    /// An activation names a statement that is no profile.
    #[error("the activation names {0}, which is no profile in the chains under the heads given")]
    NoProfile(StatementId),
    /// A head in the basis does not verify.
    #[error("basis of {organisation}: {error}")]
    Head {
        /// Whose head.
        organisation: OrganisationId,
        /// What is wrong.
        error: HeadError,
    },
    /// A cosignature in the basis does not verify.
    #[error("basis of {organisation}: {error}")]
    Cosignature {
        /// Whose head.
        organisation: OrganisationId,
        /// What is wrong.
        error: NoteError,
    },
    /// Evidence lies outside the chains that are known.
    #[error("evidence {0} is in none of the chains under the heads given")]
    Outside(StatementId),
    /// See the inner error.
    #[error("{0}")]
    Case(#[from] CaseError),
}

/// The mesh's membership, as the votes in the chains' standing statements say.
pub fn membership(mesh: MeshId, chains: &BTreeMap<OrganisationId, ChainView<'_>>) -> Option<Membership> {
    let all = || chains.values().flat_map(|chain| chain.standing.iter());
    let mut membership = all().find_map(|verified| match verified.payload() {
        Payload::Charter(charter) if MeshId::from(verified.id()) == mesh => {
            Some(Membership::new(mesh, charter.clone()))
        }
        _ => None,
    })?;
    for verified in all() {
        membership.take(verified);
    }
    Some(membership)
}

/// The activation in force in a chain, and its statement.
fn activation<'a>(chain: &ChainView<'a>) -> Option<(StatementId, &'a Activation)> {
    chain.standing.iter().rev().find_map(|verified| match verified.payload() {
        Payload::Activation(activation) => Some((verified.id(), activation)),
        _ => None,
    })
}

/// Builds the case.
///
/// # Errors
/// [`GatherError`].
pub fn case(inputs: &Inputs<'_>) -> Result<Case, GatherError> {
    let own = inputs.chains.get(&inputs.decider).ok_or(GatherError::NoDecider(inputs.decider))?;
    let (_, activation) = activation(own).ok_or(GatherError::NoActivation)?;
    let mut profiles = Vec::with_capacity(activation.profiles.len());
    for id in &activation.profiles {
        // A profile may be another organisation's: a regulator's, or a consortium's.
        let mut all = inputs.chains.values().flat_map(|chain| chain.standing.iter());
        let declared = all.find(|verified| verified.id() == *id);
        let Some(Payload::Profile(profile)) = declared.map(|verified| verified.payload()) else {
            return Err(GatherError::NoProfile(*id));
        };
        profiles.push(DeclaredProfile { declared_by: *id, profile: (**profile).clone() });
    }
    let edge_set: EdgeSet =
        inputs.evidence.iter().flat_map(|verified| edges(verified.id(), verified.payload())).collect();
    let Ok(reached) = reach(&inputs.request.subjects, &edge_set);
    let context = Context::new(inputs, own)?;
    let mut evidence = Vec::with_capacity(inputs.evidence.len());
    for verified in &inputs.evidence {
        if let Some(item) = context.weighable(verified, &reached)? {
            evidence.push(item);
        }
    }
    let mut findings = recalls(inputs, &evidence, &reached);
    findings.extend(adverse(&evidence));
    findings.extend(forks(inputs, &evidence));
    findings.extend(dispute::findings(inputs, &evidence, &reached));
    Ok(Case {
        request: inputs.request.clone(),
        time: inputs.time,
        profiles,
        composition: activation.composition.clone(),
        evidence,
        findings,
        unheard: context.unheard(),
        governance: declared::governance(inputs, own),
    })
}

/// Decides: builds the case, evaluates it, and records both.
///
/// # Errors
/// [`GatherError`].
pub fn decide(inputs: &Inputs<'_>) -> Result<(Decision, Verdict), GatherError> {
    decide_with(inputs, &mut Evaluator::default())
}

/// The same, with what is kept from one decision to the next.
///
/// # Errors
/// See [`decide`].
pub fn decide_with(
    inputs: &Inputs<'_>,
    evaluator: &mut Evaluator,
) -> Result<(Decision, Verdict), GatherError> {
    let own = inputs.chains.get(&inputs.decider).ok_or(GatherError::NoDecider(inputs.decider))?;
    let (activation, _) = activation(own).ok_or(GatherError::NoActivation)?;
    let verdict = evaluator.evaluate(&case(inputs)?)?;
    let bytes = verdict.to_bytes().map_err(|_| GatherError::NoActivation)?;
    let mut evidence: Vec<EvidenceRef> = inputs
        .evidence
        .iter()
        .map(|verified| EvidenceRef {
            organisation: verified.organisation(),
            position: verified.position(),
            statement: verified.id(),
        })
        .collect();
    evidence.sort();
    evidence.dedup();
    let decision = Decision {
        request: inputs.request.clone(),
        time: inputs.time,
        mesh: inputs.mesh,
        activation,
        basis: inputs.chains.values().map(|chain| chain.basis.clone()).collect(),
        inquiries: inputs.inquiries.clone(),
        silence: inputs.silence,
        evidence,
        forked: inputs.forked.iter().copied().collect(),
        mode: verdict.mode,
        verdict: crate::ids::ByteString(bytes),
    };
    Ok((decision, verdict))
}

/// Opens the head of a basis with the chain's key.
///
/// # Errors
/// [`GatherError::Head`].
pub fn open_head(basis: &Basis, state: &OrganisationState) -> Result<SignedHead, GatherError> {
    let organisation = basis.organisation;
    Head::parse(basis.head.0.as_slice())
        .and_then(|head| state.epochs().open_head(head))
        .map_err(|error| GatherError::Head { organisation, error })
}

/// What holds for all evidence of a case.
struct Context<'a, 'b> {
    inputs: &'b Inputs<'a>,
    /// The decider's, in chain order.
    recognitions: Vec<(StatementId, &'a Recognition)>,
    receipts: BTreeMap<OrganisationId, ReceiptStanding>,
    agreements: Agreements,
    freshness_s: Option<u64>,
}

impl<'a, 'b> Context<'a, 'b> {
    fn new(inputs: &'b Inputs<'a>, own: &ChainView<'a>) -> Result<Self, GatherError> {
        let membership = inputs.mesh.and_then(|mesh| membership(mesh, &inputs.chains));
        let witnesses: BTreeMap<OrganisationId, PublicKey> = inputs
            .chains
            .iter()
            .map(|(organisation, chain)| (*organisation, chain.state.description().witness_key))
            .collect();
        let mut receipts = BTreeMap::new();
        for (organisation, chain) in &inputs.chains {
            let head = open_head(&chain.basis, chain.state)?;
            let cosignatures = cosignatures(&chain.basis, &head, &witnesses)
                .map_err(|error| GatherError::Cosignature { organisation: *organisation, error })?;
            let at = membership.as_ref().and_then(|mesh| mesh.witnessed(organisation, cosignatures.values()));
            let standing = match at {
                Some(at) => ReceiptStanding::Witnessed { at },
                None => ReceiptStanding::Receipted,
            };
            receipts.insert(*organisation, standing);
        }
        let recognitions = own
            .standing
            .iter()
            .filter_map(|verified| match verified.payload() {
                Payload::Recognition(recognition) => Some((verified.id(), &**recognition)),
                _ => None,
            })
            .collect();
        let freshness_s = membership.map(|membership| membership.charter().freshness_s);
        let standing = inputs.chains.values().flat_map(|chain| chain.standing.iter().copied());
        let agreements = Agreements::of(standing);
        Ok(Self { inputs, recognitions, receipts, agreements, freshness_s })
    }

    /// The evidence that a statement is, if it is an observation in reach of the request.
    fn weighable(&self, verified: &Verified, reached: &Reached) -> Result<Option<Evidence>, GatherError> {
        let outside = GatherError::Outside(verified.id());
        let organisation = verified.organisation();
        let chain = self.inputs.chains.get(&organisation).ok_or(outside.clone())?;
        if !chain.state.size().contains(verified.position()) {
            return Err(outside);
        }
        let Payload::Observation(observation) = verified.payload() else { return Ok(None) };
        let Signatory::Authority(authority) = verified.signatory() else { return Ok(None) };
        let path = observation
            .subjects
            .iter()
            .filter_map(|subject| reached.get(&subject.key()))
            .min_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        let Some(path) = path else { return Ok(None) };
        let relation = if path.is_empty() { Relation::Itself } else { Relation::Reached(path.clone()) };
        let record = chain.state.authorities().get(&authority);
        let Some(record) = record else { return Err(outside) };
        let role = &record.credential.role;
        let mut observation = (**observation).clone();
        let (recognition, mut crossing) = self.recognise(organisation, role, &observation.claim);
        crossing.barred = self.barred(verified, chain.state).err();
        let own_term = |term: Option<&Term>| term.map(|term| term.own.clone());
        let translation = crossing.translation.as_ref();
        let own_role = own_term(translation.and_then(|translation| translation.role.as_ref()));
        if let Some(claim) = own_term(translation.and_then(|translation| translation.claim.as_ref())) {
            observation.claim = claim;
        }
        let issued_at = verified.statement().header().issued_at;
        let receipt = self.receipts.get(&organisation).copied().unwrap_or(ReceiptStanding::None);
        let stale = self.stale(&organisation, chain);
        Ok(Some(Evidence {
            statement: verified.id(),
            organisation,
            position: verified.position(),
            authority,
            kind: record.credential.kind,
            role: own_role.unwrap_or_else(|| role.clone()),
            depth: record.depth,
            standing: chain.state.standing_with_witnesses(
                &authority,
                verified.position(),
                issued_at,
                receipt.witnessed(),
            ),
            observation,
            relation,
            receipt,
            recognition,
            parent: chain.state.description().parent.clone(),
            freshness: match (stale, self.unreachable_since(&organisation)) {
                (None, _) => Freshness::Fresh,
                (Some(_), Some(since)) => Freshness::Unreachable { since },
                (Some(age_s), None) => Freshness::Stale { age_s },
            },
            crossing,
        }))
    }

    /// How long ago a chain was last confirmed, in seconds, where that is too long to rely on.
    fn stale(&self, organisation: &OrganisationId, chain: &ChainView<'_>) -> Option<u64> {
        let age_s = self.inputs.time.since(chain.basis.seen);
        let is_stale = self.freshness_s.is_some_and(|limit| age_s > limit);
        (is_stale && *organisation != self.inputs.decider).then_some(age_s)
    }

    /// Organisations that cannot be heard: with chains that are too old to rely on, or asked in vain and never known; and
    /// those who have named what is not here.
    fn unheard(&self) -> BTreeMap<OrganisationId, Silence> {
        let chains = self.inputs.chains.iter();
        let stale = chains.filter(|(id, chain)| self.stale(id, chain).is_some());
        let inquiries = self.inputs.inquiries.iter();
        let in_vain = inquiries.clone().filter(|inquiry| inquiry.answer.is_in_vain());
        let unknown = in_vain.filter(|inquiry| !self.inputs.chains.contains_key(&inquiry.organisation));
        let heard_to_the_end = self.inputs.silence == SilenceRule::Named;
        let incomplete =
            inquiries.filter(|inquiry| !heard_to_the_end && inquiry.answer.is_incomplete()).map(|inquiry| {
                let chain = self.inputs.chains.get(&inquiry.organisation);
                (inquiry.organisation, chain.map(|chain| chain.basis.seen))
            });
        stale
            .map(|(id, chain)| (*id, Some(chain.basis.seen)))
            .chain(unknown.map(|inquiry| (inquiry.organisation, inquiry.answer.unreachable_since())))
            .chain(incomplete)
            .map(|(id, since)| (id, Silence { since, recognitions: self.recognitions_of(&id) }))
            .collect()
    }

    /// By which an organisation's silence counts.
    fn recognitions_of(&self, organisation: &OrganisationId) -> Vec<Recognition> {
        match self.inputs.silence {
            SilenceRule::Named => Vec::new(),
            SilenceRule::Recognised => {
                let all = self.recognitions.iter().map(|(_, recognition)| *recognition);
                all.filter(|recognition| recognition.organisation == *organisation).cloned().collect()
            }
        }
    }

    /// Since when an organisation that was asked is unreachable, if it is.
    fn unreachable_since(&self, organisation: &OrganisationId) -> Option<Timestamp> {
        let inquiry = self.inputs.inquiries.iter().find(|inquiry| inquiry.organisation == *organisation);
        inquiry.and_then(|inquiry| inquiry.answer.unreachable_since())
    }

    /// Whether the decider may use a statement that is for the parties of an agreement.
    fn barred(&self, verified: &Verified, state: &OrganisationState) -> Result<(), Outside> {
        let (organisation, decider) = (verified.organisation(), self.inputs.decider);
        let header = verified.statement().header();
        let Visibility::Parties(id) = header.visibility else { return Ok(()) };
        if organisation == decider {
            return Ok(());
        }
        let agreement = self.agreements.between(&id, &[organisation, decider], self.inputs.time)?;
        agreement.covers(verified.statement())?;
        agreement.covers_jurisdictions(state.jurisdictions_of(&header.key))
    }

    /// What the decider's latest recognition that covers this role and claim makes of them.
    fn recognise(
        &self,
        organisation: OrganisationId,
        role: &str,
        claim: &str,
    ) -> (RecognitionStanding, Crossing) {
        if organisation == self.inputs.decider {
            return (RecognitionStanding::Own, Crossing::default());
        }
        let covers = |r: &Recognition| r.organisation == organisation && r.covers(role, claim);
        match self.recognitions.iter().rev().find(|(_, recognition)| covers(recognition)) {
            Some((id, recognition)) if !recognition.withdrawn => {
                let translation = recognition.translate(*id, role, claim).map(Arc::new);
                let authority_cap = recognition.authority_cap;
                (RecognitionStanding::Recognised(*id), Crossing { translation, authority_cap, barred: None })
            }
            _ => (RecognitionStanding::Unrecognised, Crossing::default()),
        }
    }
}

/// The valid cosignatures on a basis.
///
/// # Errors
/// [`NoteError`] when a line is no signature line, or a known witness's line is wrong.
pub fn cosignatures(
    basis: &Basis,
    head: &SignedHead,
    witnesses: &BTreeMap<OrganisationId, PublicKey>,
) -> Result<BTreeMap<OrganisationId, Cosignature>, NoteError> {
    let mut text = head.note().to_string();
    basis.cosignatures.iter().for_each(|line| text.push_str(line));
    let note = Note::parse(text.as_bytes())?;
    let others: BTreeMap<_, _> =
        witnesses.iter().filter(|(id, _)| **id != basis.organisation).map(|(id, key)| (*id, *key)).collect();
    cosignature::on_note(&note, &others)
}

/// A recall counts when its organisation withdraws a statement of its own that bears on the request.
fn recalls(inputs: &Inputs<'_>, evidence: &[Evidence], reached: &Reached) -> Vec<Finding> {
    let by_recall = |verified: &&Verified, recall: &Recall| {
        let organisation = verified.organisation();
        let withdrawn =
            evidence.iter().find(|e| e.statement == recall.statement && e.organisation == organisation)?;
        let about: BTreeSet<SubjectKey> = withdrawn.observation.subjects.iter().map(Subject::key).collect();
        let subjects: Vec<SubjectKey> = recall
            .subjects
            .iter()
            .map(Subject::key)
            .filter(|key| about.contains(key) && reached.contains_key(key))
            .collect();
        Some(Finding {
            kind: FindingKind::Recall,
            organisation,
            statement: Some(verified.id()),
            evidence: vec![recall.statement],
            subjects,
            reason: recall.reason.clone(),
        })
    };
    inputs
        .chains
        .values()
        .flat_map(|chain| chain.standing.iter())
        .filter_map(|verified| match verified.payload() {
            Payload::Recall(recall) => by_recall(verified, recall),
            _ => None,
        })
        .collect()
}

fn adverse(evidence: &[Evidence]) -> impl Iterator<Item = Finding> {
    evidence
        .iter()
        .filter(|e| e.observation.adverse && e.recognition != RecognitionStanding::Unrecognised)
        .map(|e| Finding {
            kind: FindingKind::Adverse,
            organisation: e.organisation,
            statement: Some(e.statement),
            evidence: vec![e.statement],
            subjects: e.observation.subjects.iter().map(Subject::key).collect(),
            reason: format!("{} speaks against it", e.observation.claim),
        })
}

fn forks(inputs: &Inputs<'_>, evidence: &[Evidence]) -> Vec<Finding> {
    inputs
        .forked
        .iter()
        .filter_map(|organisation| {
            let hit: Vec<StatementId> =
                evidence.iter().filter(|e| e.organisation == *organisation).map(|e| e.statement).collect();
            (!hit.is_empty()).then(|| Finding {
                kind: FindingKind::Fork,
                organisation: *organisation,
                statement: None,
                evidence: hit,
                subjects: Vec::new(),
                reason: "it signed contradicting heads".into(),
            })
        })
        .collect()
}

/// What a request's subjects rest on, each with the edges that lead there; the subjects themselves with none.
pub type Reached = BTreeMap<SubjectKey, Vec<EdgeKind>>;

/// Whether an edge leads to what its beginning was made from.
fn is_lineage(kind: EdgeKind) -> bool {
    matches!(
        kind,
        EdgeKind::DerivedFrom
            | EdgeKind::GeneratedBy
            | EdgeKind::Used
            | EdgeKind::Supersedes
            | EdgeKind::LinksTo
    )
}

/// Follows the lineage from the request's subjects, breadth first.
///
/// From an artifact it goes on to what the artifact was made from, and to what the statements about it refer to. A
/// statement reached that way stands for what it is about.
///
/// # Errors
/// What the source reports.
pub fn reach<S: EdgeSource>(subjects: &[Subject], source: &S) -> Result<Reached, S::Error> {
    let mut reached = Reached::new();
    let mut queue: VecDeque<(SubjectKey, Vec<EdgeKind>)> = VecDeque::new();
    let mut seen_statements = BTreeSet::new();
    let visit = |key: SubjectKey, path: Vec<EdgeKind>, queue: &mut VecDeque<_>, reached: &mut Reached| {
        if !reached.contains_key(&key) && path.len() <= LINEAGE_DEPTH_MAX {
            reached.insert(key.clone(), path.clone());
            queue.push_back((key, path));
        }
    };
    for subject in subjects {
        visit(subject.key(), Vec::new(), &mut queue, &mut reached);
    }
    while let Some((node, path)) = queue.pop_front() {
        let onward = |edge: &Edge| {
            let mut longer = path.clone();
            longer.push(edge.kind);
            longer
        };
        for edge in source.upstream(&node)? {
            if is_lineage(edge.kind) {
                visit(edge.to.clone(), onward(&edge), &mut queue, &mut reached);
            } else if edge.kind == EdgeKind::About && matches!(node, SubjectKey::Statement(_)) {
                visit(edge.to.clone(), path.clone(), &mut queue, &mut reached);
            }
        }
        for about in source.downstream(&node)?.into_iter().filter(|edge| edge.kind == EdgeKind::About) {
            if !seen_statements.insert(about.from.clone()) {
                continue;
            }
            for edge in source.upstream(&about.from)? {
                if is_lineage(edge.kind) {
                    visit(edge.to.clone(), onward(&edge), &mut queue, &mut reached);
                }
            }
        }
    }
    Ok(reached)
}

/// Statements that bear on a request: those about what is reached, and those that assert the edges that lead there.
///
/// # Errors
/// What the source reports.
pub fn relevant<S: EdgeSource>(subjects: &[Subject], source: &S) -> Result<BTreeSet<StatementId>, S::Error> {
    let mut relevant = BTreeSet::new();
    for node in reach(subjects, source)?.keys() {
        relevant
            .extend(source.upstream(node)?.into_iter().filter(|e| is_lineage(e.kind)).map(|e| e.asserted_by));
        for about in source.downstream(node)?.into_iter().filter(|edge| edge.kind == EdgeKind::About) {
            relevant.insert(about.asserted_by);
            let upstream = source.upstream(&about.from)?;
            relevant.extend(upstream.into_iter().filter(|e| is_lineage(e.kind)).map(|e| e.asserted_by));
        }
    }
    Ok(relevant)
}
