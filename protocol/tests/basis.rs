//! A decision rests on few chains of a large mesh, and the same decision over all of them comes out the same, byte for byte.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that fails this way says where"
)]

#[allow(dead_code, reason = "shared with the tests of verdicts")]
mod cases;
#[allow(dead_code, reason = "shared with the tests that mutate bytes")]
mod mutation;

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::actuation::{Request, Reversibility};
use counterfoil_protocol::admissibility::basis::{Standing, enough, rests_on, weighed};
use counterfoil_protocol::admissibility::gather::{ChainView, Inputs, decide, membership};
use counterfoil_protocol::admissibility::{
    Activation, Composition, Decision, Inquiry, InquiryAnswer, Profile, SilenceRule, Verdict,
};
use counterfoil_protocol::chain::cosignature::{claimed, cosign};
use counterfoil_protocol::codec;
use counterfoil_protocol::identity::Organisation;
use counterfoil_protocol::ids::{MeshId, OrganisationId, Timestamp};
use counterfoil_protocol::limits::PAYLOAD_BYTES_MAX;
use counterfoil_protocol::lineage::Recall;
use counterfoil_protocol::mesh::{
    Acceptance, Admission, Agreement, Ballot, Charter, Leave, OnFork, Recognition,
};
use counterfoil_protocol::statement::{Draft, Kind, Verified, Visibility};
use counterfoil_protocol::test_support::mesh::{Chain, NOW};
use counterfoil_protocol::test_support::{draft, observation};
use proptest::collection::vec;
use proptest::prelude::*;

use cases::Dice;
use mutation::cases as config;

/// Members; the first three founded the mesh, and the first decides.
const MEMBERS: usize = 12;
const FOUNDERS: usize = 3;

/// A mesh in which each member does, or does not, what a decision may rest on.
struct World {
    chains: Vec<Chain>,
    mesh: MeshId,
    inquiries: Vec<Inquiry>,
    seen: BTreeMap<OrganisationId, Timestamp>,
}

fn profile(name: &str, named: &[OrganisationId]) -> Profile {
    let organisations: Vec<String> = named.iter().map(|id| format!("{:?}", id.to_string())).collect();
    let toml = format!(
        r#"
        id = "{name}"
        version = 1
        title = "{name}"
        family = "regulatory"
        actions = ["deploy/*"]
        vetoes = ["recall", "fork", "dispute"]
        rule = "shown"
        [requirements.shown]
        claims = ["evaluation/*"]
        organisations = [{}]
        "#,
        organisations.join(", ")
    );
    Profile::from_toml(&toml).unwrap()
}

impl World {
    fn new(members: usize, dice: &mut Dice<'_>) -> Self {
        let witnesses = (!dice.once_in(3)).then_some(3);
        let (mut world, ids) = Self::founded(members, 2, witnesses);
        let foreign = world.acts(&ids, dice);
        world.activate(&ids, foreign, dice);
        world.sign(&ids, dice);
        world
    }

    /// A mesh, all of whose members but the founders were admitted by the first and the third of these.
    fn founded(members: usize, quorum: u16, witnesses: Option<u16>) -> (Self, Vec<OrganisationId>) {
        let mut chains: Vec<Chain> = (1..=members as u64).map(Chain::new).collect();
        let ids: Vec<OrganisationId> = chains.iter().map(|chain| chain.organisation.id()).collect();
        let mut founders = ids[..FOUNDERS].to_vec();
        founders.sort();
        let charter = Charter {
            name: "test".into(),
            members: founders,
            admission_threshold: 2,
            witness_quorum: quorum,
            freshness_s: 600,
            link_answer_s: 600,
            on_fork: OnFork::Quarantine,
            amendment_threshold: None,
            witnesses,
        };
        let mesh = MeshId::from(chains[1].say(Kind::Charter, &charter));
        for about in &ids[FOUNDERS..] {
            for voter in [0, 2] {
                let admission = Admission { mesh, organisation: *about, ballot: Ballot::Admit, after: None };
                chains[voter].say(Kind::Admission, &admission);
            }
        }
        (Self { chains, mesh, inquiries: Vec::new(), seen: BTreeMap::new() }, ids)
    }

