//! Decisions: those that follow from what they rest on, and those that do not. Both verifiers judge each one by itself.

use std::collections::BTreeMap;

use counterfoil_protocol::actuation::{Mode, Reversibility};
use counterfoil_protocol::admissibility::{
    Composition, Decision, EvidenceRef, Profile, Requirement, Rule, SilenceRule, Verdict,
};
use counterfoil_protocol::bundle::{Outcome, Readers, Wanted, verify, write};
use counterfoil_protocol::codec::{self, Value};
use counterfoil_protocol::ids::{ByteString, Position, StatementId, Timestamp};
use counterfoil_protocol::limits::PAYLOAD_BYTES_MAX;
use counterfoil_protocol::mesh::Agreements;

use super::parts::Case;
use super::second::{self, Found};
use super::world::{Dice, NOW, World, ids, name_some, profiles};

/// Worlds, and decisions in each; `DECISIONS` says how many worlds.
fn worlds() -> u64 {
    std::env::var("DECISIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

const ROUNDS: usize = 12;
const LIES: usize = 4;

/// A bundle with decisions, and what is true of each.
struct Decided {
    bundle: Vec<u8>,
    /// The same for anybody, and for one of the members: without what is limited to others.
    narrow: [Vec<u8>; 2],
    /// By statement, what was done to it; nothing where it is honest.
    decisions: BTreeMap<String, Option<&'static str>>,
    /// How often honest ones were about what is for the parties of an agreement: accepted, and refused for that.
    crossed: [usize; 2],
}

fn decided(seed: u64) -> Decided {
    let mut dice = Dice::new(&format!("world {seed}"));
    let mut world = World::new(seed, &mut dice);
    let mut decisions = BTreeMap::new();
    let mut about: Vec<StatementId> = Vec::new();
    let mut crossed = [0; 2];
    for _ in 0..ROUNDS {
        let (mut profiles, composition) = profiles(&mut dice);
        name_some(&mut dice, &mut profiles, &ids(&world));
        world.activate(&mut dice, &profiles, composition);
        let Ok(honest) = world.decide(&mut dice) else { continue };
        let verdict: Verdict = codec::decode(&honest.verdict.0, PAYLOAD_BYTES_MAX).unwrap();
        let requirements = verdict.profiles.iter().flat_map(|profile| profile.requirements.values());
        for one in requirements.flat_map(|requirement| &requirement.considered) {
            let is_limited = world.limited.contains(&one.statement);
            crossed[0] += usize::from(is_limited && one.refused.is_empty());
            crossed[1] += usize::from(one.refused.iter().any(|why| why.code == "agreement"));
        }
        for n in 0..=LIES {
            let mut said = honest.clone();
            let what = (n > 0).then(|| lie(&mut dice, &world, &mut said));
            if let Some(id) = world.record(&said) {
                decisions.insert(id.to_string(), what);
                about.push(id);
            }
        }
    }
    let member = dice.pick(&ids(&world).into_iter().collect::<Vec<_>>());
    let mesh = world.close(&mut dice);
    let known = Agreements::of(mesh.chains.values().flat_map(|chain| &chain.statements));
    let member = Readers::These(vec![known.audience(member, Timestamp(NOW))]);
    let file = |readers| write(&mesh, &Wanted { readers, ..Wanted::lineage(&about) }).unwrap();
    let narrow = [Readers::Anybody, member].map(file);
    Decided { bundle: file(Readers::Chosen), narrow, decisions, crossed }
}

/// Makes a decision say what does not follow, or might not; says what was done.
fn lie(dice: &mut Dice, world: &World, said: &mut Decision) -> &'static str {
    let at = |dice: &mut Dice, length: usize| dice.below(length.max(1));
    let some = dice.below(1 << 16);
    match dice.below(16) {
        0 => {
            let modes = [Mode::Continue, Mode::Partial, Mode::Defer, Mode::Refuse];
            said.mode = modes[(modes.iter().position(|mode| *mode == said.mode).unwrap() + 1 + some % 3) % 4];
            "another mode"
        }
        1 => {
            let at = at(dice, said.verdict.0.len());
            said.verdict.0[at] ^= 1 << (some % 8);
            "a bit of the verdict"
        }
        2 => {
            said.verdict.0.pop();
            "a shorter verdict"
        }
        3..=7 => {
            let mut verdict = codec::from_bytes(&said.verdict.0, PAYLOAD_BYTES_MAX).unwrap();
            let what = match some % 5 {
                0 => weigh_otherwise(dice, &mut verdict),
                1 => count_otherwise(&mut verdict),
                _ => falsify(dice, &mut verdict),
            };
            said.verdict = ByteString(codec::to_bytes(&verdict).unwrap());
            what
        }
        8 | 9 if !said.evidence.is_empty() => {
            said.evidence.remove(some % said.evidence.len());
            "evidence left out"
        }
        10 => {
            let member = &world.members[some % 4].chain;
            let one = &member.statements[dice.below(member.statements.len())];
            said.evidence.push(EvidenceRef {
                organisation: member.organisation.id(),
                position: one.position(),
                statement: if dice.once_in(4) { StatementId::from_bytes([7; 32]) } else { one.id() },
            });
            if !dice.once_in(4) {
                said.evidence.sort();
            }
            "evidence added"
        }
        11 => {
            said.time = Timestamp(said.time.0 + [1, 86_400, 90 * 86_400][some % 3]);
            "another time"
        }
        12 => {
            let one = at(dice, said.basis.len());
            match some % 4 {
                0 => said.basis[one].seen = Timestamp(0),
                1 => said.basis[one].cosignatures.clear(),
                2 => said.basis[0].cosignatures.push("— someone AAAA\n".into()),
                _ => drop(said.basis.pop()),
            }
            "another basis"
        }
        13 => {
            said.forked =
                if said.forked.is_empty() { ids(world).into_iter().take(1).collect() } else { vec![] };
            "other forks"
        }
        14 => {
            match some % 4 {
                0 if dice.once_in(2) => {
                    let (named, recognised) = (SilenceRule::Named, SilenceRule::Recognised);
                    said.silence = if said.silence == named { recognised } else { named };
                    return "another rule of silence";
                }
                0 => said.mesh = None,
                1 => said.request.scopes.clear(),
                2 => said.request.reversibility = Reversibility::Irreversible,
                _ => said.request.subjects.reverse(),
            }
            "another request"
        }
        _ => {
            match said.evidence.first_mut() {
                Some(first) if some.is_multiple_of(2) => first.position = Position(first.position.0 + 1),
                _ => said.activation = StatementId::from_bytes([8; 32]),
            }
            "another place or activation"
        }
    }
}

/// The numbers of a verdict, all of which are weights.
fn weights<'a>(value: &'a mut Value, found: &mut Vec<&'a mut Value>) {
    match value {
        Value::Map(fields) => fields.iter_mut().for_each(|(_, inner)| weights(inner, found)),
        Value::Array(items) => items.iter_mut().for_each(|inner| weights(inner, found)),
        Value::Integer(_) => found.push(value),
        _ => {}
    }
}

