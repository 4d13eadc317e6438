//! A verifier that always says yes: each check that the verifier makes fails on some file, and none goes by a name that is
//! not on the list.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::actuation::{CorrectiveAction, Effect, Mode};
use counterfoil_protocol::bundle::{CHECKS, Outcome, Report, TrustFile, Wanted, verify, verify_with, write};
use counterfoil_protocol::chain::note::VerifierKey;
use counterfoil_protocol::ids::{OrganisationId, StatementId, Timestamp};
use counterfoil_protocol::keys::Signer as _;
use counterfoil_protocol::statement::{Draft, Kind, Payload, Verified};
use counterfoil_protocol::test_support::governed::World;
use counterfoil_protocol::test_support::mesh::{Chain, Mesh, story};
use counterfoil_protocol::test_support::{TestOrganisation, draft};

use super::{rules, structure, valid};

/// The names of checks, and of those that failed.
#[derive(Default)]
struct Names {
    made: BTreeSet<&'static str>,
    failed: BTreeSet<&'static str>,
}

impl Names {
    fn add(&mut self, report: &Report) {
        for check in &report.checks {
            self.made.insert(check.check);
            if check.outcome == Outcome::Failed {
                self.failed.insert(check.check);
            }
        }
    }
}

/// What the deployer of the story says, by kind; it is the last statement of that kind.
fn said(chains: &BTreeMap<OrganisationId, Chain>, kind: Kind) -> &Verified {
    let all = chains.values().flat_map(|chain| &chain.statements);
    all.rev().find(|one| one.kind() == kind).unwrap()
}

/// The story with one statement more, which its organisation signs and which is wrong.
fn forged(forge: impl FnOnce(&Mesh, OrganisationId) -> Draft) -> Report {
    let (mut mesh, [decided, _]) = story();
    let who = said(&mesh.chains, Kind::Decision).organisation();
    let draft = forge(&mesh, who);
    let chain = mesh.chains.get_mut(&who).unwrap();
    let signed = draft.sign(&chain.organisation.authority_key).unwrap();
    let id: StatementId = chain.append(signed);
    chain.sign(2);
    let mesh = Mesh::of(std::mem::take(&mut mesh.chains).into_values());
    verify(&write(&mesh, &Wanted::lineage(&[decided, id])).unwrap())
}

/// Statements whose form and signature are in order, and which do not follow from what they rest on.
fn consequences() -> Vec<Report> {
    let decision = forged(|mesh, who| {
        let Payload::Decision(decision) = said(&mesh.chains, Kind::Decision).payload() else {
            panic!("a decision")
        };
        let mut decision = decision.clone();
        decision.mode = Mode::Refuse;
        draft(Some(who), Kind::Decision, &decision)
    });
    let permit = forged(|mesh, who| {
        let Payload::Permit(permit) = said(&mesh.chains, Kind::Permit).payload() else { panic!("a permit") };
        let mut permit = permit.clone();
        permit.actuator = "somebody else".into();
        Draft { payload: permit.to_claims().unwrap(), ..draft(Some(who), Kind::Permit, &0) }
    });
    let effect = forged(|mesh, who| {
        let Payload::Effect(effect) = said(&mesh.chains, Kind::Effect).payload() else { panic!("an effect") };
        let again = Effect { effective: Timestamp(2001), ..effect.clone() };
        draft(Some(who), Kind::Effect, &again)
    });
    vec![decision, permit, effect, used_twice(), about_no_nonconformity()]
}

/// Two decisions that stand on one override.
fn used_twice() -> Report {
    let mut world = World::new();
    let key = world.officer();
    let request = World::request(9);
    let act = world.overrides(&key, &request);
    let decided = [request.clone(), request].map(|request| world.decide(request, &[act]).0);
    world.chain.sign(world.seq);
    verify(&write(&Mesh::of([world.chain]), &Wanted::lineage(&decided)).unwrap())
}

/// A corrective action about a permit.
fn about_no_nonconformity() -> Report {
    let mut world = World::new();
    let (stage, ..) = world.stage(&[], "99");
    let action = CorrectiveAction {
        nonconformity: stage[1],
        action: "retrain".into(),
        causes: Vec::new(),
        responsible: None,
        due: None,
        closes: false,
        evidence: Vec::new(),
    };
    let action = world.chain.say(Kind::CorrectiveAction, &action);
    world.chain.sign(world.seq);
    verify(&write(&Mesh::of([world.chain]), &Wanted::lineage(&[action, stage[2]])).unwrap())
}

#[test]
fn every_check_fails_on_some_file_and_has_a_name_on_the_list() {
    let mut names = Names::default();
    let files = valid::all().into_iter().chain(structure::all()).chain(rules::all());
    files.for_each(|case| names.add(&verify(&case.bytes)));
    consequences().iter().for_each(|report| names.add(report));
    // An auditor who trusts somebody else, and one who asks for witnesses that are not there.
    let (bundle, stranger) = (valid::lineage(), Chain::new(77).organisation);
    let known: String = [1, 2].map(|n| format!("organisation {}\n", TestOrganisation::new(n).id())).concat();
    let witness = VerifierKey::cosigner("elsewhere", stranger.witness_key.public_key()).unwrap();
    let trusting =
        [format!("organisation {}", stranger.id()), format!("{known}witness w {witness}\nquorum w")];
    for text in trusting {
        names.add(&verify_with(&bundle, &TrustFile::parse(&text).unwrap()));
    }

    let listed: BTreeSet<&str> = CHECKS.iter().copied().collect();
    assert_eq!(listed.len(), CHECKS.len(), "a name is on the list twice");
    // How many statements there are and how many are absent is counted; what is wrong with one is another check's affair.
    let counted = BTreeSet::from(["gaps", "statements"]);
    assert!(counted.is_disjoint(&names.failed), "a count that says no belongs on the list");
    let unlisted: Vec<_> = names.made.difference(&listed).filter(|name| !counted.contains(*name)).collect();
    assert_eq!(unlisted, Vec::<&&str>::new(), "checks that are on no list");
    let always: Vec<_> = listed.difference(&names.failed).collect();
    assert_eq!(always, Vec::<&&str>::new(), "checks that never say no");
}
