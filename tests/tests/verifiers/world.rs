//! Chains of a small mesh with evidence of all kinds, and decisions on random profiles over it: what is asked, known and
//! weighed follows from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_protocol::actuation::{
    ActionClass, HarmOrdering, Mode, Override, OverrideBudget, OverridePolicy, Request, Reversibility,
};
use counterfoil_protocol::admissibility::gather::{ChainView, GatherError, Inputs, decide};
use counterfoil_protocol::admissibility::profile::{Reach, ScopeLimit};
use counterfoil_protocol::admissibility::{
    Activation, Basis, Composition, Decision, FindingKind, Inquiry, InquiryAnswer, Profile, Requirement,
    Rule, SilenceRule,
};
use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::chain::cosignature::cosign;
use counterfoil_protocol::codec::Value;
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::identity::{
    AuthorityKind, Credential, Organisation, OrganisationState, Revocation, Scope,
};
use counterfoil_protocol::ids::{
    AuthorityId, BlobId, ByteString, MeshId, OrganisationId, Position, StatementId, Timestamp,
};
use counterfoil_protocol::keys::{SecretKey, Signer as _};
use counterfoil_protocol::lineage::{EdgeKind, Recall};
use counterfoil_protocol::mesh::{
    Acceptance, Admission, Agreement, Ballot, Charter, Link, LinkTarget, OnFork, Recognition, Relation,
};
use counterfoil_protocol::observation::{
    ArtifactDigest, Metric, Observation, Source, SourceSignature, Subject,
};
use counterfoil_protocol::statement::{Draft, Endorsed, Kind, Payload, Verified, Visibility};
use counterfoil_protocol::test_support::draft;
use counterfoil_protocol::test_support::mesh::{Chain, Mesh};
use counterfoil_protocol::weighting::{Dimension, Ppm, Rubric};

const DAY: u64 = 86_400;
pub(crate) const NOW: u64 = 1000 * DAY;
const CLAIMS: [&str; 4] = ["test/a", "test/b", "audit/a", "audit/b"];
/// What profiles may ask of one observation, the last of which the second verifier does not read.
const EXPRESSIONS: [&str; 10] = [
    "content.grade >= 2",
    "content.grade * 2 - 1 in [1, 3] && has(content.name)",
    "metrics.score >= 500000 || claim == 'audit/b'",
    "age_days < 10 && !adverse",
    "content.absent == 1",
    "content.tags.exists(t, t.startsWith('x')) ? content.name != 'é' : content.grade / (content.grade - 1) > 1",
    "content.grade",
    "content.tags + [content.name] != [] && size(content.name) < 5",
    "'x' in content.tags || content.deep.inner < 'm'",
    "content.tags.map(t, t == 'x') == [true]",
];

/// Choices that follow from a seed.
pub(crate) struct Dice {
    seed: [u8; 32],
    rolled: u64,
}

impl Dice {
    pub(crate) fn new(seed: &str) -> Self {
        Self { seed: blake3(seed.as_bytes()), rolled: 0 }
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.rolled += 1;
        let bytes = blake3(&[self.seed.as_slice(), &self.rolled.to_be_bytes()].concat());
        (u64::from_be_bytes(bytes[..8].try_into().unwrap()) % end as u64) as usize
    }

    /// True about once in `n` times.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// One of them once in `n` times, otherwise nothing.
    fn some<T: Clone>(&mut self, n: usize, from: &[T]) -> Vec<T> {
        if self.once_in(n) { vec![self.pick(from)] } else { Vec::new() }
    }

    fn chance<T>(&mut self, n: usize, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.once_in(n).then(|| make(self))
    }
}

/// A chain as it was when a head was signed.
struct Snapshot {
    state: OrganisationState,
    head: SignedHead,
    cosignatures: Vec<String>,
}

/// A chain, what it was, and who may speak in it.
pub(crate) struct Member {
    pub(crate) chain: Chain,
    keys: Vec<SecretKey>,
    snapshots: Vec<Snapshot>,
}

