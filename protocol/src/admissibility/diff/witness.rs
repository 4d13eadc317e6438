//! Situations that satisfy requirements of one profile with as little as possible, so that another refuses them.
//!
//! For each requirement there are a few pieces of evidence that just show it: the oldest, least proven, least
//! authoritative, of the worst quality that it accepts, with contents for which its expression holds and others' do
//! not. Of those, the ones are kept that the other profile's requirements accept least of.

use std::collections::{BTreeMap, BTreeSet};

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};

use super::super::evaluate::{Case, DeclaredProfile, evaluate};
use super::super::evidence::{Crossing, Evidence, Freshness, ReceiptStanding, RecognitionStanding, Relation};
use super::super::expression::Expression;
use super::super::profile::{Composition, Profile, Requirement, Rule};
use super::super::verdict::RequirementState;
use super::implies::{comparison, oldest};
use crate::codec::Value;
use crate::digest::blake3;
use crate::identity::credential::{pattern_covers, pattern_matches};
use crate::identity::{AuthorityKind, Standing};
use crate::ids::{AuthorityId, BlobId, OrganisationId, Position, StatementId, Timestamp};
use crate::limits::EVIDENCE_MAX;
use crate::observation::{Metric, Observation, Source, SourceSignature, Subject};
use crate::weighting::corroboration::sources_for;
use crate::weighting::{Dimension, Ppm, Rubric};

/// When situations take place.
pub(super) const NOW: Timestamp = Timestamp(4_000_000_000);
/// Pieces of evidence that are tried for one requirement.
const TRIED_MAX: usize = 96;
/// Of those, how many are kept.
const KEPT_MAX: usize = 4;
/// Contents that are tried for one expression.
const CONTENTS_MAX: usize = 256;
/// Of those, how many are kept.
const CONTENTS_KEPT_MAX: usize = 6;
/// Combinations of pieces of evidence for one set of requirements.
const COMBINATIONS_MAX: usize = 16;
/// An age that is greater than any that a requirement asks for, in seconds.
const ANCIENT_S: u64 = 100 * 365 * 86_400;

const KINDS: [AuthorityKind; 5] = [
    AuthorityKind::Model,
    AuthorityKind::Service,
    AuthorityKind::Sensor,
    AuthorityKind::HumanRole,
    AuthorityKind::ExternalBody,
];

/// A text that a pattern matches, and a longer pattern does not.
pub(super) fn sample(pattern: &str) -> String {
    pattern.strip_suffix('*').map_or_else(|| pattern.to_owned(), |beginning| format!("{beginning}other"))
}

/// Evidence that just shows each requirement of one profile, by the requirement's name.
pub(super) struct Witnesses<'a> {
    from: &'a Profile,
    options: BTreeMap<&'a str, Vec<Evidence>>,
}

impl<'a> Witnesses<'a> {
    pub(super) fn new(from: &'a Profile, to: &Profile) -> Self {
        let options = from.requirements.iter().map(|(name, wanted)| {
            let tried = tried(from, wanted, to);
            (name.as_str(), least(from, name, to, tried))
        });
        Self { from, options: options.collect() }
    }

    /// Situations in which these requirements are shown, the most frugal first.
    pub(super) fn situations(&self, wanted: &[&str]) -> Vec<Vec<Evidence>> {
        let mut asked = Vec::new();
        for name in wanted {
            let (Some(requirement), Some(options)) =
                (self.from.requirements.get(*name), self.options.get(name))
            else {
                return Vec::new();
            };
            let floor = requirement.floors.get(&Dimension::Corroboration).copied().unwrap_or(Ppm::ZERO);
            let Some(need) = sources_for(floor) else { return Vec::new() };
            if options.is_empty() {
                return Vec::new();
            }
            asked.push((requirement, options, need.max(usize::from(requirement.distinct))));
        }
        if asked.iter().map(|(.., need)| need).sum::<usize>() > EVIDENCE_MAX {
            return Vec::new();
        }
        let combinations = asked
            .iter()
            .fold(1usize, |product, (_, options, _)| product.saturating_mul(options.len()))
            .min(COMBINATIONS_MAX);
        let mut found = Vec::new();
        for combination in 0..combinations {
            for (is_spread, is_varied) in [(false, false), (false, true), (true, false), (true, true)] {
                found.push(assemble(&asked, combination, is_spread, is_varied));
            }
        }
        found
    }
}

