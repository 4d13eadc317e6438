//! Situations that people write down: evidence, a request, and the verdict that they expect. They stand in a file beside
//! a profile, and are evaluated as real decisions are.
//!
//! ```toml
//! [request]                        # what all cases ask, if they do not say otherwise
//! action = "deploy/clinical"
//! reversibility = "reversible"
//!
//! [evidence.evaluation]            # evidence that cases name
//! claim = "evaluation/clinical"
//! organisation = "supplier"        # any name; the same name is the same organisation
//! role = "evaluator"
//! age-days = 20
//! metrics = { auroc = 940000 }     # parts per million
//!
//! [[case]]
//! name = "an evaluation that is too old"
//! evidence = [{ like = "evaluation", age-days = 400 }]
//! expect = "defer"
//! missing = ["evaluation"]
//! reasons = ["too-old"]
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::evaluate::{Case, CaseError, DeclaredProfile, evaluate};
use super::evidence::{
    Crossing, Evidence, Finding, FindingKind, Freshness, ReceiptStanding, RecognitionStanding, Relation,
};
use super::profile::{Composition, Profile};
use super::source::{self, Fault, Place, Remark, Severity, did_you_mean};
use super::verdict::{RequirementState, Verdict};
use crate::actuation::{Mode, Request, Reversibility};
use crate::codec::Value;
use crate::digest::blake3;
use crate::identity::{AuthorityKind, Standing};
use crate::ids::{AuthorityId, BlobId, OrganisationId, Position, StatementId, Timestamp};
use crate::limits::SCENARIOS_MAX;
use crate::lineage::EdgeKind;
use crate::observation::{Metric, Observation, Source, SourceSignature, Subject};

/// The second at which cases take place; what is older is so many days before it.
const NOW: Timestamp = Timestamp(4_000_000_000);
const DAY_S: u64 = 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    request: Asked,
    #[serde(default)]
    evidence: BTreeMap<String, Item>,
    #[serde(default)]
    case: Vec<Written>,
}

/// A request; what is not said is taken from the file's.
#[derive(Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Asked {
    action: Option<String>,
    reversibility: Option<Reversibility>,
    scopes: Option<BTreeMap<String, Vec<String>>>,
    subjects: Option<Vec<String>>,
    actuator: Option<String>,
    harm: Option<Vec<String>>,
    purpose: Option<String>,
}

/// One piece of evidence; what is not said is taken from what it is like, or is plain.
#[derive(Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Item {
    like: Option<String>,
    claim: Option<String>,
    organisation: Option<String>,
    parent: Option<String>,
    role: Option<String>,
    authority: Option<String>,
    kind: Option<AuthorityKind>,
    delegation: Option<u8>,
    standing: Option<Standing>,
    recognised: Option<bool>,
    age_days: Option<u32>,
    expires_in_days: Option<i32>,
    stale_days: Option<u32>,
    adverse: Option<bool>,
    content: Option<BTreeMap<String, Value>>,
    metrics: Option<BTreeMap<String, i64>>,
    reached: Option<Vec<EdgeKind>>,
    proof: Option<Proof>,
    document: Option<String>,
    signature: Option<SourceSignature>,
}

/// How well a statement's place in its chain is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Proof {
    None,
    Receipted,
    Witnessed,
}

#[derive(Clone)]
enum Used {
    Name(String),
    Changed(Box<Item>),
}

impl<'de> Deserialize<'de> for Used {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Used;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of evidence, or evidence, which may be like another")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Used, E> {
                Ok(Used::Name(name.to_owned()))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Used, A::Error> {
                let item = Item::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Used::Changed(Box::new(item)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    name: String,
    #[serde(default)]
    request: Asked,
    #[serde(default)]
    evidence: Vec<Used>,
    #[serde(default)]
    recalled: Vec<String>,
    #[serde(default)]
    disputed: Vec<String>,
    #[serde(default)]
    forked: Vec<String>,
    expect: Mode,
    missing: Option<Missing>,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default)]
    met: Vec<String>,
    #[serde(default)]
    unmet: Vec<String>,
    #[serde(default)]
    unknown: Vec<String>,
    withheld: Option<BTreeMap<String, Vec<String>>>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "a list of requirements, or a list of such lists")]
enum Missing {
    One(Vec<String>),
    Several(Vec<Vec<String>>),
}

/// A situation, and what is expected of it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What is asked.
    pub request: Request,
    /// What there is.
    pub evidence: Vec<Evidence>,
    /// What speaks against it.
    pub findings: Vec<Finding>,
    /// What the file calls each piece of evidence.
    pub names: BTreeMap<StatementId, String>,
    expected: Expected,
}

