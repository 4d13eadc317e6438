//! What the types of a profile cannot say: names, sizes, depth, thresholds, patterns, expressions.
//!
//! Everything that an evaluation's cost grows with has its bound here, so that a profile that was declared is evaluated
//! in bounded time whatever evidence there is.

use std::collections::BTreeSet;

use super::super::expression::Expression;
use super::super::source::{Fault, Place, Severity, did_you_mean};
use super::{Profile, Reach, Requirement, Rule};
use crate::actuation::Mode;
use crate::limits::{
    EXPRESSION_BYTES_MAX, LABEL_BYTES_MAX, LINEAGE_DEPTH_MAX, PATTERNS_MAX, REMARKS_MAX, REQUIREMENTS_MAX,
    RULE_DEPTH_MAX, RULE_PARTS_MAX,
};
use crate::lineage::EdgeKind;
use crate::observation::claim::is_claim_type;
use crate::weighting::corroboration::sources_for;
use crate::weighting::{Dimension, Ppm};

/// Everything that is wrong with a profile, errors and warnings, at most [`REMARKS_MAX`] of them.
pub(super) fn faults(profile: &Profile) -> Vec<Fault> {
    let mut check = Check { profile, used: BTreeSet::new(), rule_parts: 0, faults: Vec::new() };
    check.head();
    for (name, requirement) in &profile.requirements {
        check.requirement(name, requirement);
    }
    check.rule(&profile.rule, &Place::default().key("rule"), 0);
    check.limits();
    check.missing();
    check.unused();
    check.faults
}

struct Check<'p> {
    profile: &'p Profile,
    /// Requirements that the rule or a limit names.
    used: BTreeSet<&'p str>,
    /// Parts of the rule seen so far.
    rule_parts: usize,
    faults: Vec<Fault>,
}

impl<'p> Check<'p> {
    fn add(&mut self, fault: Fault) {
        if self.faults.len() < REMARKS_MAX {
            self.faults.push(fault);
        }
    }

    fn error(&mut self, check: &'static str, place: &Place, text: impl Into<String>) {
        let (severity, place, text) = (Severity::Error, place.clone(), text.into());
        self.add(Fault { severity, check, place, is_key: false, within: None, text });
    }

    fn warning(&mut self, check: &'static str, place: &Place, text: impl Into<String>) {
        let (severity, place, text) = (Severity::Warning, place.clone(), text.into());
        self.add(Fault { severity, check, place, is_key: false, within: None, text });
    }

    fn key_error(&mut self, check: &'static str, place: &Place, text: impl Into<String>) {
        let (severity, place, text) = (Severity::Error, place.clone(), text.into());
        self.add(Fault { severity, check, place, is_key: true, within: None, text });
    }

    fn label(&mut self, place: &Place, what: &str, text: &str) {
        if text.is_empty() || text.len() > LABEL_BYTES_MAX {
            self.error("label", place, format!("{what} has 1 to {LABEL_BYTES_MAX} bytes"));
        }
    }

    fn count(&mut self, place: &Place, what: &str, found: usize, max: usize) {
        if found > max {
            self.error("size", place, format!("{found} {what}, where at most {max} are allowed"));
        }
    }

    fn patterns(&mut self, place: &Place, patterns: &[String], is_claim: bool) {
        self.count(place, "patterns", patterns.len(), PATTERNS_MAX);
        for (n, pattern) in patterns.iter().enumerate().take(PATTERNS_MAX) {
            self.pattern(&place.index(n), pattern, is_claim, false);
        }
    }

    fn pattern(&mut self, place: &Place, pattern: &str, is_claim: bool, is_key: bool) {
        let what = pattern_fault(pattern, is_claim);
        match (what, is_key) {
            (Some(text), true) => self.key_error("pattern", place, text),
            (Some(text), false) => self.error("pattern", place, text),
            (None, _) => {}
        }
    }

