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

mod expected;
mod item;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::expected::{Expected, Missing};
use self::item::{Item, Used, resolve};
use super::evaluate::{Case, CaseError, DeclaredProfile, evaluate};
use super::evidence::{Evidence, Finding, FindingKind, RecognitionStanding};
use super::profile::{Composition, Profile};
use super::source::{self, Fault, Place, Remark, Severity, did_you_mean};
use super::verdict::RequirementState;
use crate::actuation::{Mode, Request, Reversibility};
use crate::digest::blake3;
use crate::ids::{OrganisationId, StatementId, Timestamp};
use crate::limits::SCENARIOS_MAX;
use crate::observation::Subject;

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
            Used::Name(name) => Item::like(name),
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
                Tried { name, mode: Some(verdict.mode), failures: self.expected.failures(profile, &verdict) }
            }
            Err(error) => Tried { name, mode: None, failures: vec![explained(&error)] },
        }
    }
}

fn explained(error: &CaseError) -> String {
    format!("it cannot be evaluated: {error}")
}