    /// What the members say; gives the foreign profiles.
    fn acts(&mut self, ids: &[OrganisationId], dice: &mut Dice<'_>) -> Vec<usize> {
        let mut foreign = Vec::new();
        for (n, id) in ids.iter().enumerate().skip(1) {
            if dice.once_in(2) {
                self.chains[0].say(Kind::Recognition, &Recognition::of(*id, vec!["evaluation/*".into()]));
            }
            if dice.once_in(4) {
                let parent = Some(format!("parent-{}", dice.below(2)));
                let now = self.chains[n].state.description();
                let next = Organisation { version: now.version + 1, parent, ..now.clone() };
                let statement = self.chains[n].organisation.root_statement(Kind::Organisation, &next);
                self.chains[n].append(statement);
            }
            match dice.below(6) {
                1 => drop(self.chains[n].say(Kind::Observation, &observation("evaluation/x", 7))),
                2 => self.limited(n, ids, dice),
                3 => {
                    let said = observation("evaluation/x", 7);
                    let statement = self.chains[n].say(Kind::Observation, &said);
                    let recall = Recall { statement, subjects: said.subjects, reason: "flawed".into() };
                    self.chains[n].say(Kind::Recall, &recall);
                }
                4 => foreign.push(n),
                _ => {}
            }
            if n >= FOUNDERS && dice.once_in(6) {
                self.chains[n].say(Kind::Leave, &Leave { mesh: self.mesh });
            }
        }
        foreign
    }

    /// Evidence for the parties of an agreement that has a third party, which may not have accepted.
    fn limited(&mut self, n: usize, ids: &[OrganisationId], dice: &mut Dice<'_>) {
        let third = 1 + (n + dice.below(MEMBERS - 2)) % (ids.len() - 1);
        let parties = BTreeSet::from([ids[0], ids[n], ids[third]]);
        let agreement = Agreement {
            parties: parties.into_iter().collect(),
            kinds: vec![Kind::Observation],
            subjects: Vec::new(),
            jurisdictions: Vec::new(),
            from: Timestamp(0),
            until: None,
            link_answer_s: None,
            purpose: String::new(),
        };
        let agreement = self.chains[n].say(Kind::Agreement, &agreement);
        let accepted = Acceptance { agreement, withdrawn: false };
        self.chains[0].say(Kind::Acceptance, &accepted);
        if third != n && !dice.once_in(3) {
            self.chains[third].say(Kind::Acceptance, &accepted);
        }
        let said = draft(Some(ids[n]), Kind::Observation, &observation("evaluation/x", 7));
        let said = Draft { visibility: Visibility::Parties(agreement), ..said };
        let signed = said.sign(&self.chains[n].organisation.authority_key).unwrap();
        self.chains[n].append(signed);
    }

    fn activate(&mut self, ids: &[OrganisationId], foreign: Vec<usize>, dice: &mut Dice<'_>) {
        let named: Vec<OrganisationId> = (1..MEMBERS).filter(|_| dice.once_in(6)).map(|n| ids[n]).collect();
        let mut profiles = vec![self.chains[0].say(Kind::Profile, &profile("own", &named))];
        for n in foreign {
            let declared = self.chains[n].say(Kind::Profile, &profile("foreign", &[]));
            if dice.once_in(2) {
                profiles.push(declared);
            }
        }
        let activation = Activation { profiles, composition: Composition::Intersection };
        self.chains[0].say(Kind::Activation, &activation);
    }