    fn head(&mut self) {
        let (profile, top) = (self.profile, Place::default());
        for (what, text) in [("id", &profile.id), ("title", &profile.title), ("family", &profile.family)] {
            self.label(&top.key(what), what, text);
        }
        if profile.version == 0 {
            self.error("version", &top.key("version"), "versions are counted from 1");
        }
        self.count(&top.key("jurisdictions"), "jurisdictions", profile.jurisdictions.len(), PATTERNS_MAX);
        if profile.actions.is_empty() {
            let text = "it applies to no action; name action classes, such as [\"deploy/*\"]";
            self.error("empty", &top.key("actions"), text);
        }
        self.patterns(&top.key("actions"), &profile.actions, false);
        let half_lives = top.key("half-life-days");
        self.count(&half_lives, "half-lives", profile.half_life_days.len(), PATTERNS_MAX);
        for pattern in profile.half_life_days.keys().take(PATTERNS_MAX) {
            self.pattern(&half_lives.key(pattern), pattern, true, true);
        }
        self.count(&top.key("quality"), "metrics", profile.quality.len(), PATTERNS_MAX);
        for name in profile.quality.keys().take(PATTERNS_MAX) {
            self.label(&top.key("quality").key(name), "a metric's name", name);
        }
        let requirements = profile.requirements.len();
        if requirements == 0 || requirements > REQUIREMENTS_MAX {
            let text = format!("{requirements} requirements, where 1 to {REQUIREMENTS_MAX} are allowed");
            self.error("size", &top.key("requirements"), text);
        }
    }

    fn requirement(&mut self, name: &str, requirement: &Requirement) {
        let place = Place::default().key("requirements").key(name);
        if name.is_empty() || name.len() > LABEL_BYTES_MAX {
            self.key_error("label", &place, format!("a requirement's name has 1 to {LABEL_BYTES_MAX} bytes"));
        }
        if requirement.claims.is_empty() {
            let text = format!("requirement {name:?} names no claim, so that nothing can show it");
            self.error("empty", &place.key("claims"), text);
        }
        self.patterns(&place.key("claims"), &requirement.claims, true);
        self.patterns(&place.key("roles"), &requirement.roles, false);
        let organisations = requirement.organisations.len();
        self.count(&place.key("organisations"), "organisations", organisations, PATTERNS_MAX);
        self.count(&place.key("kinds"), "kinds", requirement.kinds.len(), PATTERNS_MAX);
        if requirement.distinct == 0 {
            self.error(
                "empty",
                &place.key("distinct"),
                format!("requirement {name:?} asks for no authority"),
            );
        }
        if organisations > 0 && usize::from(requirement.distinct) > organisations {
            let text = format!(
                "{} independent authorities are asked for, of {organisations} organisations",
                requirement.distinct
            );
            self.warning("unreachable", &place.key("distinct"), text);
        }
        if let Some(reach) = &requirement.reached {
            self.reach(&place.key("reached"), reach);
        }
        let corroboration = requirement.floors.get(&Dimension::Corroboration).copied().unwrap_or(Ppm::ZERO);
        if sources_for(corroboration).is_none() {
            let text = "no number of sources gives so much corroboration; the most is 968750";
            self.warning("unreachable", &place.key("floors").key("corroboration"), text);
        }
        if let Some(expression) = &requirement.expression {
            self.expression(&place.key("expression"), expression);
        }
        if let Some(owner) = &requirement.owner {
            self.label(&place.key("owner"), "owner", owner);
        }
    }

    fn reach(&mut self, place: &Place, reach: &Reach) {
        let depth = usize::from(reach.depth);
        if depth == 0 || depth > LINEAGE_DEPTH_MAX {
            let text = format!("lineage is followed over 1 to {LINEAGE_DEPTH_MAX} edges, not {depth}");
            self.error("depth", &place.key("depth"), text);
        }
        if reach.edges.is_empty() {
            self.error("empty", &place.key("edges"), "it names no edge, so that nothing is reached");
        }
        self.count(&place.key("edges"), "edges", reach.edges.len(), PATTERNS_MAX);
        for (n, edge) in reach.edges.iter().enumerate().take(PATTERNS_MAX) {
            let leads_on = matches!(
                edge,
                EdgeKind::DerivedFrom
                    | EdgeKind::GeneratedBy
                    | EdgeKind::Used
                    | EdgeKind::Supersedes
                    | EdgeKind::LinksTo
            );
            if !leads_on {
                let text = "no lineage is followed over this edge; derived-from, generated-by, used, supersedes \
                            and links-to lead on";
                self.warning("unreachable", &place.key("edges").index(n), text);
            }
        }
    }

    fn expression(&mut self, place: &Place, text: &str) {
        if text.len() > EXPRESSION_BYTES_MAX {
            self.error("size", place, format!("an expression has at most {EXPRESSION_BYTES_MAX} bytes"));
            return;
        }
        if let Err(error) = Expression::compile(text) {
            let (severity, place) = (Severity::Error, place.clone());
            let text = error.to_string();
            let fault = Fault { severity, check: "expression", place, is_key: false, within: error.at, text };
            self.add(fault);
        }
    }