/// As many sources for each requirement as it needs, from the same organisations or from others for each.
fn assemble(
    asked: &[(&Requirement, &Vec<Evidence>, usize)],
    combination: usize,
    is_spread: bool,
    is_varied: bool,
) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    let mut rest = combination;
    for (number, (requirement, options, need)) in asked.iter().enumerate() {
        let choice = rest % options.len();
        rest /= options.len();
        for source in 0..*need {
            let shift = if is_varied { source } else { 0 };
            let Some(option) = options.get((choice + shift) % options.len()) else { continue };
            let mut item = option.clone();
            let label = format!("{number} {source}");
            item.statement = StatementId::from_bytes(blake3(format!("statement {label}").as_bytes()));
            let from = if is_spread { label } else { source.to_string() };
            let fresh = OrganisationId::from_bytes(blake3(format!("organisation {from}").as_bytes()));
            item.organisation = match requirement.organisations.as_slice() {
                [] => fresh,
                // The first source keeps whom it was chosen for.
                _ if source == 0 => item.organisation,
                listed => {
                    let first = listed.iter().position(|one| *one == item.organisation).unwrap_or(0);
                    listed.get((first + source) % listed.len()).copied().unwrap_or(fresh)
                }
            };
            let signer = format!("{} {}", item.organisation, item.role);
            item.authority = AuthorityId::from_bytes(blake3(signer.as_bytes()));
            if let Some(document) = &mut item.observation.source {
                document.document = BlobId::from_bytes(*item.statement.as_bytes());
            }
            evidence.push(item);
        }
    }
    evidence
}

/// Of what shows the requirement, what the other profile's requirements accept least of.
fn least(from: &Profile, name: &str, to: &Profile, tried: Vec<Evidence>) -> Vec<Evidence> {
    let (own, other) = (alone(from), alone(to));
    let mut found: Vec<(BTreeSet<String>, Evidence)> = Vec::new();
    for item in tried {
        if !shown(&own, &item).contains(name) {
            continue;
        }
        let accepted = shown(&other, &item);
        if found.iter().any(|(fewer, _)| fewer.is_subset(&accepted)) {
            continue;
        }
        found.retain(|(more, _)| !accepted.is_subset(more));
        found.push((accepted, item));
    }
    found.sort_by_key(|(accepted, _)| accepted.len());
    found.into_iter().take(KEPT_MAX).map(|(_, item)| item).collect()
}

/// The profile with each requirement by itself: for any action, and shown by one source.
fn alone(profile: &Profile) -> Profile {
    let mut alone = profile.clone();
    alone.actions = vec!["*".into()];
    alone.vetoes.clear();
    alone.limits.clear();
    for requirement in alone.requirements.values_mut() {
        requirement.distinct = 1;
        requirement.floors.remove(&Dimension::Corroboration);
    }
    alone
}

/// The requirements that one piece of evidence shows.
fn shown(alone: &Profile, item: &Evidence) -> BTreeSet<String> {
    let mut profile = alone.clone();
    let claim = &item.observation.claim;
    profile.requirements.retain(|_, r| r.claims.iter().any(|pattern| pattern_matches(pattern, claim)));
    let Some(first) = profile.requirements.keys().next().cloned() else { return BTreeSet::new() };
    profile.rule = Rule::Requirement(first);
    let case = Case {
        request: super::situation("other", &None, Vec::new(), Vec::new()).request,
        time: NOW,
        profiles: vec![DeclaredProfile { declared_by: StatementId::from_bytes([1; 32]), profile }],
        composition: Composition::Intersection,
        evidence: vec![item.clone()],
        findings: Vec::new(),
        unheard: Default::default(),
        governance: Default::default(),
    };
    let Ok(verdict) = evaluate(&case) else { return BTreeSet::new() };
    let all = verdict.profiles.into_iter().flat_map(|outcome| outcome.requirements);
    all.filter(|(_, r)| r.state == RequirementState::Met).map(|(name, _)| name).collect()
}

