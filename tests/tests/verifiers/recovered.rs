//! Chains that lost their latest heads and went on in a new epoch of the chain key, rightly and wrongly.

use counterfoil_protocol::bundle::{Wanted, write};
use counterfoil_protocol::chain::misbehaviour::{Accused, Misbehaviour};
use counterfoil_protocol::chain::{CompactRange, Hash, HeadDraft, SignedHead};
use counterfoil_protocol::codec;
use counterfoil_protocol::identity::{Recovery, first_seq};
use counterfoil_protocol::ids::{ByteString, HeadSeq, Position, StatementId, Timestamp};
use counterfoil_protocol::keys::SecretKey;
use counterfoil_protocol::mesh::{Link, LinkTarget, Relation};
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::mesh::{Chain, Mesh, story};
use counterfoil_protocol::test_support::{TestOrganisation, observation, recovery};

use super::parts::{Case, Parts};

fn case(name: &str, bytes: Vec<u8>) -> Case {
    Case { name: format!("recovered: {name}"), bytes }
}

fn bundle(chains: Vec<Chain>, about: &[StatementId]) -> Vec<u8> {
    write(&Mesh::of(chains), &Wanted::lineage(about)).unwrap()
}

fn say(chain: &mut Chain, n: u64) -> StatementId {
    chain.say(Kind::Observation, &observation("evaluation/test", n))
}

/// A chain with a head over seven statements, two more that no head covers any more, and a recovery from that head.
fn recovered() -> (Chain, SignedHead, Vec<StatementId>) {
    let mut chain = Chain::new(40);
    let mut said: Vec<StatementId> = (0..4).map(|n| say(&mut chain, n)).collect();
    let base = chain.sign(3);
    said.extend((4..6).map(|n| say(&mut chain, n)));
    said.push(chain.recover(&base));
    (chain, base, said)
}

/// A head over everything, by any key and of any number.
fn head(chain: &Chain, key: &SecretKey, seq: HeadSeq, root: Option<Hash>) -> SignedHead {
    let mut range = CompactRange::default();
    chain.leaves().0.iter().for_each(|leaf| range.append(*leaf));
    let draft = HeadDraft {
        organisation: chain.organisation.id(),
        seq,
        previous: None,
        size: range.size(),
        root: root.unwrap_or_else(|| range.root()),
        standing: chain.state.standing_digest(),
        issued_at: Timestamp(1),
    };
    draft.sign(key).unwrap()
}

/// Chains in later epochs, with everything that was signed in earlier ones.
pub(crate) fn valid() -> Vec<Case> {
    let mut found = Vec::new();
    let (mut chain, _, said) = recovered();
    chain.sign(0);
    found.push(case("with its recovery as the last", bundle(vec![chain], &said)));
    let (mut chain, _, mut said) = recovered();
    said.push(say(&mut chain, 9));
    let second = chain.sign(0);
    chain.recover(&second);
    said.push(say(&mut chain, 10));
    chain.sign(5);
    found.push(case("twice", bundle(vec![chain], &said)));
    let (mut chain, _, said) = recovered();
    for n in 20..90 {
        say(&mut chain, n);
    }
    chain.sign(0);
    found.push(case("with most left out", bundle(vec![chain], &said[..1])));

    // Receipts, checkpoints and bases of decisions that the former keys signed stand.
    let (mesh, about) = story();
    let mut chains: Vec<Chain> = mesh.chains.into_values().collect();
    for chain in &mut chains {
        let base = chain.head.clone().unwrap();
        chain.recover(&base);
        chain.sign(0);
    }
    found.push(case("with a decision from before", bundle(chains, &about)));
    let (mut chain, ..) = recovered();
    say(&mut chain, 9);
    chain.sign(0);
    found.push(linked(chain, Position(9), |_| {}));
    found
}

/// A chain with a link of another organisation to the statement at `position`, whose checkpoint may be changed.
fn linked(target: Chain, position: Position, change: impl Fn(&mut LinkTarget)) -> Case {
    let mut from = Chain::new(41);
    let (receipt, checkpoint) = target.proof(position);
    let organisation = target.organisation.id();
    let statement = target.statements[position.0 as usize].id();
    let mut target_of = LinkTarget { organisation, position, statement, receipt, checkpoint };
    change(&mut target_of);
    let link = Link {
        target: target_of,
        relation: Relation::Uses,
        from: None,
        purpose: "test".into(),
        agreement: None,
    };
    let said = from.say(Kind::Link, &link);
    from.sign(0);
    case(&format!("with a link to position {position}"), bundle(vec![from, target], &[said]))
}

