//! What a verdict should be, written from the protocol's text for clarity: every subset of the evidence is tried.
//!
//! It shares the data types with the evaluator, and no function.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::actuation::{Mode, Reversibility};
use counterfoil_protocol::admissibility::verdict::{Outcome, RequirementState};
use counterfoil_protocol::admissibility::{
    Case, Composition, Evidence, FindingKind, Freshness, Profile, ReceiptStanding, RecognitionStanding,
    Relation, Requirement, Rule, Silence,
};
use counterfoil_protocol::codec::Value;
use counterfoil_protocol::identity::{AuthorityKind, Standing};
use counterfoil_protocol::ids::{AuthorityId, OrganisationId, StatementId};
use counterfoil_protocol::mesh::Recognition;
use counterfoil_protocol::observation::SourceSignature;
use counterfoil_protocol::weighting::{Dimension, Weight};

use crate::cases::EXPRESSIONS;

/// A weight by dimension, in parts per million.
pub(crate) type Parts = BTreeMap<Dimension, u32>;
/// A requirement by its profile's name and its own.
pub(crate) type Name = (String, String);

/// Everything that somebody may be or say, as far as it makes a difference to any case.
const ROLES: [&str; 7] = ["steward", "assessor", "assess", "prüfer", "prüf", "other", "somebody"];
const SAID: [&str; 10] = [
    "test/a",
    "test/b",
    "test/c",
    "audit/a",
    "audit/b",
    "audit/c",
    "pruefung/a",
    "pruefung/b",
    "else/a",
    "else/b",
];

/// What is expected of a verdict.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) mode: Mode,
    pub(crate) profiles: BTreeMap<String, Outcome>,
    pub(crate) requirements: BTreeMap<Name, RequirementState>,
    /// What was considered, with its weight and the codes of its refusals.
    pub(crate) considered: BTreeMap<(Name, StatementId), (Parts, BTreeSet<&'static str>)>,
    pub(crate) necessary: BTreeSet<AuthorityId>,
    pub(crate) sufficient: BTreeSet<BTreeSet<StatementId>>,
    pub(crate) missing: BTreeSet<BTreeSet<Name>>,
    pub(crate) weight: Option<Parts>,
    pub(crate) withheld: BTreeSet<String>,
}

pub(crate) fn parts(weight: &Weight) -> Parts {
    Dimension::ALL.into_iter().map(|dimension| (dimension, weight.component(dimension).get())).collect()
}

fn matches(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |beginning| text.starts_with(beginning))
}

/// A piece of evidence as one requirement sees it.
struct Seen {
    number: usize,
    statement: StatementId,
    authority: AuthorityId,
    /// Without corroboration.
    weight: Parts,
    refused: BTreeSet<&'static str>,
    /// The independent source that it belongs to, where it is not refused.
    group: usize,
}

/// A requirement with what bears on it.
struct Asked<'a> {
    requirement: &'a Requirement,
    seen: Vec<Seen>,
}