#[derive(Debug, Clone)]
struct Expected {
    mode: Mode,
    missing: Option<BTreeSet<BTreeSet<String>>>,
    reasons: Vec<String>,
    states: Vec<(String, RequirementState)>,
    withheld: Option<BTreeMap<String, Vec<String>>>,
}

/// How a scenario came out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tried {
    /// Its name.
    pub name: String,
    /// The mode that was decided; none where nothing could be.
    pub mode: Option<Mode>,
    /// What was expected otherwise; nothing where all is as expected.
    pub failures: Vec<String>,
}

/// What surrounds evidence that somebody supposes.
pub struct Setting<'a> {
    /// Now.
    pub time: Timestamp,
    /// What it is about.
    pub subjects: &'a [Subject],
    /// The organisation that a name stands for.
    pub organisation: &'a dyn Fn(&str) -> OrganisationId,
}

/// Reads a file of cases.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(text: &str) -> Result<Vec<Scenario>, Vec<Remark>> {
    let (file, source) = file(text)?;
    let mut faults = Vec::new();
    let mut scenarios = Vec::new();
    if file.case.is_empty() || file.case.len() > SCENARIOS_MAX {
        let text = format!("{} cases, where 1 to {SCENARIOS_MAX} are allowed", file.case.len());
        faults.push(fault(Place::default().key("case"), text));
    }
    for (n, case) in file.case.iter().enumerate().take(SCENARIOS_MAX) {
        scenarios.push(scenario(&file, case, &Place::default().key("case").index(n), &mut faults));
    }
    if faults.is_empty() {
        Ok(scenarios)
    } else {
        Err(faults.iter().map(|fault| source.remark(fault)).collect())
    }
}

/// Reads a file of evidence alone, as somebody supposes it in a setting. Gives each piece its name.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_evidence(text: &str, setting: &Setting<'_>) -> Result<Vec<(String, Evidence)>, Vec<Remark>> {
    let (file, source) = file(text)?;
    let mut faults = Vec::new();
    let mut found = Vec::new();
    for (name, item) in &file.evidence {
        let place = Place::default().key("evidence").key(name);
        let whole = resolve(&file, item, &place, &mut faults);
        found.push((name.clone(), whole.evidence(name, &place, setting, &mut faults)));
    }
    if found.is_empty() {
        faults.push(fault(Place::default(), "it supposes no evidence; write [evidence.NAME]".into()));
    }
    if faults.is_empty() { Ok(found) } else { Err(faults.iter().map(|fault| source.remark(fault)).collect()) }
}

fn file(text: &str) -> Result<(File, source::Source<'_>), Vec<Remark>> {
    let read = source::read::<File>(text, &[("name", "'?'"), ("expect", "'defer'")]);
    match (read.value, read.source) {
        (Some(file), Some(source)) if read.remarks.is_empty() => Ok((file, source)),
        _ => Err(read.remarks),
    }
}

fn fault(place: Place, text: String) -> Fault {
    Fault { severity: Severity::Error, check: "case", place, is_key: false, within: None, text }
}

/// What a file means by a name: the same in each of its cases.
fn named(what: &str, name: &str) -> [u8; 32] {
    blake3(format!("{what} {name}").as_bytes())
}

/// The organisation that a name in a file stands for: its id where it is one.
fn organisation(name: &str) -> OrganisationId {
    name.parse().unwrap_or_else(|_| OrganisationId::from_bytes(named("organisation", name)))
}

