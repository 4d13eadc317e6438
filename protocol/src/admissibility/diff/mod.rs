//! Is one profile stronger than another? Exact where it answers, with a situation that shows the difference.
//!
//! ```text
//! requirement by requirement: does what shows this one always show that one?      [`implies`]
//! rule by rule: under those implications, does one rule follow from the other?    decision diagram
//! if not: a situation that one admits and the other does not                      [`witness`]
//! replayed through the evaluator: only what it confirms is a counterexample
//! ```
//!
//! What is proven holds for every situation, and a counterexample is one that was evaluated. Where neither is found, as
//! with expressions that cannot be compared, the answer is that it is undecided, and why.

mod implies;
mod witness;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::witness::Witnesses;
use super::evaluate::{Case, DeclaredProfile, evaluate};
use super::evidence::{Evidence, Finding, FindingKind, ReceiptStanding, RecognitionStanding, Relation};
use super::profile::{Composition, Profile, Rule};
use super::structure::Tree;
use crate::actuation::{Mode, Request, Reversibility};
use crate::codec::Value;
use crate::identity::credential::pattern_matches;
use crate::ids::{OrganisationId, StatementId};
use crate::observation::Subject;

/// How one profile relates to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileRelation {
    /// It admits less: whatever it admits, the other admits, and not the other way round.
    Stronger,
    /// It admits more.
    Weaker,
    /// Both admit the same.
    Equivalent,
    /// Each admits something that the other does not.
    Incomparable,
    /// It could not be found out.
    Undecided,
}

/// Whether whatever one profile admits is admitted by the other.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Always.
    Yes,
    /// Not here.
    No(Box<Counterexample>),
    /// Neither was found; why.
    Undecided(Vec<String>),
}

/// A situation that one profile admits and the other does not.
#[derive(Debug, Clone)]
pub struct Counterexample {
    /// What is asked.
    pub request: Request,
    /// What there is.
    pub evidence: Vec<Evidence>,
    /// What speaks against it.
    pub findings: Vec<Finding>,
    /// What the profile that does not admit says; none where it does not even apply, and so lets everything pass.
    pub refused_with: Option<Mode>,
    /// Why, in words.
    pub reasons: Vec<String>,
}

impl Counterexample {
    /// The situation in words, a line for each thing.
    pub fn lines(&self) -> Vec<String> {
        let mut organisations: Vec<OrganisationId> = Vec::new();
        let mut lines = vec![format!("asked: {}", self.request.action)];
        for (dimension, values) in &self.request.scopes {
            lines.push(format!("scope {dimension}: {}", values.join(", ")));
        }
        for item in &self.evidence {
            let known = organisations.iter().position(|one| *one == item.organisation);
            let number = known.unwrap_or_else(|| {
                organisations.push(item.organisation);
                organisations.len() - 1
            });
            lines.push(described(item, number + 1));
        }
        lines.extend(self.findings.iter().map(|finding| format!("finding: {}", finding.kind.name())));
        if self.evidence.is_empty() {
            lines.push("no evidence at all".into());
        }
        lines
    }
}

fn described(item: &Evidence, organisation: usize) -> String {
    let observation = &item.observation;
    let days = witness::NOW.since(observation.effective) / 86_400;
    let mut text = format!(
        "{} by {} ({:?}, {} levels below the root) of organisation {organisation}, {days} days old",
        observation.claim, item.role, item.kind, item.depth
    );
    if item.recognition == RecognitionStanding::Unrecognised {
        text.push_str(", not recognised");
    }
    if let Relation::Reached(path) = &item.relation {
        text.push_str(&format!(", reached over {} edges {:?}", path.len(), path.first()));
    }
    match item.receipt {
        ReceiptStanding::None => text.push_str(", without receipt"),
        ReceiptStanding::Receipted => text.push_str(", receipted"),
        ReceiptStanding::Witnessed { .. } => text.push_str(", witnessed"),
    }
    if let Some(source) = &observation.source {
        text.push_str(&format!(", document {:?}", source.signature).to_lowercase());
    }
    for metric in &observation.metrics {
        text.push_str(&format!(", {} {} ppm", metric.name, metric.ppm));
    }
    for (name, value) in &observation.content {
        text.push_str(&format!(", {name} = {}", spelled(value)));
    }
    text
}

fn spelled(value: &Value) -> String {
    match value {
        Value::Integer(n) => i128::from(*n).to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Bool(flag) => flag.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(spelled).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let each = entries.iter().map(|(key, value)| format!("{} = {}", spelled(key), spelled(value)));
            format!("{{{}}}", each.collect::<Vec<_>>().join(", "))
        }
        _ => "?".into(),
    }
}

/// How two profiles relate.
#[derive(Debug, Clone)]
pub struct ProfileDiff {
    /// The first, seen from the second.
    pub relation: ProfileRelation,
    /// Whether whatever the first admits is admitted by the second.
    pub first_implies_second: Answer,
    /// Whether whatever the second admits is admitted by the first.
    pub second_implies_first: Answer,
    /// Differences that change no admission.
    pub notes: Vec<String>,
}

