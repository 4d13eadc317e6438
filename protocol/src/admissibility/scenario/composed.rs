//! Several profiles that are tried together, under the rule that composes them.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Scenario, fault};
use crate::admissibility::profile::{Composition, Profile};
use crate::admissibility::source::{Fault, Place, Severity, did_you_mean};
use crate::limits::PROFILES_MAX;

/// Which profiles a file of cases is about, and how they compose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Composed {
    /// Their files, as seen from where the cases are.
    pub profiles: Vec<String>,
    /// How they make one verdict.
    pub composition: Composition,
}

impl Composed {
    /// The entry of the file that names one of the profiles.
    pub(super) fn place(nth: usize) -> Place {
        Place::default().key("composed").key("profiles").index(nth)
    }

    /// What is wrong with it by itself.
    pub(super) fn faults(&self) -> Option<Fault> {
        let found = self.profiles.len();
        (found == 0 || found > PROFILES_MAX).then(|| {
            let text = format!("{found} profiles, where 1 to {PROFILES_MAX} are composed");
            fault(Place::default().key("composed").key("profiles"), text)
        })
    }

    /// What is wrong with it, given the profiles that it names.
    pub(super) fn faults_with(&self, profiles: &[Profile], scenarios: &[Scenario]) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut ids = BTreeSet::new();
        for (n, profile) in profiles.iter().enumerate() {
            if !ids.insert(profile.id.as_str()) {
                let text = format!("there is another profile {:?} before it", profile.id);
                faults.push(fault(Self::place(n), text));
            }
            if !scenarios.iter().any(|scenario| profile.applies_to(&scenario.request)) {
                let actions = profile.actions.join(", ");
                let text =
                    format!("profile {:?} applies to {actions}, which no case here asks about", profile.id);
                faults.push(fault(Self::place(n), text));
            }
        }
        let place = Place::default().key("composed").key("composition");
        let unknown = |id: &str| {
            let known = did_you_mean(id, ids.iter().copied());
            format!("no profile {id:?} is composed here{known}")
        };
        let without = |place: &Place, id: &str, text: &str| Fault {
            severity: Severity::Warning,
            ..fault(place.clone(), format!("profile {id:?} {text}"))
        };
        match &self.composition {
            Composition::Intersection => {}
            Composition::Weighted { weights, threshold } => {
                let place = place.key("weighted");
                for id in weights.keys().filter(|id| !ids.contains(id.as_str())) {
                    faults.push(Fault { is_key: true, ..fault(place.key("weights").key(id), unknown(id)) });
                }
                for id in ids.iter().filter(|id| !weights.contains_key(**id)) {
                    let text = "has no weight, so that nothing of it counts but its vetoes and limits";
                    faults.push(without(&place.key("weights"), id, text));
                }
                let sum: u64 = weights.values().copied().map(u64::from).sum();
                if u64::from(*threshold) > sum {
                    let text = format!("all weights together are {sum}, which never reaches {threshold}");
                    faults.push(fault(place.key("threshold"), text));
                }
            }
            Composition::Hierarchical { order } => {
                let place = place.key("hierarchical").key("order");
                for (n, id) in order.iter().enumerate().filter(|(_, id)| !ids.contains(id.as_str())) {
                    faults.push(fault(place.index(n), unknown(id)));
                }
                for id in ids.iter().filter(|id| !order.iter().any(|other| other == *id)) {
                    faults.push(without(&place, id, "has no place in the order"));
                }
            }
        }
        faults
    }
}