fn scenario(file: &File, written: &Written, place: &Place, faults: &mut Vec<Fault>) -> Scenario {
    let request = request(&file.request, &written.request, place, faults);
    let setting = Setting { time: NOW, subjects: &request.subjects, organisation: &organisation };
    let mut evidence = Vec::new();
    let mut names = BTreeMap::new();
    for (n, used) in written.evidence.iter().enumerate() {
        let place = place.key("evidence").index(n);
        let item = match used {
            Used::Name(name) => Item { like: Some(name.clone()), ..Item::default() },
            Used::Changed(item) => (**item).clone(),
        };
        let base = item.like.clone().unwrap_or_else(|| format!("number {}", n + 1));
        let taken = |name: &String| names.values().any(|other| other == name);
        let again = (2..).map(|n| format!("{base} ({n})"));
        let name = std::iter::once(base.clone()).chain(again).find(|name| !taken(name)).unwrap_or(base);
        let whole = resolve(file, &item, &place, faults);
        let made = whole.evidence(&name, &place, &setting, faults);
        names.insert(made.statement, name);
        evidence.push(made);
    }
    let findings = findings(written, &evidence, &names, place, faults);
    let states = [
        (&written.met, RequirementState::Met),
        (&written.unmet, RequirementState::Unmet),
        (&written.unknown, RequirementState::Unknown),
    ];
    let expected = Expected {
        mode: written.expect,
        missing: written.missing.clone().map(|missing| match missing {
            Missing::One(set) => BTreeSet::from([set.into_iter().collect()]),
            Missing::Several(sets) => sets.into_iter().map(|set| set.into_iter().collect()).collect(),
        }),
        reasons: written.reasons.clone(),
        states: states
            .into_iter()
            .flat_map(|(names, state)| names.iter().map(move |name| (name.clone(), state)))
            .collect(),
        withheld: written.withheld.clone(),
    };
    Scenario { name: written.name.clone(), request, evidence, findings, names, expected }
}

fn request(general: &Asked, own: &Asked, place: &Place, faults: &mut Vec<Fault>) -> Request {
    let own = own.clone();
    let general = general.clone();
    let action = own.action.or(general.action).unwrap_or_default();
    if action.is_empty() {
        faults.push(fault(place.clone(), "no request says which action is asked about".into()));
    }
    let subjects = own.subjects.or(general.subjects).unwrap_or_else(|| vec!["name:subject".into()]);
    let parsed = subjects.iter().map(|text| text.parse::<Subject>()).collect::<Result<Vec<_>, _>>();
    let subjects = parsed.unwrap_or_else(|error| {
        faults.push(fault(place.key("request"), error.to_string()));
        Vec::new()
    });
    Request {
        action,
        subjects,
        actuator: own.actuator.or(general.actuator).unwrap_or_else(|| "actuator".into()),
        scopes: own.scopes.or(general.scopes).unwrap_or_default(),
        predicted: BTreeMap::new(),
        reversibility: own.reversibility.or(general.reversibility).unwrap_or(Reversibility::Reversible),
        harm: own.harm.or(general.harm).unwrap_or_default(),
        purpose: own.purpose.or(general.purpose).unwrap_or_default(),
    }
}

/// An item with all that it takes from what it is like.
fn resolve(file: &File, item: &Item, place: &Place, faults: &mut Vec<Fault>) -> Item {
    let mut whole = item.clone();
    let mut like = item.like.clone();
    // A chain of likenesses is no longer than the file has evidence, or it turns in a circle.
    for _ in 0..=file.evidence.len() {
        let Some(name) = like else { return whole };
        let Some(base) = file.evidence.get(&name) else {
            let known = did_you_mean(&name, file.evidence.keys().map(String::as_str));
            faults.push(fault(place.clone(), format!("there is no evidence {name:?}{known}")));
            return whole;
        };
        whole = whole.over(base);
        like = base.like.clone();
    }
    faults.push(fault(place.clone(), "it is like itself".into()));
    whole
}

impl Item {
    /// This item, and `base` in what it does not say.
    fn over(self, base: &Self) -> Self {
        let base = base.clone();
        Self {
            like: self.like,
            claim: self.claim.or(base.claim),
            organisation: self.organisation.or(base.organisation),
            parent: self.parent.or(base.parent),
            role: self.role.or(base.role),
            authority: self.authority.or(base.authority),
            kind: self.kind.or(base.kind),
            delegation: self.delegation.or(base.delegation),
            standing: self.standing.or(base.standing),
            recognised: self.recognised.or(base.recognised),
            age_days: self.age_days.or(base.age_days),
            expires_in_days: self.expires_in_days.or(base.expires_in_days),
            stale_days: self.stale_days.or(base.stale_days),
            adverse: self.adverse.or(base.adverse),
            // Fields are changed one by one.
            content: merged(self.content, base.content),
            metrics: merged(self.metrics, base.metrics),
            reached: self.reached.or(base.reached),
            proof: self.proof.or(base.proof),
            document: self.document.or(base.document),
            signature: self.signature.or(base.signature),
        }
    }