/// Pieces of evidence that may show a requirement, weak ones first.
fn tried(from: &Profile, wanted: &Requirement, to: &Profile) -> Vec<Evidence> {
    let floor = |dimension| wanted.floors.get(&dimension).copied().unwrap_or(Ppm::ZERO);
    let recognitions: &[bool] = if wanted.unrecognised { &[false, true] } else { &[true] };
    let kinds: &[AuthorityKind] = if wanted.kinds.is_empty() { &KINDS } else { &wanted.kinds };
    let organisations = if wanted.organisations.is_empty() {
        vec![OrganisationId::from_bytes([3; 32])]
    } else {
        wanted.organisations.clone()
    };
    let contents = contents(wanted, to);
    let claims = texts(&wanted.claims, all_patterns(from, to, |r| &r.claims), half_lives(from, to));
    let roles = texts(&wanted.roles, all_patterns(from, to, |r| &r.roles), Vec::new());
    let relations = relations(wanted);
    let metrics = [weak_metrics(from, to, floor(Dimension::Quality)), Vec::new()];
    // The number of each combination, digit by digit; what differs most between profiles changes first.
    let sizes = [contents.len(), metrics.len(), 2, claims.len(), roles.len(), kinds.len(), relations.len()];
    let sizes: Vec<usize> = sizes.into_iter().chain([recognitions.len(), organisations.len()]).collect();
    let all = sizes.iter().fold(1usize, |product, size| product.saturating_mul(*size)).min(TRIED_MAX);
    (0..all)
        .filter_map(|number| {
            let mut rest = number;
            let mut digits = sizes.iter().map(|size| {
                let digit = rest % size;
                rest /= size;
                digit
            });
            let (content, said) = contents.get(digits.next()?)?;
            let mut metrics = metrics.get(digits.next()?)?.clone();
            metrics.extend(said.iter().cloned());
            let is_old = digits.next()? == 0;
            let claim = claims.get(digits.next()?)?;
            let role = roles.get(digits.next()?)?.clone();
            let kind = *kinds.get(digits.next()?)?;
            let relation = relations.get(digits.next()?)?.clone();
            let is_recognised = *recognitions.get(digits.next()?)?;
            let organisation = *organisations.get(digits.next()?)?;
            let half_life_days = u32::try_from(from.half_life_s(claim) / 86_400).unwrap_or(u32::MAX);
            let age = if is_old { oldest(wanted, half_life_days).min(ANCIENT_S) } else { 0 };
            let (receipt, signature) = least_proven(is_recognised, floor(Dimension::Provenance))?;
            let recognition = StatementId::from_bytes([6; 32]);
            Some(Evidence {
                statement: StatementId::from_bytes([4; 32]),
                organisation,
                position: Position(1),
                authority: AuthorityId::from_bytes([5; 32]),
                kind,
                role,
                depth: deepest(kind, floor(Dimension::Authority))?,
                standing: Standing::InForce,
                observation: observation(claim, age, content, metrics, signature),
                relation,
                receipt,
                recognition: if is_recognised {
                    RecognitionStanding::Recognised(recognition)
                } else {
                    RecognitionStanding::Unrecognised
                },
                crossing: Crossing::default(),
                parent: None,
                freshness: Freshness::Fresh,
            })
        })
        .collect()
}