impl Member {
    fn new(seed: u64, dice: &mut Dice) -> Self {
        let mut chain = Chain::new(seed);
        let steward = AuthorityId::from(chain.statements[1].id());
        let mut keys = Vec::new();
        for n in 0..3u8 {
            let key = SecretKey::from_seed(&blake3(format!("{seed} {n}").as_bytes()));
            let credential = Credential {
                key: key.public_key(),
                kind: dice.pick(&[
                    AuthorityKind::HumanRole,
                    AuthorityKind::ExternalBody,
                    AuthorityKind::Service,
                    AuthorityKind::Sensor,
                    AuthorityKind::Model,
                ]),
                role: dice.pick(&["steward", "assessor", "assessor/é"]).into(),
                scopes: vec![Scope::everything()],
                jurisdictions: if n < 2 { dice.some(3, &["UK".to_owned(), "EU".into()]) } else { vec![] },
                competence: vec![],
                not_before: Timestamp(0),
                expires: None,
                delegation: 0,
                issuer: (n == 2).then_some(steward),
                authority: None,
                overrides: if n < 2 {
                    dice.chance(2, |dice| OverrideBudget { count: 1 + dice.below(9) as u32, window_s: DAY })
                } else {
                    None
                },
            };
            let statement = if n == 2 {
                let act = Endorsed::new(Kind::Credential, &credential, &[]).unwrap();
                let draft = draft(Some(chain.organisation.id()), Kind::Credential, &act);
                draft.sign(&chain.organisation.authority_key).unwrap()
            } else {
                chain.organisation.root_statement(Kind::Credential, &credential)
            };
            chain.append(statement);
            keys.push(key);
        }
        let mut member = Self { chain, keys, snapshots: Vec::new() };
        if let Some(parent) =
            dice.chance(3, |dice| dice.pick(&["holding".to_owned(), member.id().to_string()]))
        {
            let current = member.chain.state.description().clone();
            let next = Organisation { version: current.version + 1, parent: Some(parent), ..current };
            let statement = member.chain.organisation.root_statement(Kind::Organisation, &next);
            member.chain.append(statement);
        }
        member
    }

    pub(crate) fn id(&self) -> OrganisationId {
        self.chain.organisation.id()
    }

    /// Says something with one of the keys.
    fn say<T: serde::Serialize>(&mut self, dice: &mut Dice, kind: Kind, payload: &T) -> StatementId {
        let draft = draft(Some(self.id()), kind, payload);
        self.sign_with_some_key(dice, draft)
    }

    fn sign_with_some_key(&mut self, dice: &mut Dice, draft: Draft) -> StatementId {
        let key = dice.pick(&[0, 1, 2, 3]);
        let key = self.keys.get(key).unwrap_or(&self.chain.organisation.authority_key);
        let statement = draft.sign(key).unwrap();
        self.chain.append(statement)
    }

    /// Signs a head, which some of the witnesses see.
    fn sign(&mut self, dice: &mut Dice, witnesses: &[(OrganisationId, Arc<SecretKey>)]) {
        let head = self.chain.sign(self.snapshots.len() as u64);
        let mut cosignatures = Vec::new();
        for (witness, key) in witnesses.iter().filter(|(witness, _)| *witness != self.id()) {
            if dice.once_in(2) {
                let at = Timestamp(NOW - 10 + dice.below(20) as u64);
                cosignatures
                    .push(cosign(*witness, key.as_ref(), at, head.note().text()).unwrap().line.to_text());
            }
        }
        self.chain.cosignatures.clone_from(&cosignatures);
        self.snapshots.push(Snapshot { state: self.chain.state.clone(), head, cosignatures });
    }

    fn under(&self, snapshot: &Snapshot) -> impl Iterator<Item = &Verified> {
        self.chain.statements.iter().filter(|one| snapshot.head.size().contains(one.position()))
    }

    fn view<'a>(&'a self, snapshot: &'a Snapshot, seen: Timestamp) -> ChainView<'a> {
        ChainView {
            state: &snapshot.state,
            standing: self.under(snapshot).filter(|one| one.kind().is_standing()).collect(),
            basis: Basis {
                organisation: self.id(),
                head: ByteString(snapshot.head.bytes().to_vec()),
                cosignatures: snapshot.cosignatures.clone(),
                seen,
            },
        }
    }
}