impl Asked<'_> {
    /// How many independent sources there are among the evidence of a subset that is not refused.
    fn corroboration(&self, subset: u32) -> u32 {
        let groups: BTreeSet<usize> = self
            .seen
            .iter()
            .filter(|s| s.refused.is_empty() && has(subset, s.number))
            .map(|s| s.group)
            .collect();
        [0, 500_000, 750_000, 875_000, 937_500, 968_750][groups.len().min(5)]
    }

    fn reaches_floors(&self, seen: &Seen, corroboration: u32) -> bool {
        self.requirement.floors.iter().all(|(dimension, floor)| {
            let value =
                if *dimension == Dimension::Corroboration { corroboration } else { seen.weight[dimension] };
            value >= floor.get()
        })
    }

    /// Whether something may be expected of who cannot be heard: by name, or, where nobody is named, because there is a role
    /// and a claim that the decider's last word on both accepts, and that it reads as what is asked for.
    fn expects(&self, id: &OrganisationId, silence: &Silence) -> bool {
        let Requirement { organisations, claims, roles, .. } = self.requirement;
        let is_one = |patterns: &[String], text: &str| patterns.iter().any(|pattern| matches(pattern, text));
        let counts = |role: &str, claim: &str| {
            let speaks = |r: &&Recognition| {
                (is_one(&r.claims, claim) || r.claim_map.contains_key(claim))
                    && (r.roles.is_empty() && r.role_map.is_empty()
                        || is_one(&r.roles, role)
                        || r.role_map.contains_key(role))
            };
            let last = silence.recognitions.iter().rfind(speaks);
            last.is_some_and(|last| {
                let own = |map: &BTreeMap<String, String>, term: &str| {
                    map.get(term).cloned().unwrap_or_else(|| term.to_owned())
                };
                !last.withdrawn
                    && is_one(claims, &own(&last.claim_map, claim))
                    && (roles.is_empty() || is_one(roles, &own(&last.role_map, role)))
            })
        };
        match organisations.is_empty() {
            false => organisations.contains(id),
            true => ROLES.iter().any(|role| SAID.iter().any(|claim| counts(role, claim))),
        }
    }

    /// Whether there are organisations that cannot be heard, that something may be expected of, and that would be enough
    /// together with what counts, if each of them that is no source yet were a further one.
    fn is_met_by_silence(&self, case: &Case, everything: u32) -> bool {
        let corroboration = self.corroboration(everything);
        let accepted = |s: &Seen| s.refused.is_empty();
        let counts = |s: &Seen| accepted(s) && self.reaches_floors(s, corroboration);
        let of = |s: &Seen| case.evidence[s.number].organisation;
        let expected: BTreeSet<OrganisationId> = case
            .unheard
            .iter()
            .filter(|(id, silence)| self.expects(id, silence))
            .map(|(id, _)| *id)
            .filter(|id| !self.seen.iter().any(|s| counts(s) && of(s) == *id))
            .collect();
        let sources = |has: &dyn Fn(&Seen) -> bool| {
            let groups: BTreeSet<usize> = self.seen.iter().filter(|s| has(s)).map(|s| s.group).collect();
            let new = expected.iter().filter(|id| !self.seen.iter().any(|s| has(s) && of(s) == **id)).count();
            groups.len() + new
        };
        let floor = self.requirement.floors.get(&Dimension::Corroboration).map_or(0, |floor| floor.get());
        let together = [0, 500_000, 750_000, 875_000, 937_500, 968_750][sources(&accepted).min(5)];
        !expected.is_empty()
            && sources(&counts) >= usize::from(self.requirement.distinct)
            && together >= floor
    }

    fn is_met(&self, subset: u32) -> bool {
        let corroboration = self.corroboration(subset);
        let groups: BTreeSet<usize> = self
            .seen
            .iter()
            .filter(|s| {
                s.refused.is_empty() && has(subset, s.number) && self.reaches_floors(s, corroboration)
            })
            .map(|s| s.group)
            .collect();
        groups.len() >= usize::from(self.requirement.distinct)
    }
}

fn has(subset: u32, number: usize) -> bool {
    subset >> number & 1 == 1
}

fn holds(rule: &Rule, met: &dyn Fn(&str) -> bool) -> bool {
    match rule {
        Rule::Requirement(name) => met(name),
        Rule::All { all } => all.iter().all(|part| holds(part, met)),
        Rule::Any { any } => any.iter().any(|part| holds(part, met)),
        Rule::AtLeast { at_least, of } => {
            of.iter().filter(|part| holds(part, met)).count() >= usize::from(*at_least)
        }
    }
}