    fn rule(&mut self, rule: &'p Rule, place: &Place, depth: usize) {
        self.rule_parts += 1;
        if self.rule_parts == RULE_PARTS_MAX + 1 {
            self.error(
                "size",
                &Place::default().key("rule"),
                format!("the rule has more than {RULE_PARTS_MAX} parts"),
            );
        }
        if self.rule_parts > RULE_PARTS_MAX {
            return;
        }
        if depth > RULE_DEPTH_MAX {
            self.error("depth", place, format!("the rule is nested deeper than {RULE_DEPTH_MAX} levels"));
            return;
        }
        let (what, parts, need) = match rule {
            Rule::Requirement(name) => return self.name(name, place),
            Rule::All { all } => ("all", all, all.len()),
            Rule::Any { any } => ("any", any, 1),
            Rule::AtLeast { at_least, of } => ("of", of, usize::from(*at_least)),
        };
        if need == 0 || need > parts.len() {
            let place = if what == "of" { place.key("at_least") } else { place.clone() };
            let text = format!("at_least {need} of {} can never decide anything", parts.len());
            self.error("threshold", &place, text);
        }
        self.count(place, "parts", parts.len(), REQUIREMENTS_MAX);
        for (n, part) in parts.iter().enumerate().take(REQUIREMENTS_MAX) {
            self.rule(part, &place.key(what).index(n), depth + 1);
        }
    }

    fn name(&mut self, name: &'p str, place: &Place) {
        if self.profile.requirements.contains_key(name) {
            self.used.insert(name);
            return;
        }
        let known = did_you_mean(name, self.profile.requirements.keys().map(String::as_str));
        self.error("unknown-requirement", place, format!("requirement {name:?} is not declared{known}"));
    }

    fn limits(&mut self) {
        let (profile, limits) = (self.profile, Place::default().key("limits"));
        self.count(&limits, "limits", profile.limits.len(), PATTERNS_MAX);
        for (n, limit) in profile.limits.iter().enumerate().take(PATTERNS_MAX) {
            let place = limits.index(n);
            self.name(&limit.unless, &place.key("unless"));
            self.label(&place.key("dimension"), "dimension", &limit.dimension);
            self.count(&place.key("allow"), "values", limit.allow.len(), PATTERNS_MAX);
        }
    }

    fn missing(&mut self) {
        // INVARIANT(missing): what is missing never lets anything happen, so defer and refuse are all that can be said.
        for (reversibility, mode) in &self.profile.missing {
            if !matches!(mode, Mode::Defer | Mode::Refuse) {
                let place = Place::default().key("missing").key(reversibility.name());
                let text = format!("missing information leads to defer or refuse, not to {mode}");
                self.error("missing", &place, text);
            }
        }
    }

    fn unused(&mut self) {
        for name in self.profile.requirements.keys() {
            if !self.used.contains(name.as_str()) {
                let (severity, place) = (Severity::Warning, Place::default().key("requirements").key(name));
                let text = format!("neither the rule nor a limit asks for requirement {name:?}");
                self.add(Fault { severity, check: "unused", place, is_key: true, within: None, text });
            }
        }
    }
}

/// What is wrong with a pattern: a word, or the beginning of one before a star.
fn pattern_fault(pattern: &str, is_claim: bool) -> Option<String> {
    if pattern.is_empty() || pattern.len() > LABEL_BYTES_MAX {
        return Some(format!("a pattern has 1 to {LABEL_BYTES_MAX} bytes"));
    }
    let (beginning, is_whole) = match pattern.strip_suffix('*') {
        Some(beginning) => (beginning, false),
        None => (pattern, true),
    };
    if beginning.contains('*') {
        return Some(format!("{pattern:?}: a star stands at the end of a pattern and nowhere else"));
    }
    // A beginning is one of a claim type if a letter behind it makes it one.
    let is_possible =
        if is_whole { is_claim_type(beginning) } else { is_claim_type(&format!("{beginning}x")) };
    (is_claim && !is_possible).then(|| {
        let path =
            "a path of lower-case words such as evaluation/clinical, or the beginning of one with a star";
        format!("{pattern:?} fits no claim type, which is {path}")
    })
}