/// Organisations that know each other; the last one decides.
pub(crate) struct World {
    pub(crate) members: Vec<Member>,
    mesh: MeshId,
    witnesses: Vec<(OrganisationId, Arc<SecretKey>)>,
    /// Agreements, and one that there is not.
    agreements: Vec<StatementId>,
    /// What was said to the parties of one alone.
    pub(crate) limited: BTreeSet<StatementId>,
    /// What is decided next, and the override of it, if there is one.
    request: Request,
    overriding: Option<StatementId>,
}

impl World {
    pub(crate) fn new(seed: u64, dice: &mut Dice) -> Self {
        let mut members: Vec<Member> = (0..4).map(|n| Member::new(10_000 + seed * 10 + n, dice)).collect();
        let ids: Vec<OrganisationId> = members.iter().map(Member::id).collect();
        let charter = Charter {
            name: "world".into(),
            members: ids[..3].to_vec(),
            admission_threshold: 1,
            witness_quorum: dice.pick(&[0, 1, 2, 2]),
            freshness_s: 600,
            link_answer_s: 600,
            on_fork: OnFork::Quarantine,
            amendment_threshold: None,
            witnesses: None,
        };
        let mesh = MeshId::from(members[0].say(dice, Kind::Charter, &charter));
        let ballot = dice.pick(&[Ballot::Admit, Ballot::Expel]);
        let about = dice.pick(&[ids[3], ids[1]]);
        members[1].say(dice, Kind::Admission, &Admission { mesh, organisation: about, ballot, after: None });
        let witnesses = members.iter().map(|one| (one.id(), one.chain.organisation.witness_key.clone()));
        let witnesses = witnesses.collect();
        let request = request(dice);
        let mut world = Self {
            members,
            mesh,
            witnesses,
            agreements: Vec::new(),
            limited: BTreeSet::new(),
            request,
            overriding: None,
        };
        world.agree(dice, &ids);
        world.observe(dice);
        world.relate(dice, &ids);
        world
    }

    /// Some propose what may cross between whom; others accept, or withdraw, or say nothing.
    fn agree(&mut self, dice: &mut Dice, ids: &[OrganisationId]) {
        for _ in 0..4 {
            let mut parties = dice.pick(&[vec![0, 3], vec![1, 3], vec![2, 3], vec![0, 1, 3], vec![0, 1]]);
            let by = if dice.once_in(8) { 2 } else { dice.pick(&parties) };
            let until = dice.chance(3, |dice| Timestamp(NOW + dice.pick(&[1, DAY])));
            let mut agreement = Agreement {
                parties: parties.iter().map(|n| ids[*n]).collect(),
                kinds: vec![dice.pick(&[
                    Kind::Observation,
                    Kind::Observation,
                    Kind::Observation,
                    Kind::Link,
                ])],
                subjects: dice.some(3, &["name:model".to_owned(), "name:*".into(), "sha256:*".into()]),
                jurisdictions: dice.some(3, &["EU".to_owned(), "UK".into()]),
                from: Timestamp(NOW - dice.pick(&[DAY, DAY, 0]) + dice.pick(&[0, 0, 0, 1])),
                until,
                link_answer_s: None,
                purpose: String::new(),
            };
            agreement.parties.sort();
            let agreed = self.members[by].say(dice, Kind::Agreement, &agreement);
            self.agreements.push(agreed);
            parties.retain(|n| *n != by);
            for n in parties {
                for withdrawn in [dice.once_in(8), true, false] {
                    if dice.once_in(8) {
                        break;
                    }
                    let acceptance = Acceptance { agreement: agreed, withdrawn };
                    self.members[n].say(dice, Kind::Acceptance, &acceptance);
                    if !dice.once_in(4) {
                        break;
                    }
                }
            }
        }
        self.agreements.push(StatementId::from_bytes([6; 32]));
    }