    fn evidence(
        &self,
        name: &str,
        place: &Place,
        setting: &Setting<'_>,
        faults: &mut Vec<Fault>,
    ) -> Evidence {
        let claim = self.claim.clone().unwrap_or_default();
        let organisation_name = self.organisation.clone().unwrap_or_else(|| "an organisation".into());
        let role = self.role.clone().unwrap_or_else(|| "authority".into());
        let authority = self.authority.clone().unwrap_or_else(|| format!("{role} of {organisation_name}"));
        let statement = StatementId::from_bytes(named("evidence", name));
        let effective =
            Timestamp(setting.time.0.saturating_sub(u64::from(self.age_days.unwrap_or(0)) * DAY_S));
        let expires = self.expires_in_days.map(|days| {
            Timestamp(setting.time.0.saturating_add_signed(i64::from(days) * 86_400).max(effective.0))
        });
        let source = (self.document.is_some() || self.signature.is_some()).then(|| Source {
            format: "scenario".into(),
            document: BlobId::from_bytes(named("document", self.document.as_deref().unwrap_or(name))),
            signature: self.signature.unwrap_or(SourceSignature::Unsigned),
            signer: None,
            witnessed: None,
            checks: Vec::new(),
        });
        let metrics = self.metrics.clone().unwrap_or_default();
        let observation = Observation {
            claim,
            subjects: setting.subjects.to_vec(),
            effective,
            expires,
            adverse: self.adverse.unwrap_or(false),
            content: self.content.clone().unwrap_or_default(),
            sealed: Vec::new(),
            metrics: metrics.into_iter().map(|(name, ppm)| Metric { name, ppm }).collect(),
            derived_from: Vec::new(),
            materials: Vec::new(),
            source,
        };
        if observation.content.values().any(has_float) {
            let text =
                format!("evidence {name:?}: content has whole numbers, in parts per million where needed");
            faults.push(fault(place.key("content"), text));
        }
        if let Err(error) = observation.check() {
            faults.push(fault(place.clone(), format!("evidence {name:?}: {error}")));
        }
        let is_recognised = self.recognised.unwrap_or(true);
        let stale = self.stale_days.map(|days| Freshness::Stale { age_s: u64::from(days) * DAY_S });
        Evidence {
            statement,
            organisation: (setting.organisation)(&organisation_name),
            position: Position(1),
            authority: authority
                .parse()
                .unwrap_or_else(|_| AuthorityId::from_bytes(named("authority", &authority))),
            kind: self.kind.unwrap_or(AuthorityKind::HumanRole),
            role,
            depth: self.delegation.unwrap_or(0),
            standing: self.standing.unwrap_or(Standing::InForce),
            observation,
            relation: match &self.reached {
                Some(edges) if !edges.is_empty() => Relation::Reached(edges.clone()),
                _ => Relation::Itself,
            },
            receipt: match self.proof {
                Some(Proof::None) => ReceiptStanding::None,
                Some(Proof::Receipted) => ReceiptStanding::Receipted,
                Some(Proof::Witnessed) | None => ReceiptStanding::Witnessed { at: setting.time },
            },
            recognition: if is_recognised {
                RecognitionStanding::Recognised(StatementId::from_bytes(named(
                    "recognition",
                    &organisation_name,
                )))
            } else {
                RecognitionStanding::Unrecognised
            },
            crossing: Crossing::default(),
            parent: self.parent.clone(),
            freshness: stale.unwrap_or(Freshness::Fresh),
        }
    }
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Float(_) => true,
        Value::Array(items) => items.iter().any(has_float),
        Value::Map(entries) => entries.iter().any(|(_, value)| has_float(value)),
        _ => false,
    }
}

fn merged<V>(
    over: Option<BTreeMap<String, V>>,
    base: Option<BTreeMap<String, V>>,
) -> Option<BTreeMap<String, V>> {
    match (over, base) {
        (Some(over), Some(mut base)) => {
            base.extend(over);
            Some(base)
        }
        (over, base) => over.or(base),
    }
}

fn findings(
    written: &Written,
    evidence: &[Evidence],
    names: &BTreeMap<StatementId, String>,
    place: &Place,
    faults: &mut Vec<Fault>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, list, kind) in [
        ("recalled", &written.recalled, FindingKind::Recall),
        ("disputed", &written.disputed, FindingKind::Dispute),
    ] {
        for (n, name) in list.iter().enumerate() {
            match evidence.iter().find(|item| names.get(&item.statement) == Some(name)) {
                Some(item) => {
                    findings.push(finding(
                        kind,
                        item.organisation,
                        vec![item.statement],
                        &format!("{name} is {key}"),
                    ));
                }
                None => {
                    let known = did_you_mean(name, names.values().map(String::as_str));
                    let text = format!("this case has no evidence {name:?}{known}");
                    faults.push(fault(place.key(key).index(n), text));
                }
            }
        }
    }
    for name in &written.forked {
        let by = organisation(name);
        let hit: Vec<_> =
            evidence.iter().filter(|item| item.organisation == by).map(|e| e.statement).collect();
        if !hit.is_empty() {
            findings.push(finding(FindingKind::Fork, by, hit, "it signed contradicting heads"));
        }
    }
    // As when a case is gathered: whoever is recognised and speaks against the subject is heard.
    let is_heard =
        |item: &&Evidence| item.observation.adverse && item.recognition != RecognitionStanding::Unrecognised;
    findings.extend(evidence.iter().filter(is_heard).map(|item| {
        let reason = format!("{} speaks against it", item.observation.claim);
        finding(FindingKind::Adverse, item.organisation, vec![item.statement], &reason)
    }));
    findings
}