fn composed(composition: &Composition, profiles: &[&Profile], met: &dyn Fn(&str, &str) -> bool) -> bool {
    let admits = |profile: &&&Profile| holds(&profile.rule, &|name| met(&profile.id, name));
    match composition {
        Composition::Intersection | Composition::Hierarchical { .. } => profiles.iter().all(|p| admits(&p)),
        Composition::Weighted { weights, threshold } => {
            let sum: u32 = profiles.iter().filter(admits).map(|p| weights.get(&p.id).unwrap_or(&0)).sum();
            sum >= *threshold
        }
    }
}

/// The subsets of `count` things that hold and of which no proper subset does.
fn minimal(count: usize, holds: impl Fn(u32) -> bool) -> Vec<u32> {
    // Whether a subset, or one of its subsets, holds.
    let mut within = vec![false; 1 << count];
    let mut found = Vec::new();
    for subset in 0..1u32 << count {
        let is_smaller_enough = (0..count).any(|n| has(subset, n) && within[(subset & !(1 << n)) as usize]);
        let is_enough = holds(subset);
        within[subset as usize] = is_smaller_enough || is_enough;
        if is_enough && !is_smaller_enough {
            found.push(subset);
        }
    }
    found
}

/// The verdict on a case to which at least one profile applies; none when none does.
pub(crate) fn expected(case: &Case) -> Option<Expected> {
    let profiles: Vec<&Profile> = case
        .profiles
        .iter()
        .map(|declared| &declared.profile)
        .filter(|profile| profile.actions.iter().any(|pattern| matches(pattern, &case.request.action)))
        .collect();
    if profiles.is_empty() {
        return None;
    }
    let asked: BTreeMap<Name, Asked<'_>> = profiles
        .iter()
        .flat_map(|profile| {
            profile.requirements.iter().map(move |(name, requirement)| (profile, name, requirement))
        })
        .map(|(profile, name, requirement)| {
            let seen = seen(case, profile, requirement);
            ((profile.id.clone(), name.clone()), Asked { requirement, seen })
        })
        .collect();
    let everything = (1u32 << case.evidence.len()) - 1;
    let admitted_by = |subset: u32| {
        let met: BTreeSet<&Name> =
            asked.iter().filter(|(_, asked)| asked.is_met(subset)).map(|(name, _)| name).collect();
        composed(&case.composition, &profiles, &|profile, name| met.contains(&(profile.into(), name.into())))
    };
    let requirements: BTreeMap<Name, RequirementState> =
        asked.iter().map(|(name, asked)| (name.clone(), state(case, asked, everything))).collect();
    let at = |profile: &str, name: &str| requirements[&(profile.into(), name.into())];
    let vetoed = |profile: &Profile| case.findings.iter().any(|f| profile.vetoes.contains(&f.kind));
    let outcome = |profile: &&Profile| {
        let met = |name: &str| at(&profile.id, name) == RequirementState::Met;
        let perhaps = |name: &str| at(&profile.id, name) != RequirementState::Unmet;
        let outcome = match () {
            () if vetoed(profile) => Outcome::Vetoed,
            () if holds(&profile.rule, &met) => Outcome::Admitted,
            () if holds(&profile.rule, &perhaps) => Outcome::Unknown,
            () => Outcome::Unmet,
        };
        (profile.id.clone(), outcome)
    };
    let outcomes: BTreeMap<String, Outcome> = profiles.iter().map(outcome).collect();

    let is_vetoed = profiles.iter().any(|profile| vetoed(profile));
    let is_admitted = !is_vetoed && admitted_by(everything);
    let mut expected = Expected {
        mode: Mode::Defer,
        profiles: outcomes,
        considered: considered(&asked, everything),
        requirements: requirements.clone(),
        necessary: BTreeSet::new(),
        sufficient: BTreeSet::new(),
        missing: BTreeSet::new(),
        weight: None,
        withheld: BTreeSet::from(["north".to_owned(), "south".to_owned()]),
    };
    if is_vetoed {
        expected.mode = Mode::Refuse;
    } else if is_admitted {
        // The only limit in use leaves `north` and withholds `south`.
        let is_limited = profiles
            .iter()
            .any(|p| p.limits.iter().any(|limit| at(&p.id, &limit.unless) != RequirementState::Met));
        let is_unknown = profiles
            .iter()
            .any(|p| p.limits.iter().any(|limit| at(&p.id, &limit.unless) == RequirementState::Unknown));
        let cannot_be_undone = case.request.reversibility == Reversibility::Irreversible;
        if is_unknown && cannot_be_undone {
            expected.mode = Mode::Defer;
            let lifting =
                profiles.iter().flat_map(|p| p.limits.iter().map(|l| (p.id.clone(), l.unless.clone())));
            let open = lifting.filter(|(profile, name)| at(profile, name) == RequirementState::Unknown);
            expected.missing = BTreeSet::from([open.collect()]);
        } else {
            expected.mode = if is_limited { Mode::Partial } else { Mode::Continue };
            expected.withheld = is_limited.then(|| "south".to_owned()).into_iter().collect();
            explain_admitted(case, &mut expected, &asked, &admitted_by);
        }
    } else {
        let refuses =
            |profile: &Profile| profile.missing.get(&case.request.reversibility) == Some(&Mode::Refuse);
        if profiles.iter().any(|p| expected.profiles[&p.id] != Outcome::Admitted && refuses(p)) {
            expected.mode = Mode::Refuse;
        }
        let open: Vec<&Name> =
            requirements.iter().filter(|(_, s)| **s != RequirementState::Met).map(|(name, _)| name).collect();
        let turned = |subset: u32| {
            composed(&case.composition, &profiles, &|profile, name| {
                let number = open.iter().position(|open| open.0 == profile && open.1 == name);
                number.is_none_or(|number| has(subset, number))
            })
        };
        let named = |subset: u32| {
            let inside = open.iter().enumerate().filter(|(n, _)| has(subset, *n));
            inside.map(|(_, name)| (*name).clone()).collect()
        };
        expected.missing = minimal(open.len(), turned).into_iter().map(named).collect();
    }
    Some(expected)
}

