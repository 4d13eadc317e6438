//! What of a case depends neither on the request nor on the time: worked out once, and then asked again and again.
//!
//! What a piece of evidence is worth, whether anything but time speaks against it, which pieces are independent of each
//! other, and which sets of them are enough, mostly stay the same from one request to the next. What passes with time
//! (ages, beginnings, ends, expressions over ages, floors of recency) is looked at anew for each; only where it changes
//! which pieces count, the sets are listed again.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::conclude::{Assessed, Explained, conclude};
use super::evaluate::{Case, CaseError, DeclaredProfile};
use super::evidence::{Evidence, Finding, Freshness, RecognitionStanding, Relation};
use super::expression::{Expression, ExpressionError, Expressions};
use super::govern::govern;
use super::profile::{Profile, Requirement, Rule};
use super::structure::Tree;
use super::verdict::{
    Considered, Outcome, ProfileOutcome, Reason, Reasons, RequirementOutcome, RequirementState, Unheard,
    Verdict,
};
use crate::identity::Standing;
use crate::identity::credential::pattern_matches;
use crate::ids::{AuthorityId, StatementId, Timestamp};
use crate::limits::{EVIDENCE_MAX, PROFILES_MAX};
use crate::mesh::Recognition;
use crate::weighting::corroboration::{independent_groups, sources_for};
use crate::weighting::derive::Steady;
use crate::weighting::{Dimension, Ppm};

/// A case, prepared for decisions at any time about any request for the same action.
pub(super) struct Prepared {
    /// Those that apply, in the order of the verdict's.
    profiles: Vec<PreparedProfile>,
    /// What the leaves of the composed rule stand for.
    leaves: Vec<(StatementId, AuthorityId)>,
    /// What followed when it was last asked, while the same pieces of evidence count.
    explained: Option<Explained>,
}

struct PreparedProfile {
    /// Among the case's.
    place: usize,
    requirements: Vec<PreparedRequirement>,
    vetoes: Vec<Finding>,
}

struct PreparedRequirement {
    expression: Option<Arc<Result<Expression, ExpressionError>>>,
    /// Organisations that cannot be heard, and that it names or may be shown by.
    unheard: Vec<Unheard>,
    /// What is considered for it, in the order of the statements' ids.
    pieces: Vec<Piece>,
    /// How many independent sources the accepted pieces come from.
    sources: usize,
    /// For each accepted piece, which of them.
    groups: Vec<usize>,
    /// The tree over evidence that shows it.
    shown_by: Tree,
    /// Whether the pieces that count show it.
    is_shown: bool,
    state: RequirementState,
}

/// One piece of evidence, as one requirement sees it.
struct Piece {
    /// Among the case's.
    place: usize,
    leaf: usize,
    steady: Arc<Steady>,
    /// What speaks against it at any time.
    refused: Reasons,
    /// Whether that is only that things are not known.
    is_unknown: bool,
    effective: Timestamp,
    expires: Option<Timestamp>,
    /// The age at which the expression was last asked, and what is wrong.
    expressed: Option<(u64, Option<Reason>)>,
    /// What speaks against it now.
    now: Timed,
    /// What last did, with everything that spoke against it.
    before: (Timed, Reasons),
    /// Whether it was accepted then, but for floors.
    accepted: bool,
    /// Whether it counted.
    counted: bool,
}

/// What speaks against a piece of evidence at some time.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Timed {
    not_yet: bool,
    expired: bool,
    /// Its age in days, where that is too much.
    too_old: Option<u64>,
    /// The age in days at which the expression does not hold.
    unexpressed: Option<u64>,
    /// The first dimension that is below its floor, and its value.
    below: Option<(Dimension, Ppm)>,
}