    fn observe(&mut self, dice: &mut Dice) {
        let mut said: Vec<(usize, StatementId, Vec<Subject>)> = Vec::new();
        for round in 0..2 {
            for n in 0..self.members.len() {
                for _ in 0..3 {
                    let known: Vec<StatementId> = said.iter().map(|(_, id, _)| *id).collect();
                    let observation = observation(dice, &known);
                    let plain = draft(Some(self.members[n].id()), Kind::Observation, &observation);
                    let agreement = dice.chance(3, |dice| dice.pick(&self.agreements));
                    let visibility = agreement.map_or(plain.visibility, Visibility::Parties);
                    let id = self.members[n].sign_with_some_key(dice, Draft { visibility, ..plain });
                    self.limited.extend(agreement.map(|_| id));
                    said.push((n, id, observation.subjects));
                }
            }
            if round == 1 {
                self.fall(dice, &said);
            }
            for member in &mut self.members {
                member.sign(dice, &self.witnesses);
            }
        }
    }

    /// What takes the ground from evidence: recalls, and keys that were in other hands.
    fn fall(&mut self, dice: &mut Dice, said: &[(usize, StatementId, Vec<Subject>)]) {
        for _ in 0..dice.below(3) {
            let (n, statement, subjects) = dice.pick(said);
            let recall = Recall { statement, subjects, reason: "it was wrong".into() };
            self.members[n].chain.say(Kind::Recall, &recall);
        }
        for member in &mut self.members {
            if dice.once_in(3) {
                let key = dice.below(member.keys.len());
                let authority = member.chain.state.authority_of(&member.keys[key].public_key().id()).unwrap();
                let next = member.chain.statements.len() as u64;
                let revocation = Revocation {
                    authority,
                    reason: "lost".into(),
                    compromised_since: dice.chance(2, |dice| Position(next - 1 - dice.below(6) as u64)),
                    compromised_at: dice.chance(2, |dice| Timestamp(NOW - 5 + dice.below(10) as u64)),
                };
                let statement = member.chain.organisation.root_statement(Kind::Revocation, &revocation);
                member.chain.append(statement);
                member.keys.remove(key);
            }
        }
    }

    /// A link of one member to what another one said.
    fn link(&mut self, dice: &mut Dice, from: usize, to: usize, relation: Relation) {
        let under = self.members[to].chain.head.as_ref().unwrap().size();
        let position = Position(dice.below(under.0 as usize) as u64);
        let statement = self.members[to].chain.statements[position.0 as usize].id();
        let (receipt, checkpoint) = self.members[to].chain.proof(position);
        let organisation = self.members[to].id();
        let target = LinkTarget { organisation, position, statement, receipt, checkpoint };
        let own: Vec<StatementId> = self.members[from].chain.statements.iter().map(Verified::id).collect();
        let link = Link {
            target,
            relation,
            from: dice.chance(2, |dice| dice.pick(&own)),
            purpose: "test".into(),
            agreement: None,
        };
        self.members[from].say(dice, Kind::Link, &link);
    }

    /// The decider recognises others, and links to what they said; others dispute, and take that back.
    fn relate(&mut self, dice: &mut Dice, ids: &[OrganisationId]) {
        for _ in 0..dice.below(6) {
            let (from, to) = dice.pick(&[(0, 1), (0, 2), (1, 0), (2, 0), (3, 0), (3, 1)]);
            let relation = dice.pick(&[Relation::Disputes, Relation::Disputes, Relation::Approves]);
            self.link(dice, from, to, relation);
        }
        for member in &mut self.members[..3] {
            member.sign(dice, &self.witnesses);
        }
        for n in [0, 1, 2, 0, 1] {
            if dice.once_in(4) {
                continue;
            }
            let recognition = recognition(dice, ids[n]);
            self.members[3].chain.say(Kind::Recognition, &recognition);
            let relation = dice.pick(&[Relation::Uses, Relation::DerivedFrom, Relation::Assesses]);
            self.link(dice, 3, n, relation);
        }
    }