/// Chains that go on where they may not, or are signed by keys whose epoch is over.
pub(crate) fn violated() -> Vec<Case> {
    let mut found = Vec::new();
    let (mut chain, base, said) = recovered();
    let key = |epoch: u64| chain.organisation.epoch_key(epoch);
    let (former, present, next) = (key(0), key(1), key(2));
    let heads = [
        ("a head by the former key", head(&chain, &former, HeadSeq(4), None)),
        ("a head by the former key with a new number", head(&chain, &former, first_seq(1), None)),
        ("a head with a number of the first epoch", head(&chain, &present, HeadSeq(4), None)),
        ("a head with a number of the third epoch", head(&chain, &present, first_seq(2), None)),
        ("a head by a key that is none yet", head(&chain, &next, first_seq(1), None)),
        ("a head over another tree", head(&chain, &present, first_seq(1), Some(Hash([7; 32])))),
    ];
    chain.sign(0);
    let parts = Parts::of(&bundle(vec![chain], &said));
    for (name, head) in heads {
        let mut parts = parts.clone();
        parts.sections[0].0.head = ByteString(head.bytes().to_vec());
        found.push(case(name, parts.seal()));
    }

    // Recoveries that the chain does not go on from.
    let (other, ..) = recovered();
    let tree = Chain::new(40);
    let elsewhere = head(&tree, &former, HeadSeq(3), Some(Hash([9; 32])));
    let proof = other.statements.last().unwrap().payload().recovery().unwrap().proof.clone();
    assert!(!proof.is_empty());
    let mut wrong = proof.clone();
    wrong[0] = Hash([1; 32]);
    let bases: [(&str, &SignedHead, Vec<Hash>); 4] = [
        ("a base of another tree", &elsewhere, Vec::new()),
        ("a proof that leads elsewhere", &base, wrong),
        ("no proof", &base, Vec::new()),
        ("a proof too long", &base, [proof.clone(), proof].concat()),
    ];
    for (name, base, proof) in bases {
        let mut chain = Chain::new(40);
        for n in 0..6 {
            say(&mut chain, n);
        }
        let recovery = Recovery { proof, ..recovery::recovery(base) };
        let version = chain.organisation.recovered(chain.state.description(), recovery, 1);
        let statement = chain.organisation.root_statement(Kind::Organisation, &version);
        let said = chain.append(statement);
        chain.sign(0);
        found.push(case(name, bundle(vec![chain], &[said])));
    }

    // What a former key signs of the new epoch, and what it signed and was given up.
    let (mut chain, ..) = recovered();
    chain.sign(0);
    let given_up = head(&chain, &former, HeadSeq(4), None);
    found.push(linked(chain, Position(9), |target| {
        target.checkpoint = ByteString(given_up.note().to_string().into_bytes());
    }));
    found
}

/// Proofs that a key of a later epoch contradicts itself.
pub(crate) fn misbehaviour() -> Vec<Case> {
    let (mut chain, base, said) = recovered();
    let inception = chain.statements[0].bytes().to_vec();
    let recovery = ByteString(chain.statements.last().unwrap().bytes().to_vec());
    let key = |epoch: u64| chain.organisation.epoch_key(epoch);
    let (former, present) = (key(0), key(1));
    let one = head(&chain, &present, first_seq(1), None);
    let other = head(&chain, &present, first_seq(1), Some(Hash([7; 32])));
    let given_up = head(&chain, &former, HeadSeq(4), None);
    let earlier = head(&Chain::new(40), &former, HeadSeq(3), Some(Hash([9; 32])));
    chain.sign(0);
    let stranger = TestOrganisation::new(41).inception.statement().bytes().to_vec();
    let accused = |inception: &[u8], succession: Vec<ByteString>| Accused {
        inception: ByteString(inception.to_vec()),
        succession,
    };
    let own = || accused(&inception, vec![recovery.clone()]);
    let heads = |accused: Accused, one: &SignedHead, other: &SignedHead| {
        Misbehaviour::of(accused, one, other).map(|proof| codec::encode(&proof).unwrap())
    };
    let proofs = [
        ("two heads of the second epoch", heads(own(), &one, &other)),
        ("without what leads to their key", heads(accused(&inception, vec![]), &one, &other)),
        ("with a version twice", heads(accused(&inception, vec![recovery.clone(); 2]), &one, &other)),
        ("of another organisation", heads(accused(&stranger, vec![recovery.clone()]), &one, &other)),
        (
            "with what is no version",
            heads(accused(&inception, vec![ByteString(inception.clone())]), &one, &other),
        ),
        ("a head that the base does not go on from", heads(accused(&inception, vec![]), &earlier, &base)),
        ("of the first epoch by the second's key", heads(own(), &earlier, &base)),
    ];
    // What the former key signed beyond the base says nothing beside what the new one signs.
    assert_eq!(heads(own(), &given_up, &one), None);
    let parts = Parts::of(&bundle(vec![chain], &said));
    let proofs = proofs.into_iter().map(|(name, proof)| {
        let mut parts = parts.clone();
        parts.manifest.misbehaviour = vec![ByteString(proof.unwrap())];
        case(name, parts.seal())
    });
    proofs.collect()
}
