//! What a case expects of a verdict, and how the verdict differs from it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::actuation::Mode;
use crate::admissibility::profile::Profile;
use crate::admissibility::source::did_you_mean;
use crate::admissibility::verdict::{MissingRequirement, RequirementState, Verdict};

#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "a list of requirements, or a list of such lists")]
pub(super) enum Missing {
    One(Vec<String>),
    Several(Vec<Vec<String>>),
}

#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) mode: Mode,
    pub(super) missing: Option<BTreeSet<BTreeSet<String>>>,
    pub(super) reasons: Vec<String>,
    pub(super) states: Vec<(String, RequirementState)>,
    pub(super) withheld: Option<BTreeMap<String, Vec<String>>>,
}

impl Expected {
    /// What a verdict of a profile has otherwise.
    pub(super) fn failures(&self, profile: &Profile, verdict: &Verdict) -> Vec<String> {
        let mut failures = Vec::new();
        let said: BTreeSet<&str> = verdict.reasons.iter().map(|reason| &*reason.code).collect();
        if verdict.mode != self.mode {
            let why: Vec<&str> = verdict.reasons.iter().map(|reason| &*reason.text).collect();
            failures.push(format!("expected {}, found {}: {}", self.mode, verdict.mode, why.join("; ")));
        }
        let requirements = || verdict.profiles.iter().flat_map(|outcome| &outcome.requirements);
        for (name, state) in &self.states {
            match requirements().find(|(found, _)| *found == name).map(|(_, outcome)| outcome.state) {
                Some(found) if found == *state => {}
                Some(found) => failures.push(format!("{name} is {}, not {}", found.name(), state.name())),
                None => {
                    let known = did_you_mean(name, profile.requirements.keys().map(String::as_str));
                    failures.push(format!("there is no requirement {name:?}{known}"));
                }
            }
        }
        if let Some(missing) = &self.missing {
            let names = |set: &Vec<MissingRequirement>| {
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
}

fn alternatives(sets: &BTreeSet<BTreeSet<String>>) -> String {
    let each = |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join(" and ");
    if sets.is_empty() { "nothing".into() } else { sets.iter().map(each).collect::<Vec<_>>().join(", or ") }
}
