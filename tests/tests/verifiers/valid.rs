//! Bundles that verify.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::actuation::{CorrectiveAction, HarmOrdering, Nonconformity};
use counterfoil_protocol::bundle::{Readers, Wanted, write};
use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::chain::anchor::{Anchor, AnchoredHead};
use counterfoil_protocol::chain::cosignature::cosign;
use counterfoil_protocol::codec::{self, Value};
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::identity::Organisation;
use counterfoil_protocol::ids::{ByteString, OrganisationId, Position, StatementId, Timestamp};
use counterfoil_protocol::mesh::{Admission, Amendment, Ballot, Charter, Join, Leave, OnFork, Terms};
use counterfoil_protocol::observation::{Disclosure, sealed};
use counterfoil_protocol::statement::{Draft, Kind};
use counterfoil_protocol::test_support::governed::{EU, World};
use counterfoil_protocol::test_support::mesh::{Chain, Mesh, limited_story, story};
use counterfoil_protocol::test_support::{TestOrganisation, draft, observation};

use super::parts::Case;

fn case(name: &str, mesh: &Mesh, wanted: &Wanted) -> Case {
    Case { name: name.into(), bytes: write(mesh, wanted).unwrap() }
}

/// All that these organisations said from `first` to `last`.
fn period(first: u64, last: u64, organisations: Vec<OrganisationId>) -> Wanted {
    Wanted { period: Some((Timestamp(first), Timestamp(last), organisations)), ..Wanted::default() }
}

/// The lineage of a decision over two chains.
pub(crate) fn lineage() -> Vec<u8> {
    let (mesh, about) = story();
    write(&mesh, &Wanted::lineage(&about)).unwrap()
}

/// One chain in which most statements are left out, so that the tree has subtrees of several levels.
pub(crate) fn sparse() -> Vec<u8> {
    let mut chain = Chain::new(5);
    let said: Vec<StatementId> =
        (0..90).map(|n| chain.say(Kind::Observation, &observation("evaluation/test", n))).collect();
    chain.sign(0);
    write(&Mesh::of([chain]), &Wanted::lineage(&[said[17], said[18], said[61]])).unwrap()
}

/// An observation with three sealed claims, of which two are disclosed.
pub(crate) fn disclosed() -> Vec<u8> {
    let mut chain = Chain::new(6);
    let disclosure = |n: u8| {
        let name = format!("field-{n}");
        Disclosure { salt: [n; 16], name, value: Value::Integer(n.into()) }.to_bytes().unwrap()
    };
    let all: Vec<Vec<u8>> = (0..3).map(disclosure).collect();
    let mut claim = observation("evaluation/test", 1);
    claim.sealed = all.iter().map(|one| sealed::seal(one)).collect();
    claim.sealed.sort();
    let said = chain.say(Kind::Observation, &claim);
    chain.sign(0);
    let mut mesh = Mesh::of([chain]);
    mesh.disclosures.insert(said, all);
    let disclose = BTreeMap::from([(said, BTreeSet::from(["field-0".to_owned(), "field-2".to_owned()]))]);
    write(&mesh, &Wanted { disclose, ..Wanted::lineage(&[said]) }).unwrap()
}

/// A period of one chain of the story in which one statement is withheld.
pub(crate) fn withheld() -> Vec<u8> {
    let (mut mesh, _) = story();
    let supplier = TestOrganisation::new(1).id();
    mesh.chains.get_mut(&supplier).unwrap().withheld.insert(Position(5));
    write(&mesh, &period(1000, 1000, vec![supplier])).unwrap()
}

/// A decision on what is limited, for whom somebody has chosen.
fn unlimited() -> Vec<u8> {
    let (mesh, about) = limited_story();
    write(&mesh, &Wanted { readers: Readers::Chosen, ..Wanted::lineage(&about) }).unwrap()
}

/// A decision on what is limited, for anybody: it is not proven to them.
pub(crate) fn limited() -> Vec<u8> {
    let (mesh, about) = limited_story();
    write(&mesh, &Wanted::lineage(&about)).unwrap()
}