fn weigh_otherwise(dice: &mut Dice, verdict: &mut Value) -> &'static str {
    let mut found = Vec::new();
    weights(verdict, &mut found);
    if !found.is_empty() {
        let at = dice.below(found.len());
        let Value::Integer(weight) = &*found[at] else { unreachable!("a number") };
        let weight = u64::try_from(*weight).unwrap();
        *found[at] = Value::Integer(weight.checked_sub(1).unwrap_or(1).into());
    }
    "a weight"
}

/// Says that there is one set more.
fn count_otherwise(verdict: &mut Value) -> &'static str {
    let Value::Map(fields) = verdict else { unreachable!("a map") };
    for (name, count) in fields {
        let Value::Text(count) = count else { continue };
        if name.as_text().is_some_and(|name| name.ends_with("_count")) {
            *count = (count.parse::<u128>().unwrap() + 1).to_string();
        }
    }
    "the number of sets"
}

/// Changes one number, text or list somewhere in a verdict, so that it is a verdict in form all the same.
fn falsify(dice: &mut Dice, value: &mut Value) -> &'static str {
    match value {
        Value::Map(fields) if !fields.is_empty() => {
            let at = dice.below(fields.len());
            if dice.once_in(12) {
                fields.remove(at);
                return "a field of the verdict left out";
            }
            falsify(dice, &mut fields[at].1)
        }
        Value::Array(items) if !items.is_empty() => {
            let at = dice.below(items.len());
            match dice.below(8) {
                0 => {
                    items.remove(at);
                    "an item of the verdict left out"
                }
                1 if items.len() > 1 => {
                    items.rotate_left(1);
                    "items of the verdict in another order"
                }
                _ => falsify(dice, &mut items[at]),
            }
        }
        Value::Integer(n) => {
            *value = Value::Integer((u64::try_from(*n).unwrap_or(0) + 1).into());
            "a number of the verdict"
        }
        Value::Text(text) => {
            // Counts of sets are texts of digits.
            match text.pop() {
                Some(last @ '0'..='8') => text.push(char::from(last as u8 + 1)),
                Some('9') => text.push('8'),
                _ => text.push('x'),
            }
            "a text of the verdict"
        }
        Value::Bytes(bytes) if !bytes.is_empty() => {
            bytes[0] ^= 1;
            "an id of the verdict"
        }
        other => {
            *other = Value::Bool(false);
            "another value in the verdict"
        }
    }
}

