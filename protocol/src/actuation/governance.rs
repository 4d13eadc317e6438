//! What governs an action besides profiles: declared classes and orderings, stages that were cleared, an override. And
//! what a verdict records of it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::class::{ActionClass, Stages};
use super::harm::HarmOrdering;
use super::mode::Mode;
use super::overriding::Overriding;
use super::request::{Request, Reversibility};
use crate::ids::{AuthorityId, OrganisationId, StatementId};

/// Something declared, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared<T> {
    /// The statement.
    pub statement: StatementId,
    /// Whose.
    pub organisation: OrganisationId,
    /// What it says.
    pub says: T,
}

/// What governs an action besides profiles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Governance {
    /// Jurisdictions of the organisation that decides.
    pub jurisdictions: BTreeSet<String>,
    /// Action classes in force.
    pub classes: Vec<Declared<ActionClass>>,
    /// Harm orderings in force.
    pub orderings: Vec<Declared<HarmOrdering>>,
    /// How far an earlier decision about the same got.
    pub cleared: Option<Cleared>,
    /// The override that the decision is asked under.
    pub overriding: Option<Overriding>,
}

/// Stages of a class whose effects were reported as predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleared {
    /// The statement that declares the class.
    pub class: StatementId,
    /// How many.
    pub stages: u32,
}

/// What a verdict records of its governance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Governed {
    /// The action classes that cover the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<StatementId>,
    /// Whether the action can be taken back: the strictest of what the classes and the request say.
    pub reversibility: Reversibility,
    /// Kinds of harm that the classes and the request name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub harm: Vec<String>,
    /// The harm orderings that applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orderings: Vec<OrderingRuling>,
    /// The stage that the action is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageRuling>,
    /// Whether the profiles let a declared part go ahead while evidence cannot be relied on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub degraded: bool,
    /// The override that stands for the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<OverrideRuling>,
}

/// How grave the harm is by one ordering.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderingRuling {
    /// The statement that declares the ordering.
    pub declared_by: StatementId,
    /// Its jurisdiction.
    pub jurisdiction: String,
    /// The gravest harm's place in the order, from one; zero where there is none.
    pub gravity: u32,
    /// How many places there are.
    pub of: u32,
}

/// Where a staged action stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRuling {
    /// The statement that declares the stages.
    pub class: StatementId,
    /// The dimension that they are about.
    pub dimension: String,
    /// Stages that were cleared; the next is the one that a permit is for, until all are.
    pub cleared: u32,
    /// How many there are.
    pub of: u32,
}

/// The override that a verdict follows from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideRuling {
    /// The override.
    pub statement: StatementId,
    /// Who signed it.
    pub authority: AuthorityId,
    /// Why.
    pub reason: String,
    /// What the mode would have been without it.
    pub instead_of: Mode,
    /// How many more the authority has at this time.
    pub left: u32,
}

impl StageRuling {
    /// The current stage, from one, and how many there are; none when all are cleared.
    pub const fn current(&self) -> Option<(u32, u32)> {
        if self.cleared < self.of { Some((self.cleared + 1, self.of)) } else { None }
    }

    /// How many stages are cleared after an effect under this ruling. What did not come out as predicted does its stage
    /// again, and the last one where all had been cleared.
    pub fn after(&self, as_predicted: bool) -> u32 {
        if as_predicted {
            self.cleared.saturating_add(1).min(self.of)
        } else {
            self.cleared.min(self.of.saturating_sub(1))
        }
    }
}

impl Governed {
    /// The stage that a permit is for, from one, and how many there are. What is overridden goes ahead outside the stages.
    pub fn permit_stage(&self) -> Option<(u32, u32)> {
        self.stage.as_ref().filter(|_| self.overridden.is_none()).and_then(StageRuling::current)
    }
}

impl Governance {
    /// The classes that cover an action, in the order of their statements.
    pub fn classes_of(&self, action: &str) -> Vec<&Declared<ActionClass>> {
        let mut found: Vec<_> = self.classes.iter().filter(|class| class.says.covers(action)).collect();
        found.sort_by_key(|class| class.statement);
        found
    }