impl Prepared {
    /// # Errors
    /// [`CaseError`] when there is nothing to evaluate.
    pub(super) fn new(case: &Case, expressions: &mut Expressions) -> Result<Self, CaseError> {
        let mut profiles: Vec<(usize, &DeclaredProfile)> = case
            .profiles
            .iter()
            .enumerate()
            .filter(|(_, declared)| declared.profile.applies_to(&case.request))
            .collect();
        profiles
            .sort_by(|(_, a), (_, b)| (&a.profile.id, a.declared_by).cmp(&(&b.profile.id, b.declared_by)));
        profiles.dedup_by(|(_, a), (_, b)| a.declared_by == b.declared_by);
        if profiles.is_empty() {
            return Err(CaseError::NoProfile(case.request.action.clone()));
        }
        bounded("profiles", profiles.len(), PROFILES_MAX)?;
        bounded("pieces of evidence", case.evidence.len(), EVIDENCE_MAX)?;
        let mut evidence: Vec<(usize, &Evidence)> = case.evidence.iter().enumerate().collect();
        evidence.sort_by_key(|(_, item)| item.statement);
        evidence.dedup_by_key(|(_, item)| item.statement);
        let mut findings: Vec<&Finding> = case.findings.iter().collect();
        findings.sort();
        findings.dedup();
        let recalled: BTreeSet<StatementId> = findings
            .iter()
            .filter(|finding| finding.kind.withdraws())
            .flat_map(|finding| finding.evidence.iter().copied())
            .collect();
        let profiles = profiles.into_iter().map(|(place, declared)| {
            let profile = &declared.profile;
            let requirements = profile.requirements.values();
            let vetoes = findings.iter().filter(|finding| profile.vetoes.contains(&finding.kind));
            PreparedProfile {
                place,
                requirements: requirements
                    .map(|one| {
                        PreparedRequirement::new(case, profile, one, &evidence, &recalled, expressions)
                    })
                    .collect(),
                vetoes: vetoes.map(|finding| (*finding).clone()).collect(),
            }
        });
        Ok(Self {
            profiles: profiles.collect(),
            leaves: evidence.iter().map(|(_, item)| (item.statement, item.authority)).collect(),
            explained: None,
        })
    }

    /// The verdict about a case that differs from the one that was prepared in request, time and governance alone, its
    /// action aside.
    ///
    /// # Errors
    /// [`CaseError`].
    pub(super) fn verdict(&mut self, case: &Case) -> Result<Verdict, CaseError> {
        let mut is_changed = false;
        let mut profiles = Vec::with_capacity(self.profiles.len());
        let mut assessed = Vec::with_capacity(self.profiles.len());
        for prepared in &mut self.profiles {
            let Some(declared) = case.profiles.get(prepared.place) else { continue };
            assessed.push(prepared.assess(declared, case, &mut is_changed));
            profiles.push(&declared.profile);
        }
        if is_changed {
            self.explained = None;
        }
        let explained = match self.explained.take() {
            Some(explained) => explained,
            None => {
                let trees =
                    self.profiles.iter().zip(&profiles).map(|(prepared, profile)| prepared.tree(profile));
                Explained::new(&case.composition, &assessed, trees.collect())?
            }
        };
        let explained = self.explained.insert(explained);
        govern(case, profiles, conclude(case, assessed, explained, &self.leaves)?)
    }
}

fn bounded(what: &'static str, found: usize, max: usize) -> Result<(), CaseError> {
    if found > max { Err(CaseError::TooMany { what, found, max }) } else { Ok(()) }
}