/// Compares two profiles.
pub fn diff(first: &Profile, second: &Profile) -> ProfileDiff {
    let forth = implied(first, second);
    let back = implied(second, first);
    let relation = match (&forth, &back) {
        (Answer::Yes, Answer::Yes) => ProfileRelation::Equivalent,
        (Answer::Yes, Answer::No(_)) => ProfileRelation::Stronger,
        (Answer::No(_), Answer::Yes) => ProfileRelation::Weaker,
        (Answer::No(_), Answer::No(_)) => ProfileRelation::Incomparable,
        _ => ProfileRelation::Undecided,
    };
    let mut notes = Vec::new();
    for reversibility in [Reversibility::Reversible, Reversibility::Compensable, Reversibility::Irreversible]
    {
        let way = |profile: &Profile| profile.missing.get(&reversibility).copied().unwrap_or(Mode::Defer);
        if way(first) != way(second) {
            notes.push(format!(
                "when something is missing about what is {}, the first says {}, the second {}",
                reversibility.name(),
                way(first),
                way(second)
            ));
        }
    }
    ProfileDiff { relation, first_implies_second: forth, second_implies_first: back, notes }
}

/// Whether a profile lets a situation pass: it admits it, or does not apply to it. With what it says otherwise.
pub fn passes(profile: &Profile, situation: &Counterexample) -> Result<(), (Option<Mode>, Vec<String>)> {
    if !profile.applies_to(&situation.request) {
        return Ok(());
    }
    let case = Case {
        request: situation.request.clone(),
        time: witness::NOW,
        profiles: vec![DeclaredProfile {
            declared_by: StatementId::from_bytes([1; 32]),
            profile: profile.clone(),
        }],
        composition: Composition::Intersection,
        evidence: situation.evidence.clone(),
        findings: situation.findings.clone(),
        unheard: Default::default(),
        governance: Default::default(),
    };
    match evaluate(&case) {
        Ok(verdict) if matches!(verdict.mode, Mode::Continue | Mode::Partial) => Ok(()),
        Ok(verdict) => Err((
            Some(verdict.mode),
            verdict.reasons.into_iter().map(|reason| reason.text.into_owned()).collect(),
        )),
        Err(error) => Err((None, vec![error.to_string()])),
    }
}

/// The situation, if `admits` lets it pass and `refuses` does not.
fn confirmed(
    admits: &Profile,
    refuses: &Profile,
    mut situation: Counterexample,
) -> Option<Box<Counterexample>> {
    passes(admits, &situation).ok()?;
    let (mode, reasons) = passes(refuses, &situation).err()?;
    situation.refused_with = mode;
    situation.reasons = reasons;
    Some(Box::new(situation))
}

/// A value of a scope, or none, that is asked for by itself: what limits a profile is seen one value at a time.
type Point = Option<(String, String)>;

fn implied(from: &Profile, to: &Profile) -> Answer {
    let actions = sample_actions(from, to);
    let applies =
        |profile: &Profile, action: &str| profile.actions.iter().any(|p| pattern_matches(p, action));
    for action in &actions {
        if applies(to, action) && !applies(from, action) {
            let nothing = situation(action, &None, Vec::new(), Vec::new());
            if let Some(found) = confirmed(from, to, nothing) {
                return Answer::No(found);
            }
        }
    }
    let Some(action) = actions.iter().find(|action| applies(from, action) && applies(to, action)) else {
        return Answer::Yes;
    };
    let (pairs, witnesses) = (implies::pairs(from, to), OnceCell::new());
    let comparison = Comparison { from, to, action, pairs, witnesses };
    let mut undecided = Vec::new();
    if let Some(kind) = to.vetoes.difference(&from.vetoes).next() {
        match comparison.satisfied_but_for(*kind) {
            Some(found) => return Answer::No(found),
            None => undecided
                .push(format!("no situation was found in which only the veto {} differs", kind.name())),
        }
    }
    for point in points(from, to) {
        match comparison.at(&point) {
            Answer::Yes => {}
            Answer::No(found) => return Answer::No(found),
            Answer::Undecided(why) => undecided.extend(why),
        }
    }
    undecided.sort();
    undecided.dedup();
    if undecided.is_empty() { Answer::Yes } else { Answer::Undecided(undecided) }
}

/// An action for each combination of the patterns that can match together.
fn sample_actions(a: &Profile, b: &Profile) -> BTreeSet<String> {
    a.actions.iter().chain(&b.actions).map(|pattern| witness::sample(pattern)).collect()
}

/// Every value that a limit of either names, one that none names, and no scope at all.
fn points(a: &Profile, b: &Profile) -> BTreeSet<Point> {
    let mut points = BTreeSet::from([None]);
    for limit in a.limits.iter().chain(&b.limits) {
        let values = limit.allow.iter().cloned().chain(["anything else".to_owned()]);
        points.extend(values.map(|value| Some((limit.dimension.clone(), value))));
    }
    points
}