pub(crate) fn all() -> Vec<Case> {
    let (mesh, about) = story();
    let [supplier, deployer] = [1, 2].map(|seed| TestOrganisation::new(seed).id());
    let mut found: Vec<Case> = vec![
        case("lineage", &mesh, &Wanted::lineage(&about)),
        case("period", &mesh, &period(1000, 1000, vec![supplier])),
        case("two periods", &mesh, &period(1000, 1000, vec![supplier, deployer])),
        case("quiet before", &mesh, &period(1, 999, vec![supplier])),
        case("quiet after", &mesh, &period(1001, 2000, vec![deployer])),
        Case { name: "sparse".into(), bytes: sparse() },
        Case { name: "disclosed".into(), bytes: disclosed() },
        Case { name: "withheld".into(), bytes: withheld() },
        Case { name: "limited".into(), bytes: limited() },
        Case { name: "not limited any more".into(), bytes: unlimited() },
    ];
    // Each statement of the story by itself.
    for chain in mesh.chains.values() {
        for verified in &chain.statements {
            let name = format!("about {} at {}", verified.kind(), verified.position());
            found.push(case(&name, &mesh, &Wanted::lineage(&[verified.id()])));
        }
    }
    // Chains of every length up to three levels of the tree and a little.
    for length in 1..=20u64 {
        let mut chain = Chain::new(100 + length);
        let mut last = chain.statements[0].id();
        for n in 0..length {
            last = chain.say(Kind::Observation, &observation("evaluation/test", n));
        }
        chain.sign(0);
        found.push(case(&format!("chain of {length}"), &Mesh::of([chain]), &Wanted::lineage(&[last])));
    }
    found.extend(governed());
    found.push(votes());
    found.extend([1, 2].map(anchored));
    found.extend((0..6).map(moved));
    found.extend((0..60).map(swayed));
    found
}

/// Chains that embed each other's heads, which others had seen: one embeds, the next one is embedded, a third witnesses.
/// With a quorum of two, one witness says nothing about the end, and enough about the beginning.
fn anchored(quorum: u16) -> Case {
    let (mut one, mut two, mut three) = (Chain::new(31), Chain::new(32), Chain::new(33));
    let members: Vec<OrganisationId> = [&one, &two, &three].map(|chain| chain.organisation.id()).to_vec();
    let charter = Charter {
        name: "anchored".into(),
        members: members.clone(),
        admission_threshold: 2,
        witness_quorum: quorum,
        freshness_s: 600,
        link_answer_s: 600,
        on_fork: OnFork::Quarantine,
        amendment_threshold: None,
        witnesses: None,
    };
    one.say(Kind::Charter, &charter);
    let seen = |head: &SignedHead, witness: &Chain, at: u64| {
        let key = witness.organisation.witness_key.as_ref();
        let line = cosign(witness.organisation.id(), key, Timestamp(at), head.note().text()).unwrap();
        line.line.to_text()
    };
    let mut said = vec![one.say(Kind::Observation, &observation("evaluation/test", 1))];
    for (seq, at) in [(0, 1100), (1, 1200)] {
        two.say(Kind::Observation, &observation("evaluation/test", at));
        let head = two.sign(seq);
        let checkpoint = format!("{}{}{}", head.note(), seen(&head, &three, at), seen(&head, &one, at + 5));
        let embedded = AnchoredHead {
            organisation: members[1],
            head: head.hash(),
            size: head.size(),
            checkpoint: ByteString(checkpoint.into_bytes()),
        };
        said.push(one.say(Kind::Anchor, &Anchor { heads: vec![embedded] }));
        said.push(one.say(Kind::Observation, &observation("evaluation/test", at)));
    }
    let head = one.sign(0);
    one.cosignatures = vec![seen(&head, &two, 1400), seen(&head, &three, 1300)];
    let head = two.sign(2);
    two.cosignatures = vec![seen(&head, &three, 1250)];
    three.sign(0);
    said.extend([&two, &three].map(|chain| chain.statements.last().unwrap().id()));
    case(&format!("anchored, quorum {quorum}"), &Mesh::of([one, two, three]), &Wanted::lineage(&said))
}