    /// Whether an action can be taken back: the strictest of what is declared and what the request claims.
    pub fn reversibility(&self, request: &Request) -> Reversibility {
        let declared = self.classes_of(&request.action).into_iter().map(|class| class.says.reversibility);
        declared.fold(request.reversibility, Ord::max)
    }

    /// Kinds of harm that are declared or claimed.
    pub fn harm(&self, request: &Request) -> Vec<String> {
        let declared = self.classes_of(&request.action).into_iter().flat_map(|class| &class.says.harm);
        declared.chain(&request.harm).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The stages that an action goes through: those of the most specific class that declares any.
    pub fn stages(&self, action: &str) -> Option<(StatementId, &Stages)> {
        self.classes_of(action)
            .into_iter()
            .filter_map(|class| Some((class, class.says.stages.as_ref()?)))
            .max_by_key(|(class, _)| {
                let pattern = &class.says.action;
                (!pattern.ends_with('*'), pattern.len(), Reverse(class.organisation))
            })
            .map(|(class, stages)| (class.statement, stages))
    }

    /// Seconds for which a permit may be used and within which its effect is to be reported: the shortest declared.
    pub fn times_s(&self, action: &str) -> (Option<u64>, Option<u64>) {
        let classes = self.classes_of(action);
        let least = |of: fn(&ActionClass) -> Option<u64>| classes.iter().filter_map(|c| of(&c.says)).min();
        (least(|class| class.permit_s), least(|class| class.effect_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(n: u8, action: &str, toml: &str) -> Declared<ActionClass> {
        let says = ActionClass::from_toml(&format!("action = {action:?}\n{toml}")).unwrap();
        let (statement, organisation) =
            (StatementId::from_bytes([n; 32]), OrganisationId::from_bytes([n; 32]));
        Declared { statement, organisation, says }
    }

    #[test]
    fn the_strictest_counts_and_stages_are_those_of_the_most_specific() {
        let stages = |name: &str| format!("stages = {{ dimension = {name:?}, steps = [[\"a\"]] }}");
        let governance = Governance {
            classes: vec![
                class(
                    3,
                    "deploy/*",
                    &format!("reversibility = \"reversible\"\npermit-s = 60\n{}", stages("x")),
                ),
                class(
                    2,
                    "*",
                    "reversibility = \"compensable\"\nharm = [\"delay\"]\npermit-s = 90\neffect-s = 10",
                ),
                class(1, "deploy/b", &format!("reversibility = \"reversible\"\n{}", stages("y"))),
            ],
            ..Governance::default()
        };
        let request = |action: &str, reversibility| Request {
            action: action.into(),
            subjects: Vec::new(),
            actuator: "a".into(),
            scopes: Default::default(),
            predicted: Default::default(),
            reversibility,
            harm: vec!["injury".into(), "delay".into()],
            purpose: String::new(),
        };
        let a = request("deploy/a", Reversibility::Reversible);
        assert_eq!(governance.reversibility(&a), Reversibility::Compensable);
        assert_eq!(governance.harm(&a), ["delay", "injury"]);
        let strict = request("deploy/a", Reversibility::Irreversible);
        assert_eq!(governance.reversibility(&strict), Reversibility::Irreversible);
        assert_eq!(governance.stages("deploy/a").unwrap().1.dimension, "x");
        assert_eq!(governance.stages("deploy/b").unwrap().1.dimension, "y");
        assert_eq!(governance.stages("retire/a"), None);
        assert_eq!(governance.times_s("deploy/a"), (Some(60), Some(10)));
        assert_eq!(governance.times_s("x"), (Some(90), Some(10)));
    }

    #[test]
    fn no_stage_is_skipped() {
        let at = |cleared| StageRuling {
            class: StatementId::from_bytes([1; 32]),
            dimension: "traffic".into(),
            cleared,
            of: 3,
        };
        let table: Vec<_> =
            (0..=3).map(|n| (at(n).current(), at(n).after(true), at(n).after(false))).collect();
        let expected = [(Some((1, 3)), 1, 0), (Some((2, 3)), 2, 1), (Some((3, 3)), 3, 2), (None, 3, 2)];
        assert_eq!(table, expected);
    }
}