    /// Heads, signatures under them, and what was heard of whom.
    fn sign(&mut self, ids: &[OrganisationId], dice: &mut Dice<'_>) {
        for (n, id) in ids.iter().enumerate() {
            self.chains[n].sign(0);
            for witness in (0..MEMBERS).filter(|witness| *witness != n) {
                if dice.once_in(3) {
                    continue;
                }
                self.cosign(n, witness, 1500 + dice.below(9) as u64);
            }
            let late = if n > 0 && dice.once_in(4) { 700 } else { 0 };
            self.seen.insert(*id, Timestamp(NOW.0 - late));
            if n > 0 && dice.once_in(4) {
                let answer = match dice.once_in(2) {
                    true => InquiryAnswer::Answered { named: 1, came: 0, missing: 1 },
                    false => InquiryAnswer::Unreachable { since: Some(Timestamp(1000)) },
                };
                self.inquiries.push(Inquiry { organisation: *id, answer });
            }
        }
        self.inquiries.sort_by_key(|inquiry| inquiry.organisation);
    }

    fn cosign(&mut self, chain: usize, witness: usize, time: u64) {
        let by = &self.chains[witness].organisation;
        let text = self.chains[chain].head.as_ref().unwrap().note().text();
        let line = cosign(by.id(), by.witness_key.as_ref(), Timestamp(time), text).unwrap();
        self.chains[chain].cosignatures.push(line.line.to_text());
    }

    /// The fourth member says what the first decides on; these have signed its head.
    fn tell(&mut self, ids: &[OrganisationId], signers: &[usize]) {
        self.chains[0].say(Kind::Recognition, &Recognition::of(ids[3], vec!["evaluation/*".into()]));
        self.chains[3].say(Kind::Observation, &observation("evaluation/x", 7));
        let profiles = vec![self.chains[0].say(Kind::Profile, &profile("own", &[]))];
        let activation = Activation { profiles, composition: Composition::Intersection };
        self.chains[0].say(Kind::Activation, &activation);
        for (chain, id) in self.chains.iter_mut().zip(ids) {
            chain.sign(0);
            self.seen.insert(*id, NOW);
        }
        signers.iter().for_each(|witness| self.cosign(3, *witness, 1500));
    }

    /// The decision rests on a member, without whom it comes out otherwise.
    fn matters(&self, n: usize) {
        let id = self.chains[n].organisation.id();
        let whole = self.decide(self.views()).1;
        let mut narrow = self.narrow();
        assert!(narrow.remove(&id).is_some(), "it rests on {n}");
        assert_ne!(self.decide(narrow).1, whole, "{n} matters");
        assert_eq!(self.decide(self.narrow()).1, whole);
    }

    fn evidence(&self) -> Vec<&Verified> {
        let all = self.chains.iter().flat_map(|chain| &chain.statements);
        all.filter(|verified| verified.kind() == Kind::Observation).collect()
    }

    fn views(&self) -> BTreeMap<OrganisationId, ChainView<'_>> {
        self.chains
            .iter()
            .map(|chain| {
                let id = chain.organisation.id();
                let standing = chain.statements.iter().filter(|one| one.kind().is_standing()).collect();
                let mut basis = chain.basis();
                basis.seen = self.seen[&id];
                (id, ChainView { state: &chain.state, standing, basis })
            })
            .collect()
    }

    fn decide(&self, chains: BTreeMap<OrganisationId, ChainView<'_>>) -> (Decision, Verdict) {
        let request = Request {
            action: "deploy/triage".into(),
            subjects: observation("a/b", 7).subjects,
            actuator: "gateway".into(),
            scopes: BTreeMap::new(),
            predicted: BTreeMap::new(),
            reversibility: Reversibility::Reversible,
            harm: Vec::new(),
            purpose: String::new(),
        };
        decide(&Inputs {
            decider: self.chains[0].organisation.id(),
            request,
            time: NOW,
            mesh: Some(self.mesh),
            chains,
            inquiries: self.inquiries.clone(),
            silence: SilenceRule::Recognised,
            evidence: self.evidence(),
            forked: BTreeSet::new(),
        })
        .unwrap()
    }

    /// What a decision is made from that rests on no more than it has to.
    fn narrow(&self) -> BTreeMap<OrganisationId, ChainView<'_>> {
        let me = self.chains[0].organisation.id();
        let mut views = self.views();
        let membership = membership(self.mesh, &views).unwrap();
        let standing: Standing<'_> = views.iter().map(|(id, view)| (*id, view.standing.clone())).collect();
        let heads: BTreeMap<_, _> =
            self.chains.iter().map(|chain| (chain.organisation.id(), chain.head.clone().unwrap())).collect();
        let signers = |id: &OrganisationId| {
            let lines = views[id].basis.cosignatures.iter();
            lines.filter_map(|line| Some(claimed(heads[id].note(), line)?.witness)).collect()
        };
        let evidence = self.evidence();
        let needed = rests_on(&me, Some(self.mesh), &standing, &evidence, signers);
        let weighed = weighed(&me, &evidence);
        views.retain(|id, _| needed.contains(id));
        for (id, view) in &mut views {
            let lines = std::mem::take(&mut view.basis.cosignatures);
            if weighed.contains(id) {
                let lines = lines.iter().map(String::as_str);
                view.basis.cosignatures = enough(Some(&membership), &heads[id], lines);
            }
        }
        views
    }
}

