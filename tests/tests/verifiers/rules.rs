//! The rules of identity, kept and broken; envelopes that say what no statement says; proofs of misbehaviour.

use counterfoil_protocol::chain::misbehaviour::{Evidence, Misbehaviour, ProvenLeaf};
use counterfoil_protocol::chain::proof::{LeafHashes, consistency_proof, inclusion_proof, root};
use counterfoil_protocol::chain::{Hash, HeadDraft, LeafDigest, SignedHead};
use counterfoil_protocol::codec::{self, Value};
use counterfoil_protocol::cose::{self, int};
use counterfoil_protocol::identity::{Credential, Scope, StandingDigest};
use counterfoil_protocol::ids::{ByteString, HeadSeq, Position, Timestamp, TreeSize};
use counterfoil_protocol::keys::{SecretKey, Signer as _};
use counterfoil_protocol::statement::{Draft, Endorsed, Kind, Visibility};
use counterfoil_protocol::test_support::identity::{ROWS, World as Rules};
use counterfoil_protocol::test_support::recovery::RECOVERY_ROWS;
use counterfoil_protocol::test_support::{TestOrganisation, observation};

use super::parts::{Case, Parts};
use super::said::{World, to_value};
use super::valid;

pub(crate) fn all() -> Vec<Case> {
    let mut found = identity();
    found.extend(more_identity());
    found.extend(envelopes());
    found.extend(misbehaviour());
    found
}

/// Each row of the rules, with what it tries appended.
fn identity() -> Vec<Case> {
    let mut found = Vec::new();
    for (name, prepare, attempt, _) in ROWS.iter().chain(RECOVERY_ROWS) {
        let mut rules = Rules::new();
        prepare(&mut rules);
        let last = attempt(&rules);
        let statements = rules.statements.iter().chain([last.statement()]);
        let said = statements.map(|one| one.bytes().to_vec()).collect();
        let world = World { organisation: rules.organisation, said };
        found.push(Case { name: format!("rule: {name}"), bytes: world.bundle() });
    }
    found
}

/// What the rows do not have: limits of scopes and jurisdictions, and acts that only root keys may do.
fn more_identity() -> Vec<Case> {
    let key = |n: u8| SecretKey::from_seed(&[n; 32]);
    let steward = Rules::new();
    let issuer = steward.state.authority_of(&steward.organisation.authority_key.public_key().id()).unwrap();
    let base = || Credential {
        issuer: Some(issuer),
        scopes: vec![Scope {
            kinds: vec![Kind::Observation],
            claims: vec!["evaluation/*".into()],
            subjects: vec!["ward-*".into()],
        }],
        ..steward.credential(30)
    };
    let mut found = Vec::new();
    let mut give = |name: &str, delegate: &Credential, then: Option<(&str, Option<&str>, Kind)>| {
        let organisation = TestOrganisation::new(1);
        let mut said: Vec<Vec<u8>> =
            steward.statements.iter().map(|statement| statement.bytes().to_vec()).collect();
        let endorsed = Endorsed::new(Kind::Credential, delegate, &[]).unwrap();
        let signed = steward.sign(&organisation.authority_key, Kind::Credential, &endorsed);
        said.push(signed.statement().bytes().to_vec());
        let mut world = World { organisation, said };
        if let Some((claim, subject, kind)) = then {
            let payload = codec::encode(&observation(claim, 1)).unwrap();
            let draft = Draft { subject: subject.map(str::to_owned), ..world.draft(kind, payload) };
            world.said.push(draft.sign(&key(30)).unwrap().statement().bytes().to_vec());
        }
        found.push(Case { name: format!("delegate: {name}"), bytes: world.bundle() });
    };
    let observes = |claim, subject| Some((claim, subject, Kind::Observation));
    give("a narrower scope", &base(), None);
    give("its subject", &base(), observes("evaluation/x", Some("ward-3")));
    give("another subject", &base(), observes("evaluation/x", Some("theatre")));
    give("no subject", &base(), observes("evaluation/x", None));
    give("the prefix alone", &base(), observes("evaluation", Some("ward-")));
    give("another claim", &base(), observes("review", Some("ward-3")));
    give(
        "before it is valid",
        &Credential { not_before: Timestamp(1001), ..base() },
        observes("evaluation/x", Some("ward-1")),
    );
    give(
        "as long as it is valid",
        &Credential { expires: Some(Timestamp(1000)), ..base() },
        observes("evaluation/x", Some("ward-1")),
    );
    give("with jurisdictions", &Credential { jurisdictions: vec!["EU".into()], ..base() }, None);
    give("as deep", &Credential { delegation: 1, ..base() }, None);
    give("with another issuer", &Credential { issuer: None, ..base() }, None);
    let everything = Credential { scopes: vec![Scope::everything()], ..base() };
    give("for everything", &everything, None);
    found
}