/// What both found about each decision, the first one's word first.
fn judged(bundle: &[u8], second: &Found) -> BTreeMap<String, (&'static str, String, String, String)> {
    let first = verify(bundle);
    let mut found = BTreeMap::new();
    for check in first.checks.iter().filter(|check| check.check == "decision") {
        let outcome = match check.outcome {
            Outcome::Passed => "passed",
            Outcome::NotProven => "not-proven",
            Outcome::Failed => "failed",
        };
        let other = second.checks.iter().find(|one| one.check == "decision" && one.input == check.input);
        let (other, detail) = other.map_or_else(Default::default, |o| (o.outcome.clone(), o.detail.clone()));
        found.insert(check.input.clone(), (outcome, check.detail.clone(), other, detail));
    }
    // Each lie about a decision uses the override of the honest one a second time.
    let is_other = |check: &str| !["decision", "override"].contains(&check);
    let others: Vec<_> = first.failures().filter(|check| is_other(check.check)).collect();
    assert!(others.is_empty(), "{others:?}");
    let beyond = second.checks.iter().filter(|one| one.outcome == "failed" && is_other(&one.check));
    let beyond: Vec<_> = beyond.collect();
    assert!(beyond.is_empty(), "{beyond:?}");
    found
}

/// Left open for the one reason for which the second may leave open what the first decides.
fn is_unread(other: &str, detail: &str) -> bool {
    other == "not-proven" && detail.starts_with("not computed here: ")
}

#[test]
fn decisions_honest_and_not() {
    if !second::build() {
        return;
    }
    let worlds: Vec<Decided> = (0..worlds()).map(decided).collect();
    let cases: Vec<Case> = worlds
        .iter()
        .enumerate()
        .map(|(n, one)| Case { name: format!("world {n}"), bytes: one.bundle.clone() })
        .collect();
    let found = second::verify(&cases);
    let (mut differences, mut unread, mut passed, mut total) = (Vec::new(), 0, 0, 0);
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    let mut modes: BTreeMap<String, usize> = BTreeMap::new();
    for (n, (world, second)) in worlds.iter().zip(&found).enumerate() {
        let judged = judged(&world.bundle, second);
        assert_eq!(judged.len(), world.decisions.len());
        for (id, (first, why, other, detail)) in &judged {
            let what = world.decisions[id];
            total += 1;
            assert!(what.is_some() || *first == "passed", "world {n}: an honest decision: {why}");
            if is_unread(other, detail) {
                unread += 1;
            } else if first != other {
                differences.push(format!(
                    "world {n}, {what:?}: Rust {first} ({why}), TypeScript {other} ({detail})"
                ));
            } else if *first == "passed" {
                passed += 1;
                *modes.entry(why.clone()).or_default() += 1;
            } else if let ("failed", Some(what)) = (*first, what) {
                *refused.entry(what).or_default() += 1;
            }
        }
    }
    assert!(differences.is_empty(), "{} of {total} differ:\n{}", differences.len(), differences.join("\n"));
    eprintln!(
        "{total} decisions: {passed} passed {modes:?}, {unread} with unread expressions, refused {refused:?}"
    );
    assert!(
        passed * 8 > total && refused.values().sum::<usize>() * 2 > total,
        "{passed} passed, {refused:?}"
    );
    assert!(unread > 0 && unread * 8 < total, "{unread}");
    assert_eq!(modes.len(), 4, "{modes:?}");
    assert!(refused.len() >= 14, "{refused:?}");
    let crossed = |which: usize| worlds.iter().map(|world| world.crossed[which]).sum::<usize>();
    assert!(crossed(0) > 0 && crossed(1) > 0, "{} {}", crossed(0), crossed(1));
}