impl PreparedProfile {
    fn assess<'a>(
        &mut self,
        declared: &'a DeclaredProfile,
        case: &Case,
        is_changed: &mut bool,
    ) -> Assessed<'a> {
        let profile = &declared.profile;
        let requirements = profile.requirements.iter().zip(&mut self.requirements);
        let requirements: BTreeMap<_, _> = requirements
            .map(|((name, requirement), prepared)| {
                (name.clone(), prepared.assess(requirement, case, is_changed))
            })
            .collect();
        let state = |name: &str| requirements.get(name).map_or(RequirementState::Unmet, |found| found.state);
        let holds = |accept: &[RequirementState]| rule_holds(&profile.rule, &|n| accept.contains(&state(n)));
        let outcome = if !self.vetoes.is_empty() {
            Outcome::Vetoed
        } else if holds(&[RequirementState::Met]) {
            Outcome::Admitted
        } else if holds(&[RequirementState::Met, RequirementState::Unknown]) {
            // INVARIANT(7): unknown is never good; it is told apart from unmet, and admits nothing.
            Outcome::Unknown
        } else {
            Outcome::Unmet
        };
        let outcome = ProfileOutcome {
            profile: profile.id.clone(),
            declared_by: declared.declared_by,
            outcome,
            requirements,
            vetoes: self.vetoes.clone(),
        };
        Assessed { profile, outcome }
    }

    /// The profile's rule over evidence.
    fn tree(&self, profile: &Profile) -> Tree {
        let shown = |name: &str| {
            let mut all = profile.requirements.keys().zip(&self.requirements);
            let found = all.find(|(other, _)| *other == name);
            found.map_or(Tree::False, |(_, prepared)| prepared.shown_by.clone())
        };
        rule_tree(&profile.rule, &shown)
    }
}

pub(super) fn rule_holds(rule: &Rule, holds: &impl Fn(&str) -> bool) -> bool {
    match rule {
        Rule::Requirement(name) => holds(name),
        Rule::All { all } => all.iter().all(|part| rule_holds(part, holds)),
        Rule::Any { any } => any.iter().any(|part| rule_holds(part, holds)),
        Rule::AtLeast { at_least, of } => {
            of.iter().filter(|part| rule_holds(part, holds)).count() >= usize::from(*at_least)
        }
    }
}

pub(super) fn rule_tree(rule: &Rule, leaf: &impl Fn(&str) -> Tree) -> Tree {
    match rule {
        Rule::Requirement(name) => leaf(name),
        Rule::All { all } => Tree::all(all.iter().map(|part| rule_tree(part, leaf))),
        Rule::Any { any } => Tree::at_least(1, any.iter().map(|part| rule_tree(part, leaf))),
        Rule::AtLeast { at_least, of } => {
            Tree::at_least(u64::from(*at_least), of.iter().map(|part| rule_tree(part, leaf)))
        }
    }
}

impl PreparedRequirement {
    fn new(
        case: &Case,
        profile: &Profile,
        requirement: &Requirement,
        evidence: &[(usize, &Evidence)],
        recalled: &BTreeSet<StatementId>,
        expressions: &mut Expressions,
    ) -> Self {
        let considered = evidence.iter().enumerate().filter(|(_, (_, item))| {
            requirement.claims.iter().any(|pattern| pattern_matches(pattern, &item.observation.claim))
                && is_in_reach(requirement, &item.relation)
        });
        let piece = |(leaf, (place, item)): (usize, &(usize, &Evidence))| {
            let refused = Reasons::from(refusals(requirement, item, recalled.contains(&item.statement)));
            let half_life_s = profile.half_life_s(&item.observation.claim);
            Piece {
                place: *place,
                leaf,
                steady: Steady::of(item, half_life_s, &profile.quality),
                is_unknown: !refused.is_empty() && refused.iter().all(|why| why.code.starts_with("unknown-")),
                refused,
                effective: item.observation.effective,
                expires: item.observation.expires,
                expressed: None,
                now: Timed::default(),
                before: Default::default(),
                accepted: false,
                counted: false,
            }
        };
        // INVARIANT(7): silence is no answer of whom the requirement names, nor, where it names nobody, of whom the decider
        // recognises for what it asks. Nothing is expected of others, or each decision would wait for all of a mesh.
        let Requirement { organisations, claims, roles, .. } = requirement;
        let unheard = case.unheard.iter().filter(|(id, silence)| match organisations.as_slice() {
            [] => Recognition::may_count(&silence.recognitions, claims, roles),
            named => named.contains(id),
        });
        let mut prepared = Self {
            unheard: unheard
                .map(|(organisation, silence)| Unheard { organisation: *organisation, since: silence.since })
                .collect(),
            expression: requirement.expression.as_deref().map(|text| expressions.compiled(text)),
            pieces: considered.map(piece).collect(),
            sources: 0,
            groups: Vec::new(),
            shown_by: Tree::False,
            is_shown: false,
            state: RequirementState::Unmet,
        };
        prepared.show(requirement);
        prepared
    }