    /// What is declared about actions and harm, by those who are recognised for that and by others.
    fn declare(&mut self, dice: &mut Dice) {
        let member = &mut self.members[dice.pick(&[0, 3, 3])];
        if dice.once_in(2) {
            let reversibility = dice.pick(&["reversible", "compensable"]);
            let action = dice.pick(&["deploy/*", "*", "deploy/clinical", "other/*"]);
            let harm = dice.pick(&["[]", "['delay']", "['injury', 'é']"]);
            let stages = dice.pick(&[
                "",
                "stages = { dimension = 'region', steps = [['north'], ['north', 'south']] }",
                "stages = { dimension = 'ward', steps = [['a', 'z'], ['b']] }",
            ]);
            let toml =
                format!("action = '{action}'\nreversibility = '{reversibility}'\nharm = {harm}\n{stages}");
            member.chain.say(Kind::ActionClass, &ActionClass::from_toml(&toml).unwrap());
        } else {
            let from = dice.pick(&["", "refuse-missing-from = 'delay'", "human-role-from = 'injury'"]);
            let jurisdiction = dice.pick(&["EU", "UK", "elsewhere"]);
            let toml = format!("jurisdiction = '{jurisdiction}'\norder = ['delay', 'injury']\n{from}");
            member.chain.say(Kind::HarmOrdering, &HarmOrdering::from_toml(&toml).unwrap());
        }
    }

    /// An override of what is decided next, or of something else.
    fn overrule(&mut self, dice: &mut Dice) {
        let about = if dice.once_in(6) { request(dice) } else { self.request.clone() };
        let issued_at = Timestamp(NOW - dice.pick(&[0, 10, 4000]));
        let member = &mut self.members[3];
        // Two acts that say the same in the same second would be one.
        let says = Override::of(&about, &format!("patient {} waits", member.chain.statements.len()));
        let unsigned = Draft { issued_at, ..draft(Some(member.id()), Kind::Override, &says) };
        let statement = unsigned.sign(&member.keys[dice.below(member.keys.len())]).unwrap();
        self.overriding = Some(member.chain.append(statement));
    }

    /// Puts these profiles into force, and signs a head over that.
    pub(crate) fn activate(&mut self, dice: &mut Dice, profiles: &[Profile], composition: Composition) {
        (self.request, self.overriding) = (request(dice), None);
        if dice.once_in(4) {
            self.declare(dice);
        }
        if dice.once_in(5) {
            self.overrule(dice);
        }
        let decider = &mut self.members[3];
        let profiles: Vec<StatementId> =
            profiles.iter().map(|profile| decider.chain.say(Kind::Profile, profile)).collect();
        decider.chain.say(Kind::Activation, &Activation { profiles, composition });
        decider.sign(dice, &self.witnesses);
    }

    /// Decides a random request on what is known under some of the heads; nothing where there is nothing to decide.
    pub(crate) fn decide(&self, dice: &mut Dice) -> Result<Decision, GatherError> {
        let mut chains = BTreeMap::new();
        let mut evidence = Vec::new();
        let every = dice.pick(&[1, 2, 4, 16]);
        for (n, member) in self.members.iter().enumerate() {
            if n < 3 && dice.once_in(12) {
                continue;
            }
            let snapshot = match (n, member.snapshots.as_slice()) {
                (3, [.., last]) => last,
                (_, snapshots) => &snapshots[dice.below(snapshots.len())],
            };
            let seen = Timestamp(NOW - dice.pick(&[0, 0, 0, 599, 600, 601, 2 * DAY]));
            chains.insert(member.id(), member.view(snapshot, seen));
            let weighable = member.under(snapshot);
            let weighable = weighable.filter(|one| {
                matches!(one.kind(), Kind::Observation | Kind::Link) || Some(one.id()) == self.overriding
            });
            evidence.extend(weighable.filter(|_| every == 1 || !dice.once_in(every)));
        }
        let inquiries =
            dice.some(3, &ids(self).into_iter().collect::<Vec<_>>()).into_iter().map(|organisation| {
                let since = dice.chance(2, |_| Timestamp(NOW - 700));
                let answered = InquiryAnswer::Answered { named: 2, came: 1, missing: 1 };
                let silent = InquiryAnswer::Silent { since };
                let answers =
                    [answered, silent, InquiryAnswer::Unreachable { since }, InquiryAnswer::Refused];
                Inquiry { organisation, answer: dice.pick(&answers) }
            });
        let inquiries = inquiries.collect();
        let inputs = Inputs {
            inquiries,
            silence: dice.pick(&[SilenceRule::Recognised, SilenceRule::Recognised, SilenceRule::Named]),
            decider: self.members[3].id(),
            request: self.request.clone(),
            time: Timestamp(NOW + dice.pick(&[0, 0, 1, DAY, 30 * DAY])),
            mesh: dice.pick(&[Some(self.mesh), Some(self.mesh), Some(MeshId::from_bytes([9; 32])), None]),
            chains,
            evidence,
            forked: dice.some(8, &[self.members[0].id(), self.members[1].id()]).into_iter().collect(),
        };
        decide(&inputs).map(|(decision, _)| decision)
    }

