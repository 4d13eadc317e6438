//! What a case expects of a verdict, and how the verdict differs from it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Scenario, fault};
use crate::actuation::Mode;
use crate::admissibility::profile::Profile;
use crate::admissibility::source::{Fault, Place, did_you_mean};
use crate::admissibility::verdict::{Outcome, RequirementState, Verdict};
use crate::ids::{AuthorityId, StatementId};

/// A set of names, or several sets.
#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "a list of names, or a list of such lists")]
pub(super) enum Sets {
    One(Vec<String>),
    Several(Vec<Vec<String>>),
}

impl Sets {
    /// Each name that is written, with its place in `within`.
    pub(super) fn named(&self, within: &Place) -> Vec<(String, Place)> {
        let each = |set: &[String], place: &Place| -> Vec<(String, Place)> {
            set.iter().enumerate().map(|(n, name)| (name.clone(), place.index(n))).collect()
        };
        match self {
            Self::One(set) => each(set, within),
            Self::Several(sets) => {
                sets.iter().enumerate().flat_map(|(n, set)| each(set, &within.index(n))).collect()
            }
        }
    }

    pub(super) fn sets(self) -> BTreeSet<BTreeSet<String>> {
        match self {
            Self::One(set) if set.is_empty() => BTreeSet::new(),
            Self::One(set) => BTreeSet::from([set.into_iter().collect()]),
            Self::Several(sets) => sets.into_iter().map(|set| set.into_iter().collect()).collect(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) mode: Mode,
    /// Sets of requirements, by name.
    pub(super) missing: Option<BTreeSet<BTreeSet<String>>>,
    /// Evidence, by name, whose authorities are necessary.
    pub(super) necessary: Option<BTreeSet<String>>,
    /// Sets of evidence, by name.
    pub(super) sufficient: Option<BTreeSet<BTreeSet<String>>>,
    pub(super) reasons: Vec<String>,
    pub(super) states: Vec<(String, RequirementState)>,
    pub(super) outcomes: BTreeMap<String, Outcome>,
    pub(super) withheld: Option<BTreeMap<String, Vec<String>>>,
    /// Where requirements are named.
    pub(super) requirements: Vec<(String, Place)>,
    /// Where the outcomes of profiles are.
    pub(super) place: Place,
}

/// A requirement of a profile, each by its name.
type Asked<'p> = (&'p str, &'p str);

/// The requirement that a case means: `REQUIREMENT`, or `PROFILE/REQUIREMENT` where several profiles have one of that name.
fn requirement<'p>(profiles: &'p [Profile], name: &str) -> Result<Asked<'p>, String> {
    let all = || {
        profiles.iter().flat_map(|profile| {
            profile.requirements.keys().map(|found| (profile.id.as_str(), found.as_str()))
        })
    };
    let means = |(profile, found): &Asked<'_>| {
        *found == name || name.strip_prefix(profile).and_then(|rest| rest.strip_prefix('/')) == Some(*found)
    };
    let found: Vec<Asked<'_>> = all().filter(means).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            let whole: Vec<String> = all().map(|(profile, found)| format!("{profile}/{found}")).collect();
            let known = all().map(|(_, found)| found).chain(whole.iter().map(String::as_str));
            Err(format!("there is no requirement {name:?}{}", did_you_mean(name, known)))
        }
        several => {
            let whole: Vec<String> =
                several.iter().map(|(profile, found)| format!("\"{profile}/{found}\"")).collect();
            Err(format!("several profiles ask for {name:?}; write {}", whole.join(" or ")))
        }
    }
}

/// The shortest name that means a requirement.
fn short(profiles: &[Profile], (profile, name): Asked<'_>) -> String {
    if requirement(profiles, name).is_ok() { name.to_owned() } else { format!("{profile}/{name}") }
}

impl Expected {
    /// What is expected of profiles and requirements that there are not.
    pub(super) fn faults(&self, profiles: &[Profile]) -> Vec<Fault> {
        let unnamed = self.requirements.iter().filter_map(|(name, place)| {
            requirement(profiles, name).err().map(|text| fault(place.clone(), text))
        });
        let ids = || profiles.iter().map(|profile| profile.id.as_str());
        let unknown = self.outcomes.keys().filter(|id| !ids().any(|known| known == *id)).map(|id| {
            let text = format!("there is no profile {id:?}{}", did_you_mean(id, ids()));
            Fault { is_key: true, ..fault(self.place.key(id), text) }
        });
        unnamed.chain(unknown).collect()
    }