fn explain_admitted(
    case: &Case,
    expected: &mut Expected,
    asked: &BTreeMap<Name, Asked<'_>>,
    admitted_by: &dyn Fn(u32) -> bool,
) {
    let of = |authority: AuthorityId| {
        let numbered = case.evidence.iter().enumerate();
        numbered.filter(|(_, e)| e.authority == authority).fold(0u32, |set, (n, _)| set | 1 << n)
    };
    let everything = (1u32 << case.evidence.len()) - 1;
    expected.necessary = case
        .evidence
        .iter()
        .map(|item| item.authority)
        .filter(|authority| !admitted_by(everything & !of(*authority)))
        .collect();
    let statements = |subset: u32| {
        let inside = case.evidence.iter().enumerate().filter(|(n, _)| has(subset, *n));
        inside.map(|(_, item)| item.statement).collect()
    };
    expected.sufficient = minimal(case.evidence.len(), admitted_by).into_iter().map(statements).collect();
    let accepted = |all: bool| {
        let rows = asked.iter().flat_map(|(name, asked)| asked.seen.iter().map(move |seen| (name, seen)));
        rows.filter(|(_, seen)| all || expected.necessary.contains(&seen.authority))
            .map(|(name, seen)| &expected.considered[&(name.clone(), seen.statement)])
            .filter(|(_, refused)| refused.is_empty())
            .map(|(weight, _)| weight.clone())
            .reduce(|a, b| {
                a.iter().map(|(dimension, value)| (*dimension, *value.min(&b[dimension]))).collect()
            })
    };
    expected.weight = accepted(false).or_else(|| accepted(true));
}