fn finding(
    kind: FindingKind,
    organisation: OrganisationId,
    evidence: Vec<StatementId>,
    reason: &str,
) -> Finding {
    Finding { kind, organisation, statement: None, evidence, subjects: Vec::new(), reason: reason.to_owned() }
}

impl Scenario {
    /// The situation under one profile.
    pub fn case(&self, profile: &Profile) -> Case {
        let declared_by = StatementId::from_bytes(named("profile", &profile.id));
        Case {
            request: self.request.clone(),
            time: NOW,
            profiles: vec![DeclaredProfile { declared_by, profile: profile.clone() }],
            composition: Composition::Intersection,
            evidence: self.evidence.clone(),
            findings: self.findings.clone(),
            unheard: Default::default(),
            governance: Default::default(),
        }
    }

    /// Evaluates it under a profile, and compares.
    pub fn try_with(&self, profile: &Profile) -> Tried {
        let name = self.name.clone();
        match evaluate(&self.case(profile)) {
            Ok(verdict) => {
                Tried { name, mode: Some(verdict.mode), failures: self.failures(profile, &verdict) }
            }
            Err(error) => Tried { name, mode: None, failures: vec![explained(&error)] },
        }
    }

    fn failures(&self, profile: &Profile, verdict: &Verdict) -> Vec<String> {
        let expected = &self.expected;
        let mut failures = Vec::new();
        let said: BTreeSet<&str> = verdict.reasons.iter().map(|reason| &*reason.code).collect();
        if verdict.mode != expected.mode {
            let why: Vec<&str> = verdict.reasons.iter().map(|reason| &*reason.text).collect();
            failures.push(format!("expected {}, found {}: {}", expected.mode, verdict.mode, why.join("; ")));
        }
        let requirements = || verdict.profiles.iter().flat_map(|outcome| &outcome.requirements);
        for (name, state) in &expected.states {
            match requirements().find(|(found, _)| *found == name).map(|(_, outcome)| outcome.state) {
                Some(found) if found == *state => {}
                Some(found) => failures.push(format!("{name} is {}, not {}", found.name(), state.name())),
                None => {
                    let known = did_you_mean(name, profile.requirements.keys().map(String::as_str));
                    failures.push(format!("there is no requirement {name:?}{known}"));
                }
            }
        }
        if let Some(missing) = &expected.missing {
            let names = |set: &Vec<super::verdict::MissingRequirement>| {
                set.iter().map(|one| one.requirement.clone()).collect::<BTreeSet<_>>()
            };
            let found: BTreeSet<BTreeSet<String>> = verdict.missing.iter().map(names).collect();
            if found != *missing {
                failures.push(format!("missing is {}, not {}", alternatives(&found), alternatives(missing)));
            }
        }
        let refused: BTreeSet<&str> = requirements()
            .flat_map(|(_, outcome)| &outcome.considered)
            .flat_map(|considered| considered.refused.iter())
            .map(|reason| &*reason.code)
            .collect();
        for code in &expected.reasons {
            if !said.contains(code.as_str()) && !refused.contains(code.as_str()) {
                let all: Vec<&str> = said.union(&refused).copied().collect();
                failures.push(format!("no reason {code:?}; there is {}", all.join(", ")));
            }
        }
        if let Some(withheld) = expected.withheld.as_ref().filter(|withheld| **withheld != verdict.withheld) {
            failures.push(format!("withheld is {:?}, not {withheld:?}", verdict.withheld));
        }
        failures
    }
}

fn explained(error: &CaseError) -> String {
    format!("it cannot be evaluated: {error}")
}

fn alternatives(sets: &BTreeSet<BTreeSet<String>>) -> String {
    let each = |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join(" and ");
    if sets.is_empty() { "nothing".into() } else { sets.iter().map(each).collect::<Vec<_>>().join(", or ") }
}