fn situation(action: &str, point: &Point, evidence: Vec<Evidence>, findings: Vec<Finding>) -> Counterexample {
    let scopes: BTreeMap<String, Vec<String>> =
        point.iter().map(|(dimension, value)| (dimension.clone(), vec![value.clone()])).collect();
    let request = Request {
        action: action.to_owned(),
        subjects: vec![Subject::Named("subject".into())],
        actuator: "actuator".into(),
        scopes,
        predicted: BTreeMap::new(),
        reversibility: Reversibility::Reversible,
        harm: Vec::new(),
        purpose: String::new(),
    };
    Counterexample { request, evidence, findings, refused_with: None, reasons: Vec::new() }
}

/// What a profile asks for at a point, over its requirements by number.
fn asked(profile: &Profile, point: &Point, leaf: &impl Fn(&str) -> Tree) -> Tree {
    let limits = profile.limits.iter().filter(|limit| {
        point
            .as_ref()
            .is_some_and(|(dimension, value)| limit.dimension == *dimension && !limit.allow.contains(value))
    });
    let lifted = limits.map(|limit| leaf(&limit.unless));
    Tree::all(std::iter::once(rule(&profile.rule, leaf)).chain(lifted))
}

fn rule(of: &Rule, leaf: &impl Fn(&str) -> Tree) -> Tree {
    match of {
        Rule::Requirement(name) => leaf(name),
        Rule::All { all } => Tree::all(all.iter().map(|part| rule(part, leaf))),
        Rule::Any { any } => Tree::at_least(1, any.iter().map(|part| rule(part, leaf))),
        Rule::AtLeast { at_least, of } => {
            Tree::at_least(u64::from(*at_least), of.iter().map(|part| rule(part, leaf)))
        }
    }
}

struct Comparison<'a> {
    from: &'a Profile,
    to: &'a Profile,
    action: &'a str,
    /// For each requirement of `to` those of `from` that imply it, and why others do not.
    pairs: implies::Pairs,
    /// Made when something is to be shown for the first time.
    witnesses: OnceCell<Witnesses<'a>>,
}

impl<'a> Comparison<'a> {
    fn witnesses(&self) -> &Witnesses<'a> {
        self.witnesses.get_or_init(|| Witnesses::new(self.from, self.to))
    }

    fn at(&self, point: &Point) -> Answer {
        let names: Vec<&String> = self.from.requirements.keys().collect();
        let number = |name: &str| names.iter().position(|known| *known == name);
        let left = asked(self.from, point, &|name| number(name).map_or(Tree::False, Tree::Leaf));
        let right = asked(self.to, point, &|name| {
            let implying = self.pairs.implying(name);
            Tree::at_least(1, implying.into_iter().filter_map(number).map(Tree::Leaf))
        });
        let gap = match left.beyond(&right) {
            Ok(None) => return Answer::Yes,
            Ok(Some(gap)) => gap,
            Err(_) => return Answer::Undecided(vec!["the rules are too large to be compared".into()]),
        };
        let minimal = left.minimal_sets().sets;
        for set in std::iter::once(&gap).chain(&minimal) {
            let wanted: Vec<&str> =
                set.iter().filter_map(|n| names.get(*n)).map(|name| name.as_str()).collect();
            for evidence in self.witnesses().situations(&wanted) {
                let situation = situation(self.action, point, evidence, Vec::new());
                if let Some(found) = confirmed(self.from, self.to, situation) {
                    return Answer::No(Box::new(self.smaller(*found)));
                }
            }
        }
        Answer::Undecided(self.pairs.doubts())
    }

    /// A situation that `from` admits, and would not if it had the veto.
    fn satisfied_but_for(&self, kind: FindingKind) -> Option<Box<Counterexample>> {
        let names: Vec<&String> = self.from.requirements.keys().collect();
        let number = |name: &str| names.iter().position(|known| *known == name);
        let left = asked(self.from, &None, &|name| number(name).map_or(Tree::False, Tree::Leaf));
        for set in left.minimal_sets().sets {
            let wanted: Vec<&str> =
                set.iter().filter_map(|n| names.get(*n)).map(|name| name.as_str()).collect();
            for evidence in self.witnesses().situations(&wanted) {
                let finding = Finding {
                    kind,
                    organisation: OrganisationId::from_bytes([2; 32]),
                    statement: None,
                    evidence: Vec::new(),
                    subjects: Vec::new(),
                    reason: "supposed".into(),
                };
                let situation = situation(self.action, &None, evidence, vec![finding]);
                if let Some(found) = confirmed(self.from, self.to, situation) {
                    return Some(found);
                }
            }
        }
        None
    }

    /// The same without what it does not need.
    fn smaller(&self, mut found: Counterexample) -> Counterexample {
        let mut index = 0;
        while index < found.evidence.len() {
            let mut fewer = found.clone();
            fewer.evidence.remove(index);
            match confirmed(self.from, self.to, fewer) {
                Some(fewer) => found = *fewer,
                None => index += 1,
            }
        }
        found
    }
}