    /// Records a decision, whatever it says; nothing where no chain takes it.
    pub(crate) fn record(&mut self, decision: &Decision) -> Option<StatementId> {
        let bytes = counterfoil_protocol::codec::encode(decision).ok()?;
        Payload::decode(Kind::Decision, &bytes).ok()?;
        Some(self.members[3].chain.say(Kind::Decision, decision))
    }

    /// Everything that was said and its last heads.
    pub(crate) fn close(mut self, dice: &mut Dice) -> Mesh {
        for member in &mut self.members {
            member.sign(dice, &self.witnesses);
        }
        Mesh::of(self.members.into_iter().map(|member| member.chain))
    }
}

/// Named and mapped roles and claims, of which the latest that covers both counts; now and then one that takes back.
fn recognition(dice: &mut Dice, organisation: OrganisationId) -> Recognition {
    let map = |foreign: &str, own: &str| BTreeMap::from([(foreign.to_owned(), own.to_owned())]);
    let mut found = Recognition {
        roles: dice.some(4, &["steward".to_owned(), "assess*".to_owned()]),
        ..Recognition::of(organisation, vec![dice.pick(&["*", "*", "test/*", "audit/a"]).into()])
    };
    if dice.once_in(6) {
        found.withdrawn = true;
        return found;
    }
    if dice.once_in(3) {
        found.role_map = map("steward", dice.pick(&["assessor", "é"]));
    }
    if dice.once_in(3) {
        found.claim_map = map(dice.pick(&CLAIMS), dice.pick(&CLAIMS));
    }
    found.authority_cap = dice.chance(3, |dice| Ppm::new(dice.pick(&[500_000, 850_000])));
    found
}

fn artifact(name: &str) -> Subject {
    Subject::Artifact { digest: ArtifactDigest::sha256_of(name.as_bytes()), label: None }
}

fn observation(dice: &mut Dice, known: &[StatementId]) -> Observation {
    let model = Subject::Named("model".into());
    let mut subjects = vec![dice.pick(&[
        model.clone(),
        model.clone(),
        model,
        artifact("model"),
        artifact("data"),
        Subject::Named("data".into()),
        Subject::Named("other".into()),
    ])];
    if let (true, Some(id)) = (dice.once_in(8), known.last()) {
        subjects.push(Subject::Statement(*id));
    }
    let age = dice.pick(&[0u64, 0, 0, 1, 2, 5, 10, 15, 30, 60]) * DAY + dice.below(2) as u64;
    let effective = if dice.once_in(16) { NOW + 2 * DAY } else { NOW - age };
    let text = |text: &str| Value::Text(text.into());
    let mut content = BTreeMap::from([("grade".to_owned(), Value::Integer(dice.below(4).into()))]);
    if dice.once_in(2) {
        content.insert("name".into(), text(dice.pick(&["x", "é", "long enough"])));
        content.insert("tags".into(), Value::Array(vec![text(dice.pick(&["x", "xy", "z"]))]));
        let inner = dice.pick(&[text("a"), text("z"), true.into(), Value::Integer(u64::MAX.into())]);
        content.insert("deep".into(), Value::Map(vec![(text("inner"), inner)]));
    }
    let signature = [
        SourceSignature::VerifiedAndLogged,
        SourceSignature::Verified,
        SourceSignature::Unverified,
        SourceSignature::Unsigned,
    ];
    Observation {
        claim: dice.pick(&CLAIMS).into(),
        subjects,
        effective: Timestamp(effective),
        expires: dice.chance(8, |dice| Timestamp(effective + dice.pick(&[0, DAY, 90 * DAY]))),
        adverse: dice.once_in(16),
        content,
        sealed: Vec::new(),
        metrics: (0..dice.below(3))
            .map(|_| Metric {
                name: dice.pick(&["score", "recall"]).into(),
                ppm: dice.pick(&[900_000, 500_000, 150_000, -7, i64::MAX, i64::MIN]),
            })
            .collect(),
        derived_from: if known.is_empty() { Vec::new() } else { dice.some(6, known) },
        materials: dice.some(3, &[artifact("data"), Subject::Named("data".into()), artifact("model")]),
        source: dice.chance(6, |dice| Source {
            format: "test".into(),
            document: BlobId::from_bytes([dice.below(3) as u8; 32]),
            signature: dice.pick(&signature),
            signer: None,
            witnessed: None,
            checks: Vec::new(),
        }),
    }
}