/// Files for some readers: what rests on something that is limited to others is left open by both, and nothing else is.
#[test]
fn decisions_for_some_readers() {
    if !second::build() {
        return;
    }
    let worlds: Vec<Decided> = (0..worlds().div_ceil(4)).map(decided).collect();
    let (mut open, mut differences, mut proven) = (0, Vec::new(), 0);
    for which in 0..2 {
        let case = |(n, one): (usize, &Decided)| Case {
            name: format!("world {n} for readers {which}"),
            bytes: one.narrow[which].clone(),
        };
        let cases: Vec<Case> = worlds.iter().enumerate().map(case).collect();
        for ((case, second), world) in cases.iter().zip(second::verify(&cases)).zip(&worlds) {
            let limited = "is limited to others than this file is for";
            for (id, (first, why, other, detail)) in judged(&case.bytes, &second) {
                if is_unread(&other, &detail) {
                    continue;
                }
                let is_same = first == other && why.ends_with(limited) == detail.ends_with(limited);
                if !is_same {
                    differences.push(format!("{} {id}: {first} ({why}), {other} ({detail})", case.name));
                }
                let is_honest = world.decisions[&id].is_none();
                assert!(!is_honest || first == "passed" || why.ends_with(limited), "{}: {why}", case.name);
                open += usize::from(is_same && is_honest && first == "not-proven");
                proven += usize::from(is_same && is_honest && first == "passed");
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(open > 0 && proven > 0, "{open} open, {proven} proven");
}

/// A composition whose sets are beyond the bound of work: each sum of weights is another one.
#[test]
fn a_verdict_beyond_the_bound_of_work() {
    if !second::build() {
        return;
    }
    let mut dice = Dice::new("beyond");
    let mut world = World::new(9_999, &mut dice);
    let ask = |claim: usize| Requirement {
        claims: vec![format!("{}/{}", ["test", "audit"][claim % 2], ["a", "b"][claim / 2 % 2])],
        organisations: Vec::new(),
        roles: Vec::new(),
        kinds: Vec::new(),
        unrecognised: true,
        reached: None,
        floors: BTreeMap::new(),
        max_age_days: None,
        expression: None,
        distinct: 1 + (claim % 3) as u8,
        owner: None,
    };
    let profile = |n: usize| Profile {
        id: format!("profile-{n:02}"),
        version: 1,
        title: "a profile".into(),
        family: "clinical".into(),
        jurisdictions: Vec::new(),
        actions: vec!["*".into()],
        half_life_days: BTreeMap::new(),
        quality: BTreeMap::new(),
        rule: Rule::Any { any: vec![Rule::Requirement("a".into()), Rule::Requirement("b".into())] },
        requirements: BTreeMap::from([("a".into(), ask(n)), ("b".into(), ask(31 - n))]),
        vetoes: Default::default(),
        limits: Vec::new(),
        missing: BTreeMap::new(),
        degraded: BTreeMap::new(),
        overrides: None,
    };
    let profiles: Vec<Profile> = (0..20).map(profile).collect();
    let weights = profiles.iter().enumerate().map(|(n, one)| (one.id.clone(), (1 << n) + 1)).collect();
    world.activate(&mut dice, &profiles, Composition::Weighted { weights, threshold: 1 << 20 });
    let mut about = Vec::new();
    let mut beyond = 0;
    for _ in 0..6 {
        let Ok(honest) = world.decide(&mut dice) else { continue };
        let verdict: Verdict = codec::decode(&honest.verdict.0, PAYLOAD_BYTES_MAX).unwrap();
        beyond += usize::from(verdict.sufficient_count.is_none() && verdict.missing_count.is_none());
        about.extend(world.record(&honest));
        let mut counted = honest.clone();
        let mut value = codec::from_bytes(&honest.verdict.0, PAYLOAD_BYTES_MAX).unwrap();
        if let Value::Map(fields) = &mut value {
            fields.push((Value::Text("sufficient_count".into()), Value::Text("64".into())));
        }
        if let Ok(bytes) = codec::to_bytes(&value) {
            counted.verdict = ByteString(bytes);
            about.extend(world.record(&counted));
        }
    }
    let wanted = Wanted { readers: Readers::Chosen, ..Wanted::lineage(&about) };
    let bytes = write(&world.close(&mut dice), &wanted).unwrap();
    let cases = [Case { name: "beyond".into(), bytes }];
    let second = second::verify(&cases).remove(0);
    let judged = judged(&cases[0].bytes, &second);
    assert!(judged.values().all(|(first, _, other, _)| first == other), "{judged:?}");
    assert!(judged.values().any(|(first, ..)| *first == "passed") && beyond > 0, "{beyond} {judged:?}");
}