    /// What a verdict of profiles has otherwise.
    pub(super) fn failures(
        &self,
        scenario: &Scenario,
        profiles: &[Profile],
        verdict: &Verdict,
    ) -> Vec<String> {
        let mut failures = Vec::new();
        if verdict.mode != self.mode {
            let why: Vec<&str> = verdict.reasons.iter().map(|reason| &*reason.text).collect();
            failures.push(format!("expected {}, found {}: {}", self.mode, verdict.mode, why.join("; ")));
        }
        self.outcomes(scenario, profiles, verdict, &mut failures);
        self.missing(profiles, verdict, &mut failures);
        self.authorities(scenario, verdict, &mut failures);
        let said: BTreeSet<&str> = verdict.reasons.iter().map(|reason| &*reason.code).collect();
        let requirements = verdict.profiles.iter().flat_map(|outcome| outcome.requirements.values());
        let refused: BTreeSet<&str> = requirements
            .flat_map(|outcome| &outcome.considered)
            .flat_map(|considered| considered.refused.iter())
            .map(|reason| &*reason.code)
            .collect();
        for code in &self.reasons {
            if !said.contains(code.as_str()) && !refused.contains(code.as_str()) {
                let all: Vec<&str> = said.union(&refused).copied().collect();
                failures.push(format!("no reason {code:?}; there is {}", all.join(", ")));
            }
        }
        if let Some(withheld) = self.withheld.as_ref().filter(|withheld| **withheld != verdict.withheld) {
            failures.push(format!("withheld is {:?}, not {withheld:?}", verdict.withheld));
        }
        failures
    }

    /// How each profile and each requirement came out.
    fn outcomes(
        &self,
        scenario: &Scenario,
        profiles: &[Profile],
        verdict: &Verdict,
        failures: &mut Vec<String>,
    ) {
        let of = |id: &str| verdict.profiles.iter().find(|outcome| outcome.profile == id);
        let action = &scenario.request.action;
        let asked_nothing = |id: &str| format!("profile {id} does not apply to {action}");
        for (id, expected) in &self.outcomes {
            match of(id).map(|found| found.outcome) {
                Some(found) if found == *expected => {}
                Some(found) => {
                    failures.push(format!("profile {id} is {}, not {}", found.name(), expected.name()));
                }
                None => failures.push(asked_nothing(id)),
            }
        }
        for (name, state) in &self.states {
            let (profile, asked) = match requirement(profiles, name) {
                Ok(found) => found,
                Err(text) => {
                    failures.push(text);
                    continue;
                }
            };
            match of(profile).and_then(|outcome| outcome.requirements.get(asked)).map(|found| found.state) {
                Some(found) if found == *state => {}
                Some(found) => failures.push(format!("{name} is {}, not {}", found.name(), state.name())),
                None => failures.push(asked_nothing(profile)),
            }
        }
    }

    /// What is missing.
    fn missing(&self, profiles: &[Profile], verdict: &Verdict, failures: &mut Vec<String>) {
        let Some(expected) = &self.missing else { return };
        // What cannot be resolved is compared as it is written, and so differs.
        let whole = |name: &String| {
            requirement(profiles, name).map_or_else(|_| name.clone(), |found| short(profiles, found))
        };
        let expected: BTreeSet<BTreeSet<String>> =
            expected.iter().map(|set| set.iter().map(whole).collect()).collect();
        let found: BTreeSet<BTreeSet<String>> = verdict
            .missing
            .iter()
            .map(|set| set.iter().map(|one| short(profiles, (&one.profile, &one.requirement))).collect())
            .collect();
        if found != expected {
            failures.push(differ("missing", verdict, &found, &expected));
        }
    }

    /// Which authorities are necessary, and which evidence is enough.
    fn authorities(&self, scenario: &Scenario, verdict: &Verdict, failures: &mut Vec<String>) {
        let name = |id: &StatementId| scenario.names.get(id).cloned().unwrap_or_else(|| id.to_string());
        if let Some(expected) = &self.necessary {
            let behind = |is_meant: &dyn Fn(&String) -> bool| -> BTreeSet<AuthorityId> {
                let meant = scenario.evidence.iter().filter(|item| is_meant(&name(&item.statement)));
                meant.map(|item| item.authority).collect()
            };
            let found: BTreeSet<AuthorityId> = verdict.necessary.iter().copied().collect();
            if found != behind(&|name| expected.contains(name)) {
                let evidence = scenario.evidence.iter().filter(|item| found.contains(&item.authority));
                let found = evidence.map(|item| name(&item.statement)).collect();
                let sets = |set: &BTreeSet<String>| alternatives(&BTreeSet::from([set.clone()]));
                failures.push(format!("necessary is {}, not {}", sets(&found), sets(expected)));
            }
        }
        if let Some(expected) = &self.sufficient {
            let sets = verdict.sufficient.iter().map(|set| set.statements.iter().map(name).collect());
            let found: BTreeSet<BTreeSet<String>> = sets.collect();
            if found != *expected {
                failures.push(differ("sufficient", verdict, &found, expected));
            }
        }
    }
}

fn differ(
    what: &str,
    verdict: &Verdict,
    found: &BTreeSet<BTreeSet<String>>,
    expected: &BTreeSet<BTreeSet<String>>,
) -> String {
    let more = if verdict.truncated { ", and more than are listed" } else { "" };
    format!("{what} is {}{more}, not {}", alternatives(found), alternatives(expected))
}

fn alternatives(sets: &BTreeSet<BTreeSet<String>>) -> String {
    let each = |set: &BTreeSet<String>| match set.len() {
        0 => "nothing".to_owned(),
        _ => set.iter().map(String::as_str).collect::<Vec<_>>().join(" and "),
    };
    if sets.is_empty() { "nothing".into() } else { sets.iter().map(each).collect::<Vec<_>>().join(", or ") }
}