fn state(case: &Case, asked: &Asked<'_>, everything: u32) -> RequirementState {
    let cannot_be_relied_on = |seen: &Seen| {
        !seen.refused.is_empty() && seen.refused.iter().all(|code| code.starts_with("unknown-"))
    };
    if asked.is_met(everything) {
        RequirementState::Met
    } else if asked.seen.iter().any(cannot_be_relied_on) || asked.is_met_by_silence(case, everything) {
        RequirementState::Unknown
    } else {
        RequirementState::Unmet
    }
}

fn considered(
    asked: &BTreeMap<Name, Asked<'_>>,
    everything: u32,
) -> BTreeMap<(Name, StatementId), (Parts, BTreeSet<&'static str>)> {
    let mut table = BTreeMap::new();
    for (name, asked) in asked {
        for seen in &asked.seen {
            let (mut weight, mut refused) = (seen.weight.clone(), seen.refused.clone());
            // What is refused corroborates nothing, and stands by itself.
            let corroboration = if refused.is_empty() { asked.corroboration(everything) } else { 500_000 };
            weight.insert(Dimension::Corroboration, corroboration);
            if refused.is_empty() && !asked.reaches_floors(seen, corroboration) {
                refused.insert("weight-floor");
            }
            table.insert((name.clone(), seen.statement), (weight, refused));
        }
    }
    table
}

/// The evidence that a requirement looks at.
fn seen(case: &Case, profile: &Profile, requirement: &Requirement) -> Vec<Seen> {
    let asks_for = |item: &Evidence| {
        requirement.claims.iter().any(|pattern| matches(pattern, &item.observation.claim))
            && match (&requirement.reached, &item.relation) {
                (None, Relation::Itself) => true,
                (Some(reach), Relation::Reached(path)) => {
                    path.len() <= usize::from(reach.depth)
                        && path.iter().all(|edge| reach.edges.contains(edge))
                }
                _ => false,
            }
    };
    let mut seen: Vec<(Seen, &Evidence)> = case
        .evidence
        .iter()
        .enumerate()
        .filter(|(_, item)| asks_for(item))
        .map(|(number, item)| {
            let refused = refusals(case, requirement, item);
            let (statement, authority) = (item.statement, item.authority);
            (
                Seen { number, statement, authority, weight: weight(case, profile, item), refused, group: 0 },
                item,
            )
        })
        .collect();
    // Independent sources: start with each by itself, and join two as long as something ties them.
    let names = |item: &Evidence| {
        let parent = item.parent.clone();
        BTreeSet::from_iter([item.organisation.to_string()].into_iter().chain(parent))
    };
    let document = |item: &Evidence| item.observation.source.as_ref().map(|source| source.document);
    seen.iter_mut().enumerate().for_each(|(n, (seen, _))| seen.group = n);
    let tied = |a: &Evidence, b: &Evidence| {
        !names(a).is_disjoint(&names(b)) || (document(a).is_some() && document(a) == document(b))
    };
    for a in 0..seen.len() {
        for b in 0..a {
            if seen[a].0.refused.is_empty() && seen[b].0.refused.is_empty() && tied(seen[a].1, seen[b].1) {
                let (from, to) = (seen[a].0.group, seen[b].0.group);
                seen.iter_mut().filter(|(s, _)| s.group == from).for_each(|(s, _)| s.group = to);
            }
        }
    }
    seen.into_iter().map(|(seen, _)| seen).collect()
}