fn request(dice: &mut Dice) -> Request {
    let text = |text: &str| text.to_owned();
    let mut scopes = BTreeMap::from([("region".to_owned(), vec![text("north"), text("south")])]);
    if dice.once_in(4) {
        scopes.insert("ward".into(), vec![text("a"), text("b"), text("é")]);
    }
    let label = dice.chance(2, |_| "model.onnx".to_owned());
    let digest = ArtifactDigest::sha256_of(b"model");
    Request {
        action: dice.pick(&["deploy/clinical", "deploy/other"]).into(),
        subjects: match dice.below(4) {
            0 => vec![Subject::Artifact { digest, label }],
            1 => vec![Subject::Named("model".into()), artifact("model")],
            _ => vec![Subject::Named("model".into())],
        },
        actuator: "gateway".into(),
        scopes: if dice.once_in(8) { BTreeMap::new() } else { scopes },
        predicted: BTreeMap::new(),
        reversibility: dice.pick(&[
            Reversibility::Reversible,
            Reversibility::Compensable,
            Reversibility::Irreversible,
        ]),
        harm: Vec::new(),
        purpose: String::new(),
    }
}

/// Lets some requirements name those that may show them.
pub(crate) fn name_some(dice: &mut Dice, profiles: &mut [Profile], members: &BTreeSet<OrganisationId>) {
    let members: Vec<OrganisationId> = members.iter().copied().collect();
    for requirement in profiles.iter_mut().flat_map(|profile| profile.requirements.values_mut()) {
        if dice.once_in(3) {
            requirement.organisations = dice.some(2, &members);
        }
    }
}

/// One to three profiles, and how they compose.
pub(crate) fn profiles(dice: &mut Dice) -> (Vec<Profile>, Composition) {
    let profiles: Vec<Profile> = (0..dice.pick(&[1, 1, 1, 2, 3])).map(|n| profile(dice, n)).collect();
    let ids: Vec<String> = profiles.iter().map(|profile| profile.id.clone()).collect();
    let composition = match dice.below(4) {
        0 | 1 => Composition::Intersection,
        2 => Composition::Weighted {
            weights: ids.iter().map(|id| (id.clone(), dice.below(4) as u32)).collect(),
            threshold: dice.below(5) as u32,
        },
        _ => Composition::Hierarchical { order: ids },
    };
    (profiles, composition)
}

