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
//!
//! A file may be about several profiles that compose, and then says which, and how. A requirement that more than one of
//! them has is written `PROFILE/REQUIREMENT`.
//!
//! ```toml
//! [composed]
//! profiles = ["clinical.toml", "regulatory.toml"]
//! composition = "intersection"
//! # or { hierarchical = { order = ["regulatory", "clinical"] } }
//! # or { weighted = { weights = { clinical = 2, regulatory = 1 }, threshold = 2 } }
//! ```

mod composed;
mod expected;
mod item;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::composed::Composed;
use self::expected::{Expected, Sets};
use self::item::{Item, Used, resolve};
use super::evaluate::{Case, CaseError, DeclaredProfile, evaluate};
use super::evidence::{Evidence, Finding, FindingKind, RecognitionStanding};
use super::profile::{Composition, Profile};
use super::source::{self, Fault, Place, Remark, Severity, Source, did_you_mean};
use super::verdict::{Outcome, RequirementState};
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
    composed: Option<Composed>,
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
    missing: Option<Sets>,
    necessary: Option<Vec<String>>,
    sufficient: Option<Sets>,
    #[serde(default)]
    outcomes: BTreeMap<String, Outcome>,
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

/// A file of cases that was read.
pub struct Cases<'t> {
    source: Source<'t>,
    composed: Option<Composed>,
    scenarios: Vec<Scenario>,
}

/// Reads a file of cases.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(text: &str) -> Result<Cases<'_>, Vec<Remark>> {
    let (file, source) = file(text)?;
    let mut faults: Vec<Fault> = file.composed.iter().filter_map(Composed::faults).collect();
    let mut scenarios = Vec::new();
    if file.case.is_empty() || file.case.len() > SCENARIOS_MAX {
        let text = format!("{} cases, where 1 to {SCENARIOS_MAX} are allowed", file.case.len());
        faults.push(fault(Place::default().key("case"), text));
    }
    for (n, case) in file.case.iter().enumerate().take(SCENARIOS_MAX) {
        scenarios.push(scenario(&file, case, &Place::default().key("case").index(n), &mut faults));
    }
    if faults.is_empty() {
        Ok(Cases { source, composed: file.composed, scenarios })
    } else {
        Err(faults.iter().map(|fault| source.remark(fault)).collect())
    }
}

impl Cases<'_> {
    /// The profiles that it is about, where it names them; else it is about the one that it is beside.
    pub const fn composed(&self) -> Option<&Composed> {
        self.composed.as_ref()
    }

    /// The cases.
    pub fn scenarios(&self) -> &[Scenario] {
        &self.scenarios
    }

    /// What is wrong with it, given the profiles that it is about: in their order where it names them.
    pub fn check(&self, profiles: &[Profile]) -> Vec<Remark> {
        let composed = self.composed.iter();
        let mut faults: Vec<Fault> =
            composed.flat_map(|composed| composed.faults_with(profiles, &self.scenarios)).collect();
        faults.extend(self.scenarios.iter().flat_map(|scenario| scenario.expected.faults(profiles)));
        let mut remarks: Vec<Remark> = faults.iter().map(|fault| self.source.remark(fault)).collect();
        remarks.sort_by_key(|remark| remark.at.as_ref().map(|at| (at.line, at.column)));
        remarks
    }

    /// That the profile number `nth` of those that it names cannot be had.
    pub fn without(&self, nth: usize, why: String) -> Remark {
        self.source.remark(&fault(Composed::place(nth), why))
    }

    /// Evaluates each case under the profiles, and compares.
    pub fn try_with(&self, profiles: &[Profile]) -> Vec<Tried> {
        let alone = Composition::Intersection;
        let composition = self.composed.as_ref().map_or(&alone, |composed| &composed.composition);
        self.scenarios.iter().map(|scenario| scenario.try_with(profiles, composition)).collect()
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

/// Stand-ins for fields that are missing, so that the rest of the file is read all the same.
const FILLERS: &[(&str, &str)] =
    &[("name", "'?'"), ("expect", "'defer'"), ("profiles", "[]"), ("composition", "'intersection'")];

fn file(text: &str) -> Result<(File, Source<'_>), Vec<Remark>> {
    let read = source::read::<File>(text, FILLERS);
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
    let listed = |key: &str, names: &[String]| -> Vec<(String, Place)> {
        names.iter().enumerate().map(|(n, name)| (name.clone(), place.key(key).index(n))).collect()
    };
    let mut requirements = Vec::new();
    for (key, names) in [("met", &written.met), ("unmet", &written.unmet), ("unknown", &written.unknown)] {
        requirements.extend(listed(key, names));
    }
    requirements.extend(written.missing.iter().flat_map(|sets| sets.named(&place.key("missing"))));
    let mut used = written.necessary.as_deref().map(|names| listed("necessary", names)).unwrap_or_default();
    used.extend(written.sufficient.iter().flat_map(|sets| sets.named(&place.key("sufficient"))));
    for (name, place) in used.iter().filter(|(name, _)| !names.values().any(|other| other == name)) {
        faults.push(no_evidence(name, &names, place.clone()));
    }
    let expected = Expected {
        mode: written.expect,
        missing: written.missing.clone().map(Sets::sets),
        necessary: written.necessary.clone().map(|names| names.into_iter().collect()),
        sufficient: written.sufficient.clone().map(Sets::sets),
        reasons: written.reasons.clone(),
        states: states
            .into_iter()
            .flat_map(|(names, state)| names.iter().map(move |name| (name.clone(), state)))
            .collect(),
        outcomes: written.outcomes.clone(),
        withheld: written.withheld.clone(),
        requirements,
        place: place.key("outcomes"),
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

fn no_evidence(name: &str, names: &BTreeMap<StatementId, String>, place: Place) -> Fault {
    let known = did_you_mean(name, names.values().map(String::as_str));
    fault(place, format!("this case has no evidence {name:?}{known}"))
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
                None => faults.push(no_evidence(name, names, place.key(key).index(n))),
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
    /// The situation under profiles that compose.
    pub fn case(&self, profiles: &[Profile], composition: &Composition) -> Case {
        let declared = profiles.iter().map(|profile| DeclaredProfile {
            declared_by: StatementId::from_bytes(named("profile", &profile.id)),
            profile: profile.clone(),
        });
        Case {
            request: self.request.clone(),
            time: NOW,
            profiles: declared.collect(),
            composition: composition.clone(),
            evidence: self.evidence.clone(),
            findings: self.findings.clone(),
            unheard: Default::default(),
            governance: Default::default(),
        }
    }

    fn try_with(&self, profiles: &[Profile], composition: &Composition) -> Tried {
        let name = self.name.clone();
        match evaluate(&self.case(profiles, composition)) {
            Ok(verdict) => {
                let failures = self.expected.failures(self, profiles, &verdict);
                Tried { name, mode: Some(verdict.mode), failures }
            }
            Err(error) => Tried { name, mode: None, failures: vec![explained(&error)] },
        }
    }
}

fn explained(error: &CaseError) -> String {
    format!("it cannot be evaluated: {error}")
}