fn refusals(case: &Case, requirement: &Requirement, item: &Evidence) -> BTreeSet<&'static str> {
    let observation = &item.observation;
    let age_days = case.time.0.saturating_sub(observation.effective.0) / 86_400;
    let withdrawn = case.findings.iter().any(|f| {
        [FindingKind::Recall, FindingKind::Fork].contains(&f.kind) && f.evidence.contains(&item.statement)
    });
    let expression = requirement.expression.as_ref().is_none_or(|text| expression(text, item, age_days));
    let is_role = requirement.roles.is_empty() || requirement.roles.iter().any(|p| matches(p, &item.role));
    [
        (
            "organisation",
            !requirement.organisations.is_empty() && !requirement.organisations.contains(&item.organisation),
        ),
        ("role", !is_role),
        ("kind", !requirement.kinds.is_empty() && !requirement.kinds.contains(&item.kind)),
        ("unrecognised", !requirement.unrecognised && item.recognition == RecognitionStanding::Unrecognised),
        ("unknown-standing", item.standing == Standing::Unknown),
        ("standing", !matches!(item.standing, Standing::InForce | Standing::Unknown)),
        ("unknown-freshness", item.freshness != Freshness::Fresh),
        ("recalled", withdrawn),
        ("adverse", observation.adverse),
        ("not-yet-effective", observation.effective > case.time),
        ("expired", observation.expires.is_some_and(|expires| expires < case.time)),
        ("too-old", requirement.max_age_days.is_some_and(|max| age_days > u64::from(max))),
        ("expression", !expression),
    ]
    .into_iter()
    .filter_map(|(code, is_so)| is_so.then_some(code))
    .collect()
}

/// What each expression in use means.
fn expression(text: &str, item: &Evidence, age_days: u64) -> bool {
    let observation = &item.observation;
    let score = observation.metrics.iter().find(|metric| metric.name == "score");
    match EXPRESSIONS.iter().position(|known| *known == text).unwrap() {
        0 => observation.content["grade"] >= Value::Integer(2.into()),
        1 => score.is_some_and(|score| score.ppm >= 500_000) || observation.claim == "audit/b",
        2 => age_days < 10 && !observation.adverse,
        // A field that is not there, and a result that is not boolean, satisfy nothing.
        _ => false,
    }
}

/// The weight of a piece of evidence by itself.
fn weight(case: &Case, profile: &Profile, item: &Evidence) -> Parts {
    let observation = &item.observation;
    let quality = observation.metrics.iter().filter_map(|metric| {
        let rubric = profile.quality.get(&metric.name)?;
        let (floor, target, value) = (rubric.floor, rubric.target, metric.ppm);
        let parts = match target - floor {
            0 => i64::from(value >= target) * 1_000_000,
            span => ((value - floor) * 1_000_000 / span).clamp(0, 1_000_000),
        };
        Some(parts as u32)
    });
    let signed = match (item.recognition, item.receipt) {
        (RecognitionStanding::Unrecognised, _) => 200_000,
        (_, ReceiptStanding::None) => 500_000,
        (_, ReceiptStanding::Receipted) => 800_000,
        (_, ReceiptStanding::Witnessed { .. }) => 1_000_000,
    };
    let document = match observation.source.as_ref().map(|source| source.signature) {
        None | Some(SourceSignature::VerifiedAndLogged) => 1_000_000,
        Some(SourceSignature::Verified) => 950_000,
        Some(SourceSignature::Unverified) => 650_000,
        Some(SourceSignature::Unsigned) => 600_000,
    };
    let half_life_days = profile
        .half_life_days
        .iter()
        .find(|(p, _)| matches(p, &observation.claim))
        .map_or(365, |(_, days)| *days);
    let base: u32 = match item.kind {
        AuthorityKind::HumanRole | AuthorityKind::ExternalBody => 1_000_000,
        AuthorityKind::Service | AuthorityKind::Sensor => 800_000,
        AuthorityKind::Model => 600_000,
    };
    let authority = if item.standing == Standing::InForce {
        base / 10 * 10u32.saturating_sub(item.depth.into())
    } else {
        0
    };
    let age_days = case.time.0.saturating_sub(observation.effective.0) / 86_400;
    BTreeMap::from([
        (Dimension::Quality, quality.min().unwrap_or(1_000_000)),
        (Dimension::Provenance, signed.min(document)),
        (Dimension::Recency, crate::half_life::exact(age_days, u64::from(half_life_days))),
        (Dimension::Authority, item.crossing.authority_cap.map_or(authority, |cap| authority.min(cap.get()))),
        (Dimension::Corroboration, 500_000),
    ])
}