fn profile(dice: &mut Dice, n: usize) -> Profile {
    let names = ["r1", "r2", "second", "é", "Z"][..1 + dice.below(5)].to_vec();
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let limit = |dice: &mut Dice| ScopeLimit {
        unless: dice.pick(&names),
        dimension: dice.pick(&["region", "region", "ward", "other"]).into(),
        allow: vec![dice.pick(&["north", "north", "a", "nowhere"]).into()],
    };
    let limits = (0..dice.pick(&[0, 1, 1, 2])).map(|_| limit(dice)).collect();
    let half_life = |dice: &mut Dice| dice.pick(&[0u32, 2, 10, 30]);
    let rubric = |dice: &mut Dice| Rubric {
        floor: dice.pick(&[200_000, i64::MIN]),
        target: dice.pick(&[800_000, 100_000, 200_000, i64::MAX]),
    };
    let profile = Profile {
        id: dice.pick(&["profile", "Profile", "é"]).to_owned() + &n.to_string(),
        version: 1,
        title: "a profile".into(),
        family: "clinical".into(),
        jurisdictions: dice.some(3, &["UK".to_owned(), "EU".to_owned()]),
        actions: vec![if dice.once_in(8) { "deploy/clinical" } else { "deploy/*" }.into()],
        half_life_days: BTreeMap::from([
            ("audit/*".to_owned(), half_life(dice)),
            ("test/a".to_owned(), half_life(dice)),
            ("*".to_owned(), half_life(dice)),
        ]),
        quality: (0..dice.below(3))
            .map(|_| (dice.pick(&["score", "recall"]).to_owned(), rubric(dice)))
            .collect(),
        rule: rule(dice, &names, 0),
        requirements: names.iter().map(|name| (name.clone(), requirement(dice))).collect(),
        vetoes: dice
            .some(5, &[FindingKind::Recall, FindingKind::Adverse, FindingKind::Fork, FindingKind::Dispute])
            .into_iter()
            .collect(),
        limits,
        missing: BTreeMap::from([(Reversibility::Irreversible, dice.pick(&[Mode::Defer, Mode::Refuse]))]),
        degraded: if dice.once_in(4) {
            let values = |all: &[&str]| all.iter().map(|value| (*value).to_owned()).collect();
            BTreeMap::from([
                ("region".to_owned(), values(&["south"])),
                ("ward".to_owned(), values(&["a", "b"])),
            ])
        } else {
            BTreeMap::new()
        },
        overrides: dice.chance(3, |dice| OverridePolicy {
            forbidden: dice.some(4, &["deploy/*".to_owned(), "x".to_owned()]),
            vetoes: dice.some(2, &[FindingKind::Recall, FindingKind::Fork]).into_iter().collect(),
            irreversible: dice.once_in(2),
        }),
    };
    profile.check().unwrap();
    profile
}

fn rule(dice: &mut Dice, names: &[String], depth: usize) -> Rule {
    let parts = |dice: &mut Dice| -> Vec<Rule> {
        (0..1 + dice.below(4)).map(|_| rule(dice, names, depth + 1)).collect()
    };
    match if depth == 2 { 0 } else { dice.below(4) } {
        0 => Rule::Requirement(dice.pick(names)),
        1 => Rule::All { all: parts(dice) },
        2 => Rule::Any { any: parts(dice) },
        _ => {
            let of = parts(dice);
            Rule::AtLeast { at_least: 1 + dice.below(of.len()) as u16, of }
        }
    }
}

fn requirement(dice: &mut Dice) -> Requirement {
    let floor = |dice: &mut Dice| {
        let ppm = [250_000, 500_000, 500_001, 707_106, 750_000, 900_000, 968_751];
        (dice.pick(&Dimension::ALL), Ppm::new(dice.pick(&ppm)))
    };
    let edges = vec![EdgeKind::DerivedFrom, EdgeKind::Used, EdgeKind::LinksTo];
    Requirement {
        claims: vec![dice.pick(&["*", "*", "test/*", "audit/*", "test/a"]).into()],
        organisations: Vec::new(),
        roles: dice.some(8, &["steward".to_owned(), "assess*".to_owned()]),
        kinds: dice.some(8, &[AuthorityKind::HumanRole, AuthorityKind::Model]),
        unrecognised: dice.once_in(4),
        reached: dice.chance(5, |dice| Reach { edges, depth: 1 + dice.below(3) as u8 }),
        floors: (0..dice.pick(&[0, 0, 0, 1, 2])).map(|_| floor(dice)).collect(),
        max_age_days: dice.chance(8, |dice| dice.pick(&[20, 40])),
        expression: dice.chance(4, |dice| dice.pick(&EXPRESSIONS).into()),
        distinct: 1 + dice.pick(&[0, 0, 0, 1, 2, 3]),
        owner: dice.chance(4, |_| "the quality board".into()),
    }
}

/// Who the members of a world are, for those who lie about them.
pub(crate) fn ids(world: &World) -> BTreeSet<OrganisationId> {
    world.members.iter().map(Member::id).collect()
}