    /// Looks at everything that passes with time.
    fn assess(
        &mut self,
        requirement: &Requirement,
        case: &Case,
        is_changed: &mut bool,
    ) -> RequirementOutcome {
        let expression = self.expression.as_deref();
        let mut considered = Vec::with_capacity(self.pieces.len());
        let (mut count, mut is_regrouped) = (0, false);
        for piece in &mut self.pieces {
            let Some(item) = case.evidence.get(piece.place) else { continue };
            piece.now = piece.at(case.time, requirement, expression, item);
            let accepted = piece.refused.is_empty() && piece.now == Timed::default();
            is_regrouped |= piece.accepted != accepted;
            piece.accepted = accepted;
            count += usize::from(accepted);
            considered.push(Considered {
                statement: item.statement,
                authority: item.authority,
                organisation: item.organisation,
                relation: item.relation.clone(),
                translation: item.crossing.translation.clone(),
                weighed: piece.steady.weigh(case.time),
                refused: Reasons::default(),
            });
        }
        if is_regrouped {
            self.group(case);
        }
        // Floors come last: they look at the weight with corroboration.
        let (mut is_counted_anew, mut is_unknown) = (is_regrouped, false);
        for (piece, considered) in self.pieces.iter_mut().zip(&mut considered) {
            if piece.accepted {
                considered.weighed.corroborate(count, self.sources);
                piece.now.below = requirement.floors.iter().find_map(|(dimension, floor)| {
                    let value = considered.weighed.weight.component(*dimension);
                    (value < *floor).then_some((*dimension, value))
                });
            }
            let counted = piece.accepted && piece.now.below.is_none();
            is_counted_anew |= piece.counted != counted;
            piece.counted = counted;
            considered.refused = piece.reasons(requirement);
            is_unknown |= piece.is_unknown && piece.now == Timed::default();
        }
        if is_counted_anew {
            self.show(requirement);
        }
        // INVARIANT(7): nobody knows what they do not say who cannot be heard.
        let unheard = self.awaited(requirement, case);
        let state = if self.is_shown {
            RequirementState::Met
        } else if is_unknown || !unheard.is_empty() {
            RequirementState::Unknown
        } else {
            RequirementState::Unmet
        };
        *is_changed |= is_counted_anew || state != self.state;
        self.state = state;
        RequirementOutcome { state, considered, unheard }
    }

    /// Those who cannot be heard and may add to what counts, if that would be shown with each of them for one more source.
    fn awaited(&self, requirement: &Requirement, case: &Case) -> Vec<Unheard> {
        if self.is_shown || self.unheard.is_empty() {
            return Vec::new();
        }
        // Whoever has said something already is a source already.
        let is_new = |unheard: &&Unheard, has_said: fn(&Piece) -> bool| {
            let mut said = self.pieces.iter().filter(|piece| has_said(piece));
            !said.any(|piece| {
                case.evidence.get(piece.place).is_some_and(|item| item.organisation == unheard.organisation)
            })
        };
        let awaited: Vec<Unheard> =
            self.unheard.iter().filter(|one| is_new(one, |piece| piece.counted)).cloned().collect();
        let others = awaited.iter().filter(|one| is_new(one, |piece| piece.accepted)).count();
        let accepted = self.pieces.iter().filter(|piece| piece.accepted).zip(&self.groups);
        let counted: BTreeSet<usize> =
            accepted.filter(|(piece, _)| piece.counted).map(|(_, group)| *group).collect();
        let is_enough = counted.len() + awaited.len() >= usize::from(requirement.distinct)
            && sources_needed(requirement).is_some_and(|need| self.sources + others >= need);
        if is_enough { awaited } else { Vec::new() }
    }

