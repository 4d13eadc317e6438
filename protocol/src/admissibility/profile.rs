//! Profiles: declared, versioned admissibility policies. TOML for people, canonical CBOR in the chain.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::evidence::FindingKind;
use super::expression::{Expression, ExpressionError};
use crate::actuation::{Mode, Request, Reversibility};
use crate::identity::AuthorityKind;
use crate::identity::credential::pattern_matches;
use crate::ids::OrganisationId;
use crate::limits::{
    EXPRESSION_BYTES_MAX, LABEL_BYTES_MAX, LINEAGE_DEPTH_MAX, REQUIREMENTS_MAX, RULE_DEPTH_MAX,
};
use crate::lineage::EdgeKind;
use crate::weighting::{Dimension, Ppm, Rubric};

/// An admissibility policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// Name by which compositions and people refer to it.
    pub id: String,
    /// Version, from 1.
    pub version: u64,
    /// One line for people.
    pub title: String,
    /// clinical, regulatory, contractual, jurisdictional, safety ...
    pub family: String,
    /// Jurisdictions that it speaks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jurisdictions: Vec<String>,
    /// Action classes that it applies to, as patterns.
    pub actions: Vec<String>,
    /// Days in which evidence loses half of its recency, by claim pattern; the first that matches counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub half_life_days: BTreeMap<String, u32>,
    /// How declared metrics are read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quality: BTreeMap<String, Rubric>,
    /// What has to be shown, by name.
    pub requirements: BTreeMap<String, Requirement>,
    /// How the requirements combine.
    pub rule: Rule,
    /// Findings that end the matter.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub vetoes: BTreeSet<FindingKind>,
    /// Scopes that may not be acted in while a requirement outside the rule is not met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<ScopeLimit>,
    /// What to do when something is missing, by reversibility; `defer` where nothing is said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<Reversibility, Mode>,
}

/// One thing that has to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Requirement {
    /// Claim types that show it, as patterns.
    pub claims: Vec<String>,
    /// Organisations that may show it; none means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organisations: Vec<OrganisationId>,
    /// Roles that may show it, as patterns; none means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Kinds of authority that may show it; none means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<AuthorityKind>,
    /// Whether an authority that the deciding organisation does not recognise may show it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unrecognised: bool,
    /// Where given, the evidence is about something that the subject rests on, over these edges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Reach>,
    /// Least weight by dimension.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub floors: BTreeMap<Dimension, Ppm>,
    /// Greatest age in days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_days: Option<u32>,
    /// A CEL expression over the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// How many independent authorities have to show it.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub distinct: u8,
    /// Who is to be asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// How far down the lineage evidence is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reach {
    /// Edges that may be followed.
    pub edges: Vec<EdgeKind>,
    /// How many of them at most.
    pub depth: u8,
}

/// How requirements combine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Rule {
    /// One requirement.
    Requirement(String),
    /// All of these.
    All {
        /// The parts.
        all: Vec<Rule>,
    },
    /// Any of these.
    Any {
        /// The parts.
        any: Vec<Rule>,
    },
    /// So many of these.
    AtLeast {
        /// How many.
        at_least: u16,
        /// The parts.
        of: Vec<Rule>,
    },
}