fn observation(
    claim: &str,
    age_s: u64,
    content: &BTreeMap<String, Value>,
    metrics: Vec<Metric>,
    signature: Option<SourceSignature>,
) -> Observation {
    Observation {
        claim: claim.to_owned(),
        subjects: vec![Subject::Named("subject".into())],
        effective: Timestamp(NOW.0.saturating_sub(age_s)),
        expires: None,
        adverse: false,
        content: content.clone(),
        sealed: Vec::new(),
        metrics,
        derived_from: Vec::new(),
        materials: Vec::new(),
        source: signature.map(|signature| Source {
            format: "supposed".into(),
            document: BlobId::from_bytes([7; 32]),
            signature,
            signer: None,
            witnessed: None,
            checks: Vec::new(),
        }),
    }
}

fn all_patterns<'p>(
    from: &'p Profile,
    to: &'p Profile,
    of: impl Fn(&'p Requirement) -> &'p Vec<String>,
) -> Vec<&'p String> {
    from.requirements.values().chain(to.requirements.values()).flat_map(of).collect()
}

fn half_lives<'p>(from: &'p Profile, to: &'p Profile) -> Vec<&'p String> {
    from.half_life_days.keys().chain(to.half_life_days.keys()).collect()
}

/// Texts that the wanted patterns match: one for each way in which the patterns of both profiles match together.
fn texts(wanted: &[String], others: Vec<&String>, more: Vec<&String>) -> Vec<String> {
    if wanted.is_empty() {
        // Any will do: one that nobody names first, then those that somebody does.
        let mut all = vec!["somebody".to_owned()];
        all.extend(others.into_iter().map(|pattern| sample(pattern)));
        all.dedup();
        return all;
    }
    let mut found: Vec<String> = wanted.iter().map(|pattern| sample(pattern)).collect();
    for pattern in others.into_iter().chain(more) {
        let text = sample(pattern);
        if !found.contains(&text) && wanted.iter().any(|pattern| pattern_matches(pattern, &text)) {
            found.push(text);
        }
    }
    found
}

fn relations(wanted: &Requirement) -> Vec<Relation> {
    let Some(reach) = &wanted.reached else { return vec![Relation::Itself] };
    let longest = usize::from(reach.depth);
    let mut found = Vec::new();
    for length in [longest, 1] {
        found.extend(reach.edges.iter().map(|edge| Relation::Reached(vec![*edge; length])));
    }
    found.dedup();
    found
}

/// The deepest delegation at which a kind of authority reaches a floor.
fn deepest(kind: AuthorityKind, floor: Ppm) -> Option<u8> {
    let base = match kind {
        AuthorityKind::HumanRole | AuthorityKind::ExternalBody => 1_000_000u32,
        AuthorityKind::Service | AuthorityKind::Sensor => 800_000,
        AuthorityKind::Model => 600_000,
    };
    (0..=10u8).rev().find(|depth| base.saturating_sub(base / 10 * u32::from(*depth)) >= floor.get())
}

/// The weakest proof of origin that reaches a floor.
fn least_proven(is_recognised: bool, floor: Ppm) -> Option<(ReceiptStanding, Option<SourceSignature>)> {
    let places = [
        (ReceiptStanding::None, 500_000u32),
        (ReceiptStanding::Receipted, 800_000),
        (ReceiptStanding::Witnessed { at: NOW }, 1_000_000),
    ];
    let documents = [
        (Some(SourceSignature::Unsigned), 600_000u32),
        (Some(SourceSignature::Unverified), 650_000),
        (Some(SourceSignature::Verified), 950_000),
        (None, 1_000_000),
    ];
    let all = places.iter().flat_map(|place| documents.iter().map(move |document| (place, document)));
    let value = |place: u32, document: u32| if is_recognised { place.min(document) } else { 200_000 };
    all.map(|((receipt, place), (signature, document))| (value(*place, *document), *receipt, *signature))
        .filter(|(value, ..)| *value >= floor.get())
        .min_by_key(|(value, ..)| *value)
        .map(|(_, receipt, signature)| (receipt, signature))
}