    /// Who is independent of whom, among all that is accepted but for floors. Leaving a piece of evidence out later does
    /// not undo what it showed: an echo stays an echo.
    fn group(&mut self, case: &Case) {
        let accepted = self.pieces.iter().filter(|piece| piece.accepted);
        let items: Vec<&Evidence> = accepted.filter_map(|piece| case.evidence.get(piece.place)).collect();
        self.groups = independent_groups(&items);
        // Groups are numbered without gaps.
        self.sources = self.groups.iter().max().map_or(0, |last| last + 1);
    }

    fn show(&mut self, requirement: &Requirement) {
        let accepted = self.pieces.iter().filter(|piece| piece.accepted).zip(&self.groups);
        let sources: Vec<Source> = accepted
            .map(|(piece, group)| Source { leaf: piece.leaf, group: *group, counts: piece.counted })
            .collect();
        self.shown_by = shown_by(requirement, &sources);
        self.is_shown = self.shown_by.evaluate(&|_| true);
    }
}

impl Piece {
    /// What speaks against it at a time, floors aside.
    fn at(
        &mut self,
        time: Timestamp,
        requirement: &Requirement,
        expression: Option<&Result<Expression, ExpressionError>>,
        item: &Evidence,
    ) -> Timed {
        let age_days = time.since(self.effective) / 86_400;
        if let Some(expression) =
            expression.filter(|_| self.expressed.as_ref().map(|(age, _)| *age) != Some(age_days))
        {
            self.expressed = Some((age_days, unexpressed(expression, item, age_days)));
        }
        let is_unexpressed = matches!(self.expressed, Some((_, Some(_))));
        Timed {
            not_yet: self.effective > time,
            expired: self.expires.is_some_and(|expires| expires < time),
            too_old: requirement.max_age_days.filter(|max| age_days > u64::from(*max)).map(|_| age_days),
            unexpressed: is_unexpressed.then_some(age_days),
            below: None,
        }
    }

    /// Everything that speaks against it now. Most of the time that is what it was the last time.
    fn reasons(&mut self, requirement: &Requirement) -> Reasons {
        if self.now == Timed::default() {
            return self.refused.clone();
        }
        if self.now != self.before.0 {
            self.before = (self.now, self.refusals(requirement).into());
        }
        self.before.1.clone()
    }

    fn refusals(&self, requirement: &Requirement) -> Vec<Reason> {
        let mut reasons = self.refused.to_vec();
        let mut refuse = |code, text: Cow<'static, str>| reasons.push(Reason::new(code, text));
        let now = &self.now;
        if now.not_yet {
            refuse("not-yet-effective", format!("it takes effect at {}", self.effective).into());
        }
        if now.expired {
            refuse("expired", "it has expired".into());
        }
        if let Some(age_days) = now.too_old {
            refuse("too-old", format!("it is {age_days} days old").into());
        }
        if let Some((_, Some(reason))) = self.expressed.as_ref().filter(|_| now.unexpressed.is_some()) {
            reasons.push(reason.clone());
        }
        if let Some((dimension, value)) = now.below {
            let floor = requirement.floors.get(&dimension).copied().unwrap_or_default();
            let text = format!("{} is {} ppm, below {}", dimension.name(), value.get(), floor.get());
            reasons.push(Reason::new("weight-floor", text));
        }
        reasons
    }
}

/// Why an expression does not hold, where it does not.
fn unexpressed(
    expression: &Result<Expression, ExpressionError>,
    item: &Evidence,
    age_days: u64,
) -> Option<Reason> {
    let text: Cow<'static, str> = match expression.as_ref().map(|one| one.holds(&item.observation, age_days))
    {
        Ok(Ok(true)) => return None,
        Ok(Ok(false)) => "the profile's expression does not hold".into(),
        Ok(Err(why)) => format!("the expression cannot be evaluated: {why}").into(),
        Err(error) => error.to_string().into(),
    };
    Some(Reason::new("expression", text))
}