/// Observations whose protected header is put together by hand.
fn envelopes() -> Vec<Case> {
    let world = World::new();
    let key = &world.organisation.authority_key;
    let id = world.organisation.id().to_string();
    let text = |text: &str| Value::Text(text.into());
    let content = |kind: &str| text(&format!("application/vnd.counterfoil.{kind}+cbor"));
    let kid = || Value::Bytes(key.public_key().id().as_bytes().to_vec());
    let claims = |entries: Vec<(Value, Value)>| (int(15), Value::Map(entries));
    let usual = || claims(vec![(int(1), text(&id)), (int(6), int(1000))]);
    let refs = |ids: &[u8]| {
        let ids = ids.iter().map(|n| Value::Bytes(vec![*n; 32])).collect();
        (text("refs"), Value::Array(ids))
    };
    let base = || vec![(int(1), int(-8)), (int(3), content("observation")), (int(4), kid()), usual()];
    let with = |extra: (Value, Value)| {
        let mut header = base();
        header.retain(|(name, _)| *name != extra.0);
        header.push(extra);
        header
    };
    let without = |label: i64| {
        let mut header = base();
        header.retain(|(name, _)| *name != int(label));
        header
    };
    let for_parties = |visibility: &str, length: usize| {
        let mut header = with((text("visibility"), text(visibility)));
        header.push((text("agreement"), Value::Bytes(vec![1; length])));
        header
    };
    let headers: Vec<(&str, Vec<(Value, Value)>)> = vec![
        ("usual", base()),
        ("no algorithm", without(1)),
        ("no content type", without(3)),
        ("no key id", without(4)),
        ("no claims", without(15)),
        ("algorithm Ed25519", with((int(1), int(-19)))),
        ("algorithm as text", with((int(1), text("EdDSA")))),
        ("unknown kind", with((int(3), content("wish")))),
        ("another content type", with((int(3), text("application/cbor")))),
        ("content type as a number", with((int(3), int(60)))),
        ("another kind", with((int(3), content("effect")))),
        ("a short key id", with((int(4), Value::Bytes(vec![1; 31])))),
        ("a stranger's key id", with((int(4), Value::Bytes(vec![1; 32])))),
        ("an unknown label", with((int(5), int(1)))),
        ("an unknown name", with((text("zzz"), int(1)))),
        ("critical headers", with((int(2), Value::Array(vec![int(1)])))),
        ("no issuer", with(claims(vec![(int(6), int(1000))]))),
        ("no time", with(claims(vec![(int(1), text(&id))]))),
        ("an issuer that is none", with(claims(vec![(int(1), text("org:x")), (int(6), int(1000))]))),
        (
            "another issuer",
            with(claims(vec![
                (int(1), text(&TestOrganisation::new(2).id().to_string())),
                (int(6), int(1000)),
            ])),
        ),
        (
            "an issuer in capitals",
            with(claims(vec![(int(1), text(&id.to_uppercase())), (int(6), int(1000))])),
        ),
        ("time before time", with(claims(vec![(int(1), text(&id)), (int(6), int(-1))]))),
        ("a claim more", with(claims(vec![(int(1), text(&id)), (int(4), int(1)), (int(6), int(1000))]))),
        ("a subject", with(claims(vec![(int(1), text(&id)), (int(2), text("x")), (int(6), int(1000))]))),
        (
            "a long subject",
            with(claims(vec![(int(1), text(&id)), (int(2), text(&"ä".repeat(129))), (int(6), int(1000))])),
        ),
        ("no refs", with(refs(&[]))),
        ("refs", with(refs(&[1, 2]))),
        ("refs out of order", with(refs(&[2, 1]))),
        ("refs repeated", with(refs(&[1, 1]))),
        ("a ref that is none", with((text("refs"), Value::Array(vec![int(1)])))),
        ("visibility parties of nothing", with((text("visibility"), text("parties")))),
        ("visibility parties", for_parties("parties", 32)),
        ("visibility private with an agreement", for_parties("private", 32)),
        ("an agreement for all", with((text("agreement"), Value::Bytes(vec![1; 32])))),
        ("a short agreement", for_parties("parties", 31)),
        ("visibility mesh", with((text("visibility"), text("mesh")))),
        ("visibility unknown", with((text("visibility"), text("room")))),
    ];
    let payload = codec::encode(&observation("evaluation/x", 1)).unwrap();
    let sign = |protected: &[u8]| {
        let signature = key.sign(&cose::to_be_signed(protected, &payload));
        cose::assemble(protected, &payload, &signature)
    };
    let mut found = Vec::new();
    let mut give = |name: &str, bytes: Vec<u8>| {
        let mut said = world.said.clone();
        said.push(bytes);
        let world = World { organisation: TestOrganisation::new(1), said };
        found.push(Case { name: format!("envelope: {name}"), bytes: world.bundle() });
    };
    for (name, header) in headers {
        give(name, sign(&cose::protected(header).unwrap()));
    }
    give("a header that is no map", sign(&codec::to_bytes(&int(1)).unwrap()));
    give("an empty header", sign(&[]));
    let draft = world.draft(Kind::Join, payload.clone());
    assert!(Draft { visibility: Visibility::Private, ..draft }.sign(key).is_err());
    let whole = sign(&cose::protected(base()).unwrap());
    let (start, end) = whole.split_at(whole.len() - 66);
    give("a long signature", [start, &[0x58, 65], &end[2..], &[0]].concat());
    give("a short signature", [start, &[0x58, 63], &end[2..65]].concat());
    give("a tag other than 18", [&[0xd1], &whole[1..]].concat());
    give("no tag", whole[1..].to_vec());
    give("five parts", [&[0xd2, 0x85], &whole[2..], &[0]].concat());
    give("a byte behind", [whole.as_slice(), &[0]].concat());
    give("a length in too many bytes", [&whole[..2], &[0x59, 0], &whole[3..]].concat());
    give("too long by far", vec![0xd2; 200 * 1024]);
    found
}