/// A rule's fields: what an untagged enum would read from arrays and byte strings too, which would give one rule more
/// than one encoding.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFields {
    all: Option<Vec<Rule>>,
    any: Option<Vec<Rule>>,
    at_least: Option<u16>,
    of: Option<Vec<Rule>>,
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Rule;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a requirement, or a map of all, of any, or of at_least and of")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Rule, E> {
                Ok(Rule::Requirement(name.to_owned()))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Rule, A::Error> {
                let fields = RuleFields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                match (fields.all, fields.any, fields.at_least, fields.of) {
                    (Some(all), None, None, None) => Ok(Rule::All { all }),
                    (None, Some(any), None, None) => Ok(Rule::Any { any }),
                    (None, None, Some(at_least), Some(of)) => Ok(Rule::AtLeast { at_least, of }),
                    _ => Err(de::Error::invalid_value(de::Unexpected::Map, &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// While `unless` is not met, only `allow` of a scope dimension may be acted in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScopeLimit {
    /// The requirement that lifts the limit.
    pub unless: String,
    /// The dimension that is limited.
    pub dimension: String,
    /// The values that are allowed all the same.
    pub allow: Vec<String>,
}

/// How several profiles make one verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Composition {
    /// All have to admit.
    Intersection,
    /// The weights of those that admit have to reach the threshold. A veto of any ends the matter.
    Weighted {
        /// Weight of each profile, by its id.
        weights: BTreeMap<String, u32>,
        /// What has to be reached.
        threshold: u32,
    },
    /// The first has precedence; a lower one may narrow what a higher one admits, and never widen it.
    Hierarchical {
        /// Profile ids, the highest first.
        order: Vec<String>,
    },
}

fn one() -> u8 {
    1
}

fn is_one(n: &u8) -> bool {
    *n == 1
}

/// Why a profile is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Not TOML of the right shape; the text names line and column.
    #[error("{0}")]
    Toml(String),
    /// A label is empty or too long.
    #[error("{0} has 1 to {LABEL_BYTES_MAX} bytes")]
    Label(String),
    /// Too many or no requirements.
    #[error("{0} requirements, where 1 to {REQUIREMENTS_MAX} are allowed")]
    Requirements(usize),
    /// The rule is nested too deep.
    #[error("the rule is nested deeper than {RULE_DEPTH_MAX} levels")]
    Depth,
    /// The rule or a limit names a requirement that does not exist.
    #[error("requirement {name:?} is not declared{suggestion}")]
    Unknown {
        /// The name.
        name: String,
        /// ` ; did you mean ...`, or nothing.
        suggestion: String,
    },
    /// A threshold that cannot be met, or is met by nothing.
    #[error("at_least {need} of {of} can never decide anything")]
    Threshold {
        /// How many are asked for.
        need: u16,
        /// How many there are.
        of: usize,
    },
    /// A requirement without claims, or one that asks for nobody.
    #[error("requirement {0:?} names no claim, or asks for no authority")]
    Empty(String),
    /// An expression does not compile.
    #[error("requirement {name:?}: {error}")]
    Expression {
        /// The requirement.
        name: String,
        /// What is wrong.
        error: ExpressionError,
    },
    /// A mode that missing information must not lead to.
    #[error("missing information leads to defer or refuse, not to {0}")]
    Missing(Mode),
}

impl Profile {
    /// Reads a profile from TOML and checks it.
    ///
    /// # Errors
    /// [`ProfileError`]; for TOML it names line and column, and the fields that exist.
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text).map_err(|e| ProfileError::Toml(e.to_string()))?;
        profile.check()?;
        Ok(profile)
    }

    /// Checks what the type alone cannot say: names, sizes, depth, thresholds, expressions.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn check(&self) -> Result<(), ProfileError> {
        for (what, text) in [("id", &self.id), ("title", &self.title), ("family", &self.family)] {
            if text.is_empty() || text.len() > LABEL_BYTES_MAX {
                return Err(ProfileError::Label(what.to_owned()));
            }
        }
        if self.requirements.is_empty() || self.requirements.len() > REQUIREMENTS_MAX {
            return Err(ProfileError::Requirements(self.requirements.len()));
        }
        for (name, requirement) in &self.requirements {
            if name.is_empty() || name.len() > LABEL_BYTES_MAX {
                return Err(ProfileError::Label(format!("requirement name {name:?}")));
            }
            let reach = requirement.reached.as_ref().map_or(1, |reach| usize::from(reach.depth));
            if requirement.claims.is_empty()
                || requirement.distinct == 0
                || reach == 0
                || reach > LINEAGE_DEPTH_MAX
            {
                return Err(ProfileError::Empty(name.clone()));
            }
            if let Some(expression) = &requirement.expression {
                if expression.len() > EXPRESSION_BYTES_MAX {
                    return Err(ProfileError::Label(format!("expression of {name:?}")));
                }
                Expression::compile(expression)
                    .map_err(|error| ProfileError::Expression { name: name.clone(), error })?;
            }
        }
        self.check_rule(&self.rule, 0)?;
        self.limits.iter().try_for_each(|limit| self.check_name(&limit.unless))?;
        match self.missing.values().find(|mode| !matches!(mode, Mode::Defer | Mode::Refuse)) {
            Some(mode) => Err(ProfileError::Missing(*mode)),
            None => Ok(()),
        }
    }

    fn check_rule(&self, rule: &Rule, depth: usize) -> Result<(), ProfileError> {
        if depth > RULE_DEPTH_MAX {
            return Err(ProfileError::Depth);
        }
        let (parts, need) = match rule {
            Rule::Requirement(name) => return self.check_name(name),
            Rule::All { all } => (all, all.len()),
            Rule::Any { any } => (any, 1),
            Rule::AtLeast { at_least, of } => (of, usize::from(*at_least)),
        };
        if need == 0 || need > parts.len() || parts.len() > REQUIREMENTS_MAX {
            let need = u16::try_from(need).unwrap_or(u16::MAX);
            return Err(ProfileError::Threshold { need, of: parts.len() });
        }
        parts.iter().try_for_each(|part| self.check_rule(part, depth + 1))
    }

    fn check_name(&self, name: &str) -> Result<(), ProfileError> {
        if self.requirements.contains_key(name) {
            return Ok(());
        }
        let nearest = self.requirements.keys().min_by_key(|known| (distance(known, name), known.len()));
        let suggestion = nearest
            .filter(|known| distance(known, name) <= 1 + name.len() / 3)
            .map(|known| format!("; did you mean {known:?}?"))
            .unwrap_or_default();
        Err(ProfileError::Unknown { name: name.to_owned(), suggestion })
    }

    /// Whether it applies to a request.
    pub fn applies_to(&self, request: &Request) -> bool {
        self.actions.iter().any(|pattern| pattern_matches(pattern, &request.action))
    }

    /// The half-life for a claim, in seconds; one year where nothing is declared.
    pub fn half_life_s(&self, claim: &str) -> u64 {
        let days = self.half_life_days.iter().find(|(pattern, _)| pattern_matches(pattern, claim));
        u64::from(days.map_or(365, |(_, days)| *days)) * 86_400
    }
}