/// A mesh of six in which two witnesses are chosen for each chain, until terms and members change under way; two members
/// have one parent. All others cosign the first chain's head, second by second.
fn moved(variant: u64) -> Case {
    let mut chains: Vec<Chain> = (0..6).map(|n| Chain::new(50 + 10 * variant + n)).collect();
    let members: Vec<OrganisationId> = chains.iter().map(|chain| chain.organisation.id()).collect();
    for chain in &mut chains[1..3] {
        let described =
            Organisation { version: 1, parent: Some("Holding".into()), ..chain.state.description().clone() };
        let statement = chain.organisation.root_statement(Kind::Organisation, &described);
        chain.append(statement);
    }
    let charter = Charter {
        name: "moved".into(),
        members: members[..5].to_vec(),
        admission_threshold: 2,
        witness_quorum: 2,
        freshness_s: 600,
        link_answer_s: 600,
        on_fork: OnFork::Quarantine,
        amendment_threshold: Some(1),
        witnesses: Some(2),
    };
    let mesh = chains[0].say(Kind::Charter, &charter).into();
    let say = |chain: &mut Chain, at: u64, kind: Kind, payload: Vec<u8>| {
        let draft =
            Draft { issued_at: Timestamp(at), payload, ..draft(Some(chain.organisation.id()), kind, &0) };
        let statement = draft.sign(&chain.organisation.authority_key).unwrap();
        chain.append(statement);
    };
    let vote = |about: usize, ballot| {
        codec::encode(&Admission { mesh, organisation: members[about], ballot, after: None }).unwrap()
    };
    for chain in &mut chains[..2] {
        say(chain, 1101, Kind::Admission, vote(5, Ballot::Admit));
        say(chain, 1104, Kind::Admission, vote(3, Ballot::Expel));
    }
    let terms = Terms { witnesses: Some(3), ..charter.terms() };
    say(
        &mut chains[4],
        1103,
        Kind::Amendment,
        codec::encode(&Amendment { mesh, version: 1, terms }).unwrap(),
    );
    say(&mut chains[2], 1102, Kind::Leave, codec::encode(&Leave { mesh }).unwrap());
    let said = vec![chains[0].say(Kind::Observation, &observation("evaluation/test", 1))];
    let head = chains[0].sign(0);
    let lines = (1..6).map(|n| {
        let nth = (n + usize::try_from(variant).unwrap()) % 5 + 1;
        let key = chains[nth].organisation.witness_key.as_ref();
        let at = Timestamp(1099 + u64::try_from(n).unwrap());
        cosign(members[nth], key, at, head.note().text()).unwrap().line.to_text()
    });
    chains[0].cosignatures = lines.collect();
    let mut wanted = said;
    for chain in &mut chains[1..] {
        chain.sign(0);
        wanted.push(chain.statements.last().unwrap().id());
    }
    case(&format!("moved witnesses {variant}"), &Mesh::of(chains), &Wanted::lineage(&wanted))
}

