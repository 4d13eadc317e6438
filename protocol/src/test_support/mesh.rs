//! Chains, and a mesh of them, in memory: what a bundle is written from.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a builder that cannot build is a broken test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use super::{TestOrganisation, draft, observation, recovery};
use crate::actuation::request::Reversibility;
use crate::actuation::{Effect, Mode, Permit, Request};
use crate::admissibility::gather::{ChainView, Inputs, decide};
use crate::admissibility::{Activation, Basis, Composition, Profile, SilenceRule};
use crate::bundle::{ChainSource, Source};
use crate::chain::cosignature::cosign;
use crate::chain::proof::{LeafHashes, Subtrees, consistency_proof, inclusion_proof};
use crate::chain::receipt::receipt;
use crate::chain::{CompactRange, HeadDraft, LeafDigest, SignedHead};
use crate::identity::{OrganisationState, Recovery, first_seq};
use crate::ids::{ByteString, HeadSeq, MeshId, OrganisationId, Position, StatementId, Timestamp};
use crate::lineage::graph::{EdgeSet, EdgeSource};
use crate::lineage::{Edge, edges};
use crate::mesh::{
    Acceptance, Agreement, Answer, Charter, Counterfoil, Link, LinkTarget, OnFork, Recognition, Relation,
};
use crate::observation::{Observation, SubjectKey};
use crate::statement::{Authentic, Draft, Kind, Verified, Visibility, verify};

/// When the stories' decisions are made.
pub const NOW: Timestamp = Timestamp(2000);

/// One organisation's chain in memory.
pub struct Chain {
    /// Whose it is.
    pub organisation: TestOrganisation,
    /// What its statements add up to.
    pub state: OrganisationState,
    /// All of them.
    pub statements: Vec<Verified>,
    /// The latest head.
    pub head: Option<SignedHead>,
    /// Signature lines of witnesses on it.
    pub cosignatures: Vec<String>,
    /// Positions whose statements whoever writes the bundle does not have.
    pub withheld: BTreeSet<Position>,
}

impl Chain {
    /// The chain of a new organisation, with its opening statements.
    pub fn new(seed: u64) -> Self {
        let organisation = TestOrganisation::new(seed);
        let state = OrganisationState::from_inception(organisation.inception.statement()).unwrap();
        let (statements, cosignatures, withheld) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut chain = Self { organisation, state, statements, head: None, cosignatures, withheld };
        for statement in chain.organisation.opening() {
            chain.append(statement);
        }
        chain
    }

    /// Appends a statement that may stand here.
    pub fn append(&mut self, statement: Authentic) -> StatementId {
        let verified = verify(&self.state, statement).unwrap();
        self.state.apply(&verified).unwrap();
        let id = verified.id();
        self.statements.push(verified);
        id
    }

    /// Appends what the organisation's authority says.
    pub fn say<T: serde::Serialize>(&mut self, kind: Kind, payload: &T) -> StatementId {
        let statement = self.organisation.statement(kind, payload);
        self.append(statement)
    }

    /// The tree's leaves.
    pub fn leaves(&self) -> LeafHashes {
        LeafHashes(self.statements.iter().map(|s| s.leaf_digest().leaf_hash()).collect())
    }

    /// Appends a recovery that goes on from `base`; from the next head on the chain is in its next epoch.
    pub fn recover(&mut self, base: &SignedHead) -> StatementId {
        let from = self.state.size();
        let proof = consistency_proof(&self.leaves(), base.size(), from).unwrap();
        let recovery = Recovery { proof, ..recovery::recovery(base) };
        let epoch = self.state.epochs().latest().number + 1;
        let next = self.organisation.recovered(self.state.description(), recovery, epoch);
        let statement = self.organisation.root_statement(Kind::Organisation, &next);
        self.append(statement)
    }

    /// Signs a head over all statements, the `seq`th of the epoch.
    pub fn sign(&mut self, seq: u64) -> SignedHead {
        let epoch = self.state.epochs().latest().number;
        let mut range = CompactRange::default();
        self.leaves().0.iter().for_each(|leaf| range.append(*leaf));
        let head = HeadDraft {
            organisation: self.organisation.id(),
            seq: HeadSeq(first_seq(epoch).0 + seq),
            previous: self.head.as_ref().map(SignedHead::hash),
            size: range.size(),
            root: range.root(),
            standing: self.state.standing_digest(),
            issued_at: Timestamp(1000 + seq),
        }
        .sign(&self.organisation.epoch_key(epoch))
        .unwrap();
        self.head = Some(head.clone());
        self.cosignatures.clear();
        head
    }

    /// What a decider knows of this chain.
    pub fn basis(&self) -> Basis {
        Basis {
            organisation: self.organisation.id(),
            head: ByteString(self.head.as_ref().unwrap().bytes().to_vec()),
            cosignatures: self.cosignatures.clone(),
            seen: NOW,
        }
    }

