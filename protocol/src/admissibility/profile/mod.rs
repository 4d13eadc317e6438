//! Profiles: declared, versioned admissibility policies. TOML for people, canonical CBOR in the chain.

mod check;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::evidence::FindingKind;
use super::source::{self, Fault, Place, Remark, Severity};
use crate::actuation::{Mode, OverridePolicy, Request, Reversibility};
use crate::identity::AuthorityKind;
use crate::identity::credential::pattern_matches;
use crate::ids::OrganisationId;
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
    /// By scope dimension, what may go ahead of a reversible action while evidence for the rule is there and cannot be
    /// relied on at present. Every requested dimension has to be named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub degraded: BTreeMap<String, Vec<String>>,
    /// What an emergency override may pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<OverridePolicy>,
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

impl Composition {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Intersection => "intersection",
            Self::Weighted { .. } => "weighted",
            Self::Hierarchical { .. } => "hierarchical",
        }
    }
}

fn one() -> u8 {
    1
}

fn is_one(n: &u8) -> bool {
    *n == 1
}

/// Why a profile is not valid: one remark or more, of which at least one is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileError(pub Vec<Remark>);

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.0.iter().filter(|remark| remark.severity == Severity::Error);
        for (n, remark) in errors.enumerate() {
            let between = if n == 0 { "" } else { "; " };
            write!(f, "{between}{remark}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ProfileError {}

/// What came of reading a profile's file.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The profile, where nothing is wrong with it.
    pub profile: Option<Profile>,
    /// Errors and warnings, in the order of the file.
    pub remarks: Vec<Remark>,
}

/// Stand-ins for fields that are missing, so that the rest of the file is read all the same.
const FILLERS: &[(&str, &str)] = &[
    ("claims", "['*']"),
    ("edges", "['derived-from']"),
    ("depth", "1"),
    ("floor", "0"),
    ("target", "0"),
    ("unless", "'?'"),
    ("dimension", "'?'"),
    ("allow", "[]"),
    ("id", "'?'"),
    ("version", "1"),
    ("title", "'?'"),
    ("family", "'?'"),
    ("actions", "['*']"),
    ("requirements", "{}"),
    ("rule", "'?'"),
];

impl Profile {
    /// Reads a profile from TOML and checks it. Every mistake of the file is named, each with line and column, and what
    /// was probably meant.
    pub fn read(text: &str) -> Reading {
        let read = source::read::<Self>(text, FILLERS);
        let mut remarks = read.remarks;
        let mut is_valid = remarks.is_empty();
        if let (Some(profile), Some(source)) = (&read.value, &read.source) {
            let follows = |fault: &Fault| read.dropped.iter().any(|place| follows_from(fault, place));
            for fault in check::faults(profile).iter().filter(|fault| !follows(fault)) {
                is_valid &= fault.severity == Severity::Warning;
                remarks.push(source.remark(fault));
            }
        }
        remarks.sort_by_key(|remark| remark.at.as_ref().map(|at| (at.line, at.column)));
        Reading { profile: read.value.filter(|_| is_valid), remarks }
    }

    /// Reads a profile from TOML and checks it.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        let reading = Self::read(text);
        reading.profile.ok_or(ProfileError(reading.remarks))
    }

    /// Checks what the type alone cannot say: names, sizes, depth, thresholds, expressions.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn check(&self) -> Result<(), ProfileError> {
        let remarks: Vec<Remark> = check::faults(self).iter().map(Remark::bare).collect();
        let is_valid = remarks.iter().all(|remark| remark.severity == Severity::Warning);
        if is_valid { Ok(()) } else { Err(ProfileError(remarks)) }
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

/// Whether a fault is only there because a part of the file was left out that was wrong already.
fn follows_from(fault: &Fault, dropped: &Place) -> bool {
    let top = |key: &str| Place::default().key(key);
    let is_about_it = dropped.is_in(&fault.place) || fault.place.is_in(dropped);
    is_about_it
        || match fault.check {
            // A requirement that was left out as a whole, or all of them.
            "unknown-requirement" => dropped.is_in(&top("requirements")) && dropped.0.len() <= 2,
            "unused" => dropped.is_in(&top("rule")) || dropped.is_in(&top("limits")),
            _ => false,
        }
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
            (
                "\"evaluation\", {",
                "\"evaluatoin\", {",
                "line 8, column 25: requirement \"evaluatoin\" is not declared; did you mean \"evaluation\"?",
            ),
            ("at_least = 1", "at_least = 2", "line 8, column 52: at_least 2 of 1"),
            ("vetoes =", "vetos =", "line 7, column 9: unknown field `vetos`"),
            ("[\"recall\"]", "[\"recal\"]", "did you mean \"recall\"?"),
            ("of = [\"assessment\"] }", "of = [\"assessment\"], any = [\"evaluation\"] }", "line 8"),
            (
                "irreversible = \"refuse\"",
                "irreversible = \"continue\"",
                "line 9, column 36: missing information leads to defer or refuse, not to continue",
            ),
            (
                "content.sensitivity_ppm >=",
                "content.sensitivity_ppm >=>",
                "line 14, column 49: the expression",
            ),
            (
                "content.sensitivity_ppm >=",
                "contents.sensitivity_ppm >=",
                "line 14, column 23: the expression does not compile: there is no variable \"contents\"",
            ),
            ("quality = 500000", "quality = 5000000", "line 13, column 30: 5000000 is more than 1000000"),
            ("quality = 500000", "qualty = 500000", "did you mean \"quality\"?"),
            ("\"evaluation/*\"", "\"evaluation*/\"", "a star stands at the end"),
            ("\"evaluation/*\"", "\"Evaluation/*\"", "fits no claim type"),
            ("title =", "titel =", "missing field `title`"),
            ("id = \"clinical\"", "id = clinical", "line 2"),
            ("depth = 3", "depth = 65", "1 to 64 edges"),
        ] {
            let error = Profile::from_toml(&SAMPLE.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }

    #[test]
    fn all_mistakes_of_a_file_are_named_at_once_and_none_that_follows_from_another() {
        let text = SAMPLE
            .replace("version = 1", "version = \"one\"")
            .replace("vetoes = [\"recall\"]", "vetoes = [\"recal\", \"fork\"]")
            .replace("rule = { all = [\"evaluation\"", "rule = { all = [\"evaluatoin\"")
            .replace("claims = [\"evaluation/*\"]", "claim = [\"evaluation/*\"]")
            .replace("kinds =", "kind =")
            .replace("depth = 3", "depth = 0");
        let remarks = Profile::read(&text).remarks;
        let found: Vec<(usize, &str)> =
            remarks.iter().map(|remark| (remark.at.as_ref().unwrap().line, remark.check.as_str())).collect();
        let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
        assert!(Profile::read(&text).profile.is_none());
        for line in [3, 7, 8, 12, 18, 19] {
            assert!(lines.contains(&line), "line {line} of {remarks:#?}");
        }
        assert!(found.len() <= 8, "{remarks:#?}");
        let first = remarks.iter().find(|remark| remark.check == "unknown-requirement");
        assert!(first.is_none_or(|remark| remark.text.contains("evaluatoin")));
        let excerpt = remarks.iter().find(|r| r.at.as_ref().unwrap().line == 7).unwrap().excerpt().unwrap();
        assert_eq!(excerpt, "7 |         vetoes = [\"recal\", \"fork\"]\n  |                   ^^^^^^^");
    }

    #[test]
    fn a_requirement_that_nothing_asks_for_is_a_warning() {
        let text = SAMPLE.replace("{ at_least = 1, of = [\"assessment\"] }", "\"evaluation\"");
        let reading = Profile::read(&text);
        assert!(reading.profile.is_some());
        let [warning] = reading.remarks.as_slice() else { panic!("{:?}", reading.remarks) };
        assert_eq!((warning.severity, warning.check.as_str()), (Severity::Warning, "unused"));
        assert_eq!(warning.at.as_ref().map(|at| at.line), Some(16));
    }

    #[test]
    fn everything_that_costs_time_has_its_bound() {
        let good = Profile::from_toml(SAMPLE).unwrap();
        let leaf = || Rule::Requirement("evaluation".into());
        let wide = Rule::Any { any: vec![Rule::Any { any: (0..64).map(|_| leaf()).collect() }; 9] };
        let deep = (0..10).fold(leaf(), |rule, _| Rule::All { all: vec![rule] });
        let many: Vec<String> = (0..65).map(|n| format!("claim/{n}")).collect();
        let requirement = good.requirements["evaluation"].clone();
        let limit = ScopeLimit { unless: "evaluation".into(), dimension: "d".into(), allow: vec![] };
        let with = |change: &dyn Fn(&mut Profile)| {
            let mut profile = good.clone();
            change(&mut profile);
            profile.check().unwrap_err().to_string()
        };
        for (error, expected) in [
            (with(&|p| p.rule = wide.clone()), "more than 512 parts"),
            (with(&|p| p.rule = deep.clone()), "deeper than 8"),
            (with(&|p| p.actions = many.clone()), "65 patterns"),
            (with(&|p| p.half_life_days = many.iter().map(|c| (c.clone(), 1)).collect()), "65 half-lives"),
            (with(&|p| p.limits = vec![limit.clone(); 65]), "65 limits"),
            (with(&|p| p.version = 0), "from 1"),
            (with(&|p| p.actions.clear()), "no action"),
            (
                with(&|p| p.requirements.extend(many.iter().map(|n| (n.clone(), requirement.clone())))),
                "67 requirements",
            ),
            (
                with(&|p| {
                    p.requirements.insert(
                        "evaluation".into(),
                        Requirement { expression: Some("true &&".repeat(400)), ..requirement.clone() },
                    );
                }),
                "at most 2048 bytes",
            ),
        ] {
            assert!(error.contains(expected), "{error}");
        }
    }
}