/// A chain of an organisation, of heads over more and more leaves.
fn heads(organisation: &TestOrganisation, leaves: &LeafHashes, sizes: &[(u64, u64)]) -> Vec<SignedHead> {
    let sign = |(seq, size): &(u64, u64)| {
        let draft = HeadDraft {
            organisation: organisation.id(),
            seq: HeadSeq(*seq),
            previous: None,
            size: TreeSize(*size),
            root: root(leaves, TreeSize(*size)).unwrap(),
            standing: StandingDigest::EMPTY,
            issued_at: Timestamp(1),
        };
        draft.sign(organisation.chain_key.as_ref()).unwrap()
    };
    sizes.iter().map(sign).collect()
}

/// Proofs of each form, true ones and such as prove nothing, in the manifest of a bundle that verifies.
fn misbehaviour() -> Vec<Case> {
    let organisation = TestOrganisation::new(9);
    let inception = organisation.inception.statement().bytes().to_vec();
    let digests = |salt: u8| -> Vec<LeafDigest> { (0..8u8).map(|n| LeafDigest::of(&[n, salt])).collect() };
    let hashes =
        |digests: &[LeafDigest]| LeafHashes(digests.iter().map(LeafDigest::leaf_hash).collect::<Vec<Hash>>());
    let (honest, other) = (digests(0), digests(1));
    let (leaves, others) = (hashes(&honest), hashes(&other));
    let one = heads(&organisation, &leaves, &[(0, 3), (1, 5), (2, 4), (0, 3)]);
    let two = heads(&organisation, &others, &[(0, 3), (1, 5), (5, 8)]);
    let note = |head: &SignedHead| ByteString(head.note().to_string().into_bytes());
    let bytes = |head: &SignedHead| ByteString(head.bytes().to_vec());
    let pair =
        |one: &SignedHead, other: &SignedHead| Evidence::Heads { one: bytes(one), other: bytes(other) };
    let notes =
        |one: &SignedHead, other: &SignedHead| Evidence::Checkpoints { one: note(one), other: note(other) };
    let leaf = |digests: &[LeafDigest], leaves: &LeafHashes, head: &SignedHead, at: u64| {
        let path = inclusion_proof(leaves, Position(at), head.size()).unwrap();
        Box::new(ProvenLeaf { checkpoint: note(head), digest: digests[at as usize], path })
    };
    let prefix = |older: &SignedHead, newer: &SignedHead, from: &LeafHashes| Evidence::Prefix {
        older: note(older),
        newer: note(newer),
        root: root(from, older.size()).unwrap(),
        proof: consistency_proof(from, older.size(), newer.size()).unwrap(),
    };
    let at = |position: u64, one, other| Evidence::Leaves { position: Position(position), one, other };
    let evidence = vec![
        ("two heads of one number", pair(&one[1], &two[1])),
        ("one head twice", pair(&one[1], &one[1])),
        ("heads in their order", pair(&one[0], &one[1])),
        ("a later head of less", pair(&one[1], &one[2])),
        ("heads the other way round", pair(&one[2], &one[1])),
        ("two roots of one size", notes(&one[1], &two[1])),
        ("one root twice", notes(&one[0], &one[3])),
        ("roots of two sizes", notes(&one[0], &two[1])),
        ("no prefix", prefix(&one[0], &two[2], &others)),
        ("a prefix", prefix(&two[0], &two[2], &others)),
        ("a prefix by another's proof", prefix(&one[0], &two[2], &leaves)),
        (
            "sizes the other way round",
            Evidence::Prefix {
                older: note(&two[2]),
                newer: note(&one[0]),
                root: Hash([1; 32]),
                proof: vec![],
            },
        ),
        ("two leaves", at(2, leaf(&honest, &leaves, &one[1], 2), leaf(&other, &others, &two[2], 2))),
        ("one leaf twice", at(2, leaf(&honest, &leaves, &one[1], 2), leaf(&honest, &leaves, &one[0], 2))),
        (
            "two leaves at two places",
            at(2, leaf(&honest, &leaves, &one[1], 2), leaf(&other, &others, &two[2], 1)),
        ),
    ];
    let parts = Parts::of(&valid::sparse());
    let mut found = Vec::new();
    let mut give = |name: String, proof: Vec<u8>| {
        let mut changed = parts.clone();
        changed.manifest.misbehaviour = vec![ByteString(proof)];
        found.push(Case { name: format!("misbehaviour: {name}"), bytes: changed.seal() });
    };
    for (name, evidence) in evidence {
        let proof =
            Misbehaviour { inception: ByteString(inception.clone()), succession: Vec::new(), evidence };
        let encoded = codec::encode(&proof).unwrap();
        give(name.into(), encoded.clone());
        for at in (0..encoded.len()).step_by(encoded.len() / 12) {
            let mut changed = encoded.clone();
            changed[at] ^= 4;
            give(format!("{name}, byte {at} changed"), changed);
        }
        let Value::Map(mut fields) = to_value(&proof) else { unreachable!("a map") };
        fields.push((Value::Text("zzz".into()), Value::Bool(true)));
        give(format!("{name}, with a field more"), codec::to_bytes(&Value::Map(fields)).unwrap());
        let stranger = Misbehaviour {
            inception: ByteString(TestOrganisation::new(10).inception.statement().bytes().to_vec()),
            ..proof
        };
        give(format!("{name}, of another organisation"), codec::encode(&stranger).unwrap());
    }
    found
}