    /// Receipt and checkpoint of the statement at `position`.
    pub fn proof(&self, position: Position) -> (ByteString, ByteString) {
        let head = self.head.as_ref().unwrap();
        let path = inclusion_proof(&self.leaves(), position, head.size()).unwrap();
        let key = self.state.epochs().at(head.size()).key;
        let organisation = self.organisation.id();
        let bytes =
            receipt(&organisation, &key, head.receipt_signature(), head.size(), position, &path).unwrap();
        (ByteString(bytes), ByteString(head.note().to_string().into_bytes()))
    }
}

/// Chains that know each other.
#[derive(Default)]
pub struct Mesh {
    /// By organisation.
    pub chains: BTreeMap<OrganisationId, Chain>,
    edges: EdgeSet,
    /// Disclosures of sealed claims, by statement.
    pub disclosures: BTreeMap<StatementId, Vec<Vec<u8>>>,
    /// Proofs of misbehaviour.
    pub misbehaviour: BTreeMap<OrganisationId, Vec<u8>>,
}

impl Mesh {
    /// A mesh of these chains.
    pub fn of(chains: impl IntoIterator<Item = Chain>) -> Self {
        let chains: BTreeMap<_, _> =
            chains.into_iter().map(|chain| (chain.organisation.id(), chain)).collect();
        let all = chains.values().flat_map(|chain| chain.statements.iter());
        let edges = all.flat_map(|s| edges(s.id(), s.payload())).collect();
        Self { chains, edges, ..Self::default() }
    }
}

impl EdgeSource for Mesh {
    type Error = Infallible;
    fn upstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, Infallible> {
        self.edges.upstream(node)
    }
    fn downstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, Infallible> {
        self.edges.downstream(node)
    }
}

impl Source for Mesh {
    fn place(&self, statement: &StatementId) -> Result<Option<(OrganisationId, Position)>, Infallible> {
        let mut all = self.chains.values().flat_map(|chain| chain.statements.iter());
        Ok(all.find(|s| s.id() == *statement).map(|s| (s.organisation(), s.position())))
    }
    fn statement(
        &self,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Option<Arc<[u8]>>, Infallible> {
        let chain = &self.chains[organisation];
        let statement =
            chain.statements.get(position.0 as usize).filter(|_| !chain.withheld.contains(&position));
        Ok(statement.map(|statement| statement.bytes().clone()))
    }
    fn withheld(
        &self,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Option<LeafDigest>, Infallible> {
        let withheld = self.chains[organisation].withheld.contains(&position);
        let statement = self.chains[organisation].statements.get(position.0 as usize);
        Ok(statement.filter(|_| withheld).map(Verified::leaf_digest))
    }
    fn chain(&self, organisation: &OrganisationId) -> Result<Option<ChainSource>, Infallible> {
        let chain = &self.chains[organisation];
        let standing = chain.statements.iter().filter(|s| s.kind().is_standing());
        Ok(chain.head.as_ref().map(|head| ChainSource {
            head: head.clone(),
            cosignatures: chain.cosignatures.clone(),
            standing: standing.map(Verified::position).collect(),
        }))
    }
    fn tree(&self, organisation: &OrganisationId) -> impl Subtrees {
        self.chains[organisation].leaves()
    }
    fn disclosures(&self, statement: &StatementId) -> Result<Vec<Vec<u8>>, Infallible> {
        Ok(self.disclosures.get(statement).cloned().unwrap_or_default())
    }
    fn misbehaviour(&self, organisation: &OrganisationId) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.misbehaviour.get(organisation).cloned())
    }
}

const PROFILE: &str = r#"
    id = "clinical"
    version = 1
    title = "Clinical deployment"
    family = "clinical"
    actions = ["deploy/*"]
    vetoes = ["recall"]
    rule = "evaluation"
    [requirements.evaluation]
    claims = ["evaluation/*"]
"#;

/// A supplier's evaluation, linked and acknowledged; a decision on it, its permit and its effect.
pub fn story() -> (Mesh, [StatementId; 2]) {
    told(false)
}

/// The same where the evaluation is for the two alone, under an agreement that lasts until a second after [`NOW`].
pub fn limited_story() -> (Mesh, [StatementId; 2]) {
    told(true)
}

/// Says something, under an agreement where one is named.
fn say_to(chain: &mut Chain, agreement: Option<StatementId>, says: &Observation) -> StatementId {
    let plain = draft(Some(chain.organisation.id()), Kind::Observation, says);
    let visibility = agreement.map_or(plain.visibility, Visibility::Parties);
    chain.append(Draft { visibility, ..plain }.sign(&chain.organisation.authority_key).unwrap())
}