/// One piece of evidence that a requirement does not refuse, except perhaps for a floor.
struct Source {
    leaf: usize,
    /// Which of the independent sources it belongs to.
    group: usize,
    /// Whether it reaches the floors.
    counts: bool,
}

/// A requirement is shown by `distinct` independent sources, in each by any one piece of evidence that reaches the
/// floors. A floor of corroboration asks for further sources, which need not reach the floors themselves.
fn shown_by(requirement: &Requirement, sources: &[Source]) -> Tree {
    let shown =
        groups_at_least(u64::from(requirement.distinct), sources.iter().filter(|source| source.counts));
    match sources_needed(requirement) {
        Some(0 | 1) => shown,
        Some(need) => Tree::all([shown, groups_at_least(need as u64, sources)]),
        None => Tree::False,
    }
}

/// The fewest independent sources that reach the requirement's floor of corroboration; none where no number does.
fn sources_needed(requirement: &Requirement) -> Option<usize> {
    sources_for(requirement.floors.get(&Dimension::Corroboration).copied().unwrap_or(Ppm::ZERO))
}

fn groups_at_least<'a>(need: u64, sources: impl IntoIterator<Item = &'a Source>) -> Tree {
    let mut groups: Vec<Vec<Tree>> = Vec::new();
    for source in sources {
        // Groups are numbered as they first occur.
        if groups.len() <= source.group {
            groups.resize_with(source.group + 1, Vec::new);
        }
        if let Some(leaves) = groups.get_mut(source.group) {
            leaves.push(Tree::Leaf(source.leaf));
        }
    }
    let shown = groups.into_iter().filter(|leaves| !leaves.is_empty());
    Tree::at_least(need, shown.map(|leaves| Tree::at_least(1, leaves)))
}

fn is_in_reach(requirement: &Requirement, relation: &Relation) -> bool {
    match (&requirement.reached, relation) {
        (None, Relation::Itself) => true,
        (Some(reach), Relation::Reached(edges)) => {
            edges.len() <= usize::from(reach.depth) && edges.iter().all(|edge| reach.edges.contains(edge))
        }
        _ => false,
    }
}

/// What speaks against a piece of evidence, whenever somebody asks.
fn refusals(requirement: &Requirement, item: &Evidence, is_recalled: bool) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut refuse = |code, text: String| reasons.push(Reason::new(code, text));
    if !requirement.organisations.is_empty() && !requirement.organisations.contains(&item.organisation) {
        refuse("organisation", format!("{} is not among the organisations asked for", item.organisation));
    }
    if !requirement.roles.is_empty() && !requirement.roles.iter().any(|p| pattern_matches(p, &item.role)) {
        refuse("role", format!("role {} is not among the roles asked for", item.role));
    }
    if !requirement.kinds.is_empty() && !requirement.kinds.contains(&item.kind) {
        refuse("kind", "the signer is not of a kind asked for".into());
    }
    if !requirement.unrecognised && item.recognition == RecognitionStanding::Unrecognised {
        refuse("unrecognised", format!("no recognition covers role {} for this claim", item.role));
    }
    if let Some(outside) = &item.crossing.barred {
        refuse("agreement", outside.to_string());
    }
    match item.standing {
        Standing::InForce => {}
        Standing::Unknown => refuse("unknown-standing", "how the signer stands is not known".into()),
        standing => refuse("standing", format!("the signer's credential is {standing}")),
    }
    match item.freshness {
        Freshness::Fresh => {}
        Freshness::Stale { age_s } => refuse(
            "unknown-freshness",
            format!("its chain was last confirmed {age_s} s ago, too long to rely on"),
        ),
        Freshness::Unreachable { since } => refuse(
            "unknown-freshness",
            format!("its organisation is unreachable since {since}, too long to rely on it"),
        ),
    }
    if is_recalled {
        refuse("recalled", "it was recalled, or its organisation forked".into());
    }
    if item.observation.adverse {
        refuse("adverse", "it speaks against the subject".into());
    }
    reasons
}