proptest! {
    #![proptest_config(config(150))]
    #[test]
    fn what_a_decision_does_not_rest_on_changes_no_byte_of_it(bytes in vec(any::<u8>(), 400)) {
        let world = World::new(MEMBERS, &mut Dice::new(&bytes));
        let (whole, verdict) = world.decide(world.views());
        let narrow = world.narrow();
        prop_assert!(narrow.contains_key(&world.chains[0].organisation.id()));
        let (decision, found) = world.decide(narrow);
        prop_assert_eq!(&found, &verdict);
        prop_assert_eq!(&decision.verdict, &whole.verdict);
    }
}

/// Nobody speaks of a decision in a mesh where nothing was said about it: the heads of its founders are all that it rests on.
#[test]
fn those_who_say_nothing_that_bears_on_it_are_left_out() {
    let world = World::new(MEMBERS, &mut Dice::new(&[]));
    let (whole, _) = world.decide(world.views());
    assert_eq!(whole.basis.len(), MEMBERS);
    let (decision, _) = world.decide(world.narrow());
    let founders: BTreeSet<_> = world.chains[..FOUNDERS].iter().map(|one| one.organisation.id()).collect();
    let witnesses = decision.basis.iter().map(|basis| basis.organisation).collect::<BTreeSet<_>>();
    assert!(witnesses.is_superset(&founders));
    // The quorum is two: of the decider's own head that many signatures stay, of the others' none.
    let lines: Vec<usize> = decision.basis.iter().map(|basis| basis.cosignatures.len()).collect();
    assert_eq!(lines.iter().sum::<usize>(), 2, "{lines:?}");
}

#[test]
fn in_a_mesh_of_hundreds_a_decision_fits_its_statement() {
    let world = World::new(240, &mut Dice::new(&[]));
    let bytes = |decision: &Decision| codec::encode(decision).unwrap().len();
    let (whole, verdict) = world.decide(world.views());
    assert!(bytes(&whole) > PAYLOAD_BYTES_MAX);
    let (decision, found) = world.decide(world.narrow());
    assert_eq!(found, verdict);
    assert!(bytes(&decision) < PAYLOAD_BYTES_MAX / 8, "{}", bytes(&decision));
}

#[test]
fn who_votes_and_who_leaves_decides_on_who_has_seen_a_head() {
    // Two whom the third voted in have signed: without that vote they were nobody's witnesses.
    let (mut world, ids) = World::founded(8, 2, None);
    world.tell(&ids, &[5, 6]);
    world.matters(2);

    // All others have signed but one, who had left: without that word the quorum is not complete.
    let (mut world, ids) = World::founded(5, 4, None);
    world.chains[4].say(Kind::Leave, &Leave { mesh: world.mesh });
    world.tell(&ids, &[0, 1, 2]);
    world.matters(4);
}