fn told(is_limited: bool) -> (Mesh, [StatementId; 2]) {
    let (mut supplier, mut deployer) = (Chain::new(1), Chain::new(2));
    let (supplier_id, deployer_id) = (supplier.organisation.id(), deployer.organisation.id());
    let mut members = vec![supplier_id, deployer_id];
    members.sort();
    let charter = Charter {
        name: "test".into(),
        members,
        admission_threshold: 2,
        witness_quorum: 1,
        freshness_s: 600,
        link_answer_s: 600,
        on_fork: OnFork::Quarantine,
        amendment_threshold: None,
        witnesses: None,
    };
    let mesh = MeshId::from(supplier.say(Kind::Charter, &charter));
    let agreement = is_limited.then(|| {
        let agreement = Agreement {
            parties: charter.members.clone(),
            kinds: vec![Kind::Observation],
            subjects: Vec::new(),
            jurisdictions: Vec::new(),
            from: Timestamp(0),
            until: Some(NOW.plus(1)),
            link_answer_s: None,
            purpose: String::new(),
        };
        let agreement = supplier.say(Kind::Agreement, &agreement);
        deployer.say(Kind::Acceptance, &Acceptance { agreement, withdrawn: false });
        agreement
    });
    let evidence = observation("evaluation/clinical", 7);
    let subject = evidence.subjects[0].clone();
    let evaluation = say_to(&mut supplier, agreement, &evidence);
    let evaluation_at = supplier.statements.last().unwrap().position();
    supplier.say(Kind::Observation, &observation("evaluation/clinical", 8));
    supplier.sign(0);

    deployer.say(Kind::Recognition, &Recognition::of(supplier_id, vec!["evaluation/*".into()]));
    let profile = deployer.say(Kind::Profile, &Profile::from_toml(PROFILE).unwrap());
    deployer.say(
        Kind::Activation,
        &Activation { profiles: vec![profile], composition: Composition::Intersection },
    );
    let (bytes, checkpoint) = supplier.proof(evaluation_at);
    let target = LinkTarget {
        organisation: supplier_id,
        position: evaluation_at,
        statement: evaluation,
        receipt: bytes,
        checkpoint,
    };
    let link =
        Link { target, relation: Relation::Uses, from: None, purpose: "deployment".into(), agreement: None };
    let link = deployer.say(Kind::Link, &link);
    let link_at = deployer.statements.last().unwrap().position();
    deployer.sign(0);
    let (receipt, checkpoint) = deployer.proof(link_at);
    supplier.say(
        Kind::Counterfoil,
        &Counterfoil {
            link,
            organisation: deployer_id,
            position: link_at,
            receipt,
            checkpoint,
            answer: Answer::Accepted,
        },
    );
    let head = supplier.sign(1);
    let witness = deployer.organisation.witness_key.clone();
    let line = cosign(deployer_id, witness.as_ref(), Timestamp(1500), head.note().text()).unwrap();
    supplier.cosignatures.push(line.line.to_text());

    let request = Request {
        action: "deploy/triage".into(),
        subjects: vec![subject],
        actuator: "pacs".into(),
        scopes: BTreeMap::new(),
        predicted: BTreeMap::from([("status".into(), "active".into())]),
        reversibility: Reversibility::Reversible,
        harm: vec![],
        purpose: String::new(),
    };
    let views = [&supplier, &deployer].map(|chain| {
        let standing = chain.statements.iter().filter(|s| s.kind().is_standing()).collect();
        (chain.organisation.id(), ChainView { state: &chain.state, standing, basis: chain.basis() })
    });
    let inputs = Inputs {
        decider: deployer_id,
        request,
        time: NOW,
        mesh: Some(mesh),
        chains: views.into_iter().collect(),
        inquiries: Vec::new(),
        silence: SilenceRule::Recognised,
        evidence: supplier.statements.iter().filter(|s| s.id() == evaluation).collect(),
        forked: Default::default(),
    };
    let (decision, verdict) = decide(&inputs).unwrap();
    assert_eq!(verdict.mode, Mode::Continue);
    let decided = deployer.say(Kind::Decision, &decision);
    let permit = Permit {
        decision: decided,
        mode: verdict.mode,
        scopes: verdict.scopes,
        actuator: "pacs".into(),
        not_before: NOW,
        expires: NOW.plus(60),
        token: ByteString(vec![1; 16]),
        effect_by: NOW.plus(60),
        stage: None,
    };
    let payload = permit.to_claims().unwrap();
    let unsigned = Draft { payload, ..draft(Some(deployer_id), Kind::Permit, &0) };
    let permit = deployer.append(unsigned.sign(&deployer.organisation.authority_key).unwrap());
    deployer.say(
        Kind::Effect,
        &Effect {
            permit,
            effective: NOW,
            observed: BTreeMap::from([("status".into(), "active".into())]),
            mismatches: vec![],
        },
    );
    deployer.sign(1);

    (Mesh::of([supplier, deployer]), [decided, link])
}