/// Metrics that just reach a floor by one profile's rubric, and are worth nothing by what the other's has beside.
fn weak_metrics(from: &Profile, to: &Profile, floor: Ppm) -> Vec<Metric> {
    let just = |rubric: &Rubric| {
        let span = i128::from(rubric.target) - i128::from(rubric.floor);
        let parts = span * i128::from(floor.get());
        // Away from the floor, so that rounding does not fall short.
        let step = parts / 1_000_000 + if parts % 1_000_000 == 0 { 0 } else { span.signum() };
        i64::try_from(i128::from(rubric.floor) + step).unwrap_or(rubric.target)
    };
    let own = from.quality.iter().map(|(name, rubric)| (name, just(rubric)));
    let others = to.quality.iter().filter(|(name, _)| !from.quality.contains_key(*name));
    own.chain(others.map(|(name, rubric)| (name, rubric.floor)))
        .map(|(name, ppm)| Metric { name: name.clone(), ppm })
        .collect()
}

/// A field of the content, or a metric.
type Field = (bool, String);

/// Fields with the values that are tried for each, and none at all, in the order in which they were found.
#[derive(Default)]
struct Fields(Vec<(Field, Vec<Option<Value>>)>);

impl Fields {
    fn offer(&mut self, field: Field, values: Vec<Value>) {
        let place = self.0.iter().position(|(known, _)| *known == field).unwrap_or_else(|| {
            self.0.push((field, vec![None]));
            self.0.len() - 1
        });
        let Some((_, known)) = self.0.get_mut(place) else { return };
        for value in values.into_iter().map(Some) {
            if !known.contains(&value) {
                known.push(value);
            }
        }
    }
}

type Content = (BTreeMap<String, Value>, Vec<Metric>);

/// Contents for which the requirement's expression holds: of those that its own and the other's expressions speak of.
fn contents(wanted: &Requirement, to: &Profile) -> Vec<Content> {
    let Some(own) = wanted.expression.as_deref().and_then(|text| Expression::compile(text).ok()) else {
        return vec![Content::default()];
    };
    // Only those that may hear the same are of interest.
    let overlaps = |a: &str, b: &str| pattern_covers(a, b) || pattern_covers(b, a);
    let hears = |r: &&Requirement| wanted.claims.iter().any(|a| r.claims.iter().any(|b| overlaps(a, b)));
    let others: Vec<Expression> = to
        .requirements
        .values()
        .filter(hears)
        .filter_map(|r| Expression::compile(r.expression.as_deref()?).ok())
        .collect();
    // Its own fields come first, and so change first.
    let mut fields = Fields::default();
    for expression in std::iter::once(&own).chain(&others) {
        collect(expression.tree(), &mut fields);
    }
    let sizes = fields.0.iter().map(|(_, values)| values.len());
    let all = sizes.fold(1usize, usize::saturating_mul).min(CONTENTS_MAX);
    let mut found: Vec<(usize, Content)> = Vec::new();
    for number in 0..all {
        let content = chosen(&fields.0, number);
        let observation = observation("other", 0, &content.0, content.1.clone(), None);
        if own.holds(&observation, 0) == Ok(true) {
            let accepted = others.iter().filter(|other| other.holds(&observation, 0) == Ok(true)).count();
            found.push((accepted, content));
        }
    }
    found.sort_by_key(|(accepted, _)| *accepted);
    found.into_iter().take(CONTENTS_KEPT_MAX).map(|(_, content)| content).collect()
}

/// The content with this number among all combinations of the fields' values.
fn chosen(fields: &[(Field, Vec<Option<Value>>)], mut number: usize) -> Content {
    let (mut content, mut metrics) = Content::default();
    for ((is_metric, name), values) in fields {
        let value = values.get(number % values.len().max(1)).cloned().flatten();
        number /= values.len().max(1);
        match (is_metric, value) {
            (false, Some(value)) => {
                content.insert(name.clone(), value);
            }
            (true, Some(Value::Integer(ppm))) => {
                metrics.extend(i64::try_from(ppm).ok().map(|ppm| Metric { name: name.clone(), ppm }));
            }
            _ => {}
        }
    }
    (content, metrics)
}