/// A mesh of six, four of them founders, that vote for and against each other, leave and are let in again as chance has it,
/// one a second. Meanwhile two witnesses are chosen for each chain, and all others cosign the first chain's head.
fn swayed(seed: u64) -> Case {
    let mut chains: Vec<Chain> = (0..6).map(|n| Chain::new(200 + n)).collect();
    let members: Vec<OrganisationId> = chains.iter().map(|chain| chain.organisation.id()).collect();
    let charter = Charter {
        name: "swayed".into(),
        members: members[..4].to_vec(),
        admission_threshold: 2,
        witness_quorum: 1 + u16::from(seed.is_multiple_of(3)),
        freshness_s: 600,
        link_answer_s: 600,
        on_fork: OnFork::Quarantine,
        amendment_threshold: None,
        witnesses: Some(2),
    };
    let mesh = chains[0].say(Kind::Charter, &charter).into();
    let mut left = BTreeMap::new();
    for second in 0..20u64 {
        let chance = blake3(&[seed.to_be_bytes(), second.to_be_bytes()].concat());
        let [author, about] = [0, 1].map(|n| usize::from(chance[n]) % 6);
        let chain = &mut chains[author];
        let (kind, payload) = if chance[2] < 40 {
            (Kind::Leave, codec::encode(&Leave { mesh }).unwrap())
        } else {
            let ballot = if chance[2] < 150 { Ballot::Admit } else { Ballot::Expel };
            let after = left.get(&about).copied().filter(|_| chance[3] < 200);
            let vote = Admission { mesh, organisation: members[about], ballot, after };
            (Kind::Admission, codec::encode(&vote).unwrap())
        };
        let subject = Some(chain.organisation.id());
        let issued_at = Timestamp(1101 + second);
        let statement = Draft { issued_at, payload, ..draft(subject, kind, &0) };
        let statement = statement.sign(&chain.organisation.authority_key).unwrap();
        chain.append(statement);
        if kind == Kind::Leave {
            left.insert(author, chain.statements.last().unwrap().id());
        }
    }
    let said = vec![chains[0].say(Kind::Observation, &observation("evaluation/test", 1))];
    let head = chains[0].sign(0);
    let lines = (1..6).map(|n| {
        let key = chains[n].organisation.witness_key.as_ref();
        let at = Timestamp(1102 + u64::from(blake3(&seed.to_be_bytes())[n] % 20));
        cosign(members[n], key, at, head.note().text()).unwrap().line.to_text()
    });
    chains[0].cosignatures = lines.collect();
    let mut wanted = said;
    for chain in &mut chains[1..] {
        chain.sign(0);
        wanted.push(chain.statements.last().unwrap().id());
    }
    case(&format!("swayed {seed}"), &Mesh::of(chains), &Wanted::lineage(&wanted))
}

/// Statements that refer to statements which the writer does not know.
fn votes() -> Case {
    let mut chain = Chain::new(7);
    let (mesh, member) = (StatementId::from_bytes([3; 32]).into(), TestOrganisation::new(1).id());
    chain.say(Kind::Join, &Join { mesh, invitation: None });
    chain.say(Kind::Admission, &Admission { mesh, organisation: member, ballot: Ballot::Admit, after: None });
    let mut claim = observation("evaluation/test", 1);
    claim.derived_from = vec![StatementId::from_bytes([9; 32])];
    let said = chain.say(Kind::Observation, &claim);
    chain.sign(0);
    case("votes, and something unknown", &Mesh::of([chain]), &Wanted::lineage(&[said]))
}

/// Actions in stages, under an ordering of harm, and under an override, each with what follows from it.
fn governed() -> Vec<Case> {
    let named = |name: &str, bytes| Case { name: name.into(), bytes };
    let mut staged = World::new();
    let first = staged.stage(&[], "3").0;
    let failed = staged.stage(&first, "99").0;
    let finding = "1 predictions did not hold".to_owned();
    let raised = staged.chain.say(Kind::Nonconformity, &Nonconformity { cause: failed[2], finding });
    let correction = CorrectiveAction {
        nonconformity: raised,
        action: "retrain".into(),
        causes: vec![failed[2]],
        responsible: Some("officer".into()),
        due: Some(Timestamp(9000)),
        closes: true,
        evidence: vec![first[2]],
    };
    staged.chain.say(Kind::CorrectiveAction, &correction);
    let again = staged.stage(&failed, "20").0;
    let mut refused = World::new();
    refused.chain.say(Kind::HarmOrdering, &HarmOrdering::from_toml(EU).unwrap());
    let decision = refused.decide(World::request(9), &[]).0;
    let mut overridden = World::new();
    let key = overridden.officer();
    let act = overridden.overrides(&key, &World::request(9));
    let (allowed, verdict) = overridden.decide(World::request(9), &[act]);
    let permit = overridden.permit(allowed, &verdict);
    let finding = "to be reviewed".to_owned();
    overridden.chain.say(Kind::Nonconformity, &Nonconformity { cause: allowed, finding });
    vec![
        named("stages", staged.bundle(again[2])),
        named("harm", refused.bundle(decision)),
        named("override", overridden.bundle(permit)),
    ]
}