/// Edit distance, for suggestions.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (j, y) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or_default();
            left = (above + 1).min(left + 1).min(diagonal + usize::from(x != *y));
            next.push(left);
            diagonal = above;
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"
        id = "clinical"
        version = 1
        title = "Clinical deployment"
        family = "clinical"
        actions = ["deploy/*"]
        vetoes = ["recall"]
        rule = { all = ["evaluation", { at_least = 1, of = ["assessment"] }] }
        missing = { irreversible = "refuse" }

        [requirements.evaluation]
        claims = ["evaluation/*"]
        floors = { quality = 500000 }
        expression = "content.sensitivity_ppm >= 900000"

        [requirements.assessment]
        claims = ["assessment/conformity"]
        kinds = ["external-body"]
        reached = { edges = ["derived-from"], depth = 3 }
    "#;

    #[test]
    fn a_profile_is_the_same_in_toml_and_cbor() {
        let profile = Profile::from_toml(SAMPLE).unwrap();
        let bytes = crate::codec::encode(&profile).unwrap();
        assert_eq!(crate::codec::decode::<Profile>(&bytes, 1 << 16).unwrap(), profile);
    }

    #[test]
    fn a_rule_has_one_encoding() {
        use crate::codec::{Value, from_value};
        let text = |text: &str| Value::Text(text.into());
        let all = |parts| Value::Map(vec![(text("all"), Value::Array(parts))]);
        let rule = from_value::<Rule>(all(vec![text("a")])).unwrap();
        assert_eq!(rule, Rule::All { all: vec![Rule::Requirement("a".into())] });
        for wrong in [
            Value::Bytes(b"a".to_vec()),
            Value::Array(vec![Value::Array(vec![text("a")])]),
            Value::Map(vec![]),
            Value::Map(vec![(text("of"), Value::Array(vec![]))]),
            Value::Map(vec![(text("all"), Value::Array(vec![])), (text("any"), Value::Array(vec![]))]),
            Value::Map(vec![(text("all"), Value::Array(vec![])), (text("zzz"), Value::Bool(true))]),
            all(vec![Value::Bytes(b"a".to_vec())]),
        ] {
            assert!(from_value::<Rule>(wrong.clone()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn mistakes_are_named_with_a_way_out() {
        for (from, to, expected) in [
            ("\"evaluation\", {", "\"evaluatoin\", {", "did you mean \"evaluation\""),
            ("at_least = 1", "at_least = 2", "at_least 2 of 1"),
            ("vetoes =", "vetos =", "line 7"),
            ("of = [\"assessment\"] }", "of = [\"assessment\"], any = [\"evaluation\"] }", "line 8"),
            ("irreversible = \"refuse\"", "irreversible = \"continue\"", "not to continue"),
            ("content.sensitivity_ppm >=", "content.sensitivity_ppm >=>", "expression"),
            ("quality = 500000", "quality = 5000000", "more than 1000000"),
        ] {
            let error = Profile::from_toml(&SAMPLE.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