/// The fields that an expression speaks of, with values around what it compares them with, and none at all.
fn collect(part: &IdedExpr, fields: &mut Fields) {
    let mut offer = |field: Option<Field>, values: Vec<Value>| {
        if let Some(field) = field {
            fields.offer(field, values);
        }
    };
    match &part.expr {
        Expr::Select(select) if select.test => offer(field(part), vec![Value::Bool(true)]),
        Expr::Select(_) => offer(field(part), vec![Value::Bool(true), Value::Bool(false)]),
        Expr::Call(call) => {
            if let Some((subject, _, number)) = comparison(part) {
                let around = [0, 1, -1].map(|step| Value::Integer(number.saturating_add(step).into()));
                offer(field(subject), around.to_vec());
            } else if let [left, right] = call.args.as_slice() {
                let is_in = call.func_name == operators::IN;
                if let Some(literal) = literal(left).filter(|_| is_in) {
                    offer(field(right), vec![Value::Array(vec![literal]), Value::Array(Vec::new())]);
                } else if let Expr::List(list) = &right.expr {
                    let mut values: Vec<Value> = list.elements.iter().filter_map(literal).collect();
                    values.push(Value::Text("other".into()));
                    offer(field(left), values);
                } else if let Some(literal) = literal(right) {
                    offer(field(left), vec![literal, Value::Text("other".into())]);
                } else {
                    call.args.iter().for_each(|argument| collect(argument, fields));
                }
            } else {
                call.target.iter().for_each(|target| collect(target, fields));
                call.args.iter().for_each(|argument| collect(argument, fields));
            }
        }
        Expr::Comprehension(each) => {
            // Lists of what is said of one of their elements: a map of what is selected of it, or what it is compared with.
            let mut of_element = BTreeMap::new();
            elements(&each.loop_step, &each.iter_var, &mut of_element);
            let element = if of_element.is_empty() {
                Value::Integer(1.into())
            } else {
                let entry = |(name, value): (String, Value)| (Value::Text(name), value);
                Value::Map(of_element.into_iter().map(entry).collect())
            };
            offer(field(&each.iter_range), vec![Value::Array(vec![element; 3]), Value::Array(Vec::new())]);
        }
        _ => {}
    }
}

/// The fields of a list's element that a macro looks at, each with a value that it may be fine with.
fn elements(part: &IdedExpr, of: &str, into: &mut BTreeMap<String, Value>) {
    let select = |part: &IdedExpr| match &part.expr {
        Expr::Select(select) if matches!(&select.operand.expr, Expr::Ident(name) if name == of) => {
            Some(select.field.clone())
        }
        _ => None,
    };
    if let Some(name) = select(part) {
        into.entry(name).or_insert(Value::Bool(true));
    } else if let Expr::Call(call) = &part.expr {
        if let [left, right] = call.args.as_slice()
            && let (Some(name), Some(value)) = (select(left), literal(right))
        {
            into.insert(name, value);
            return;
        }
        call.target.iter().for_each(|target| elements(target, of, into));
        call.args.iter().for_each(|argument| elements(argument, of, into));
    }
}

/// The field of the content, or the metric, that a part selects.
fn field(part: &IdedExpr) -> Option<Field> {
    let Expr::Select(select) = &part.expr else { return None };
    match &select.operand.expr {
        Expr::Ident(of) if of == "content" => Some((false, select.field.clone())),
        Expr::Ident(of) if of == "metrics" => Some((true, select.field.clone())),
        _ => None,
    }
}

fn literal(part: &IdedExpr) -> Option<Value> {
    match &part.expr {
        Expr::Literal(LiteralValue::Int(n)) => Some(Value::Integer((*n.inner()).into())),
        Expr::Literal(LiteralValue::String(text)) => Some(Value::Text(text.inner().to_owned())),
        Expr::Literal(LiteralValue::Boolean(flag)) => Some(Value::Bool(*flag.inner())),
        _ => None,
    }
}
