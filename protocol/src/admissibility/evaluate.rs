//! From a case to a verdict.
// INVARIANT(6): a verdict is a pure function of (profiles, evidence, request, time). Everything is sorted before it is
// looked at, and there are no floats.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{Evidence, Finding, Freshness, RecognitionStanding, Relation};
use super::expression::Expressions;
use super::govern::govern;
use super::profile::{Composition, Profile, Requirement, Rule, ScopeLimit};
use super::structure::Tree;
use super::verdict::{
    Considered, MissingRequirement, Outcome, ProfileOutcome, Reason, RequirementOutcome, RequirementState,
    SufficientSet, Verdict,
};
use crate::actuation::governance::Governance;
use crate::actuation::{Mode, Request, RequestError, Reversibility};
use crate::identity::Standing;
use crate::identity::credential::pattern_matches;
use crate::ids::{AuthorityId, StatementId, Timestamp};
use crate::limits::{EVIDENCE_MAX, PROFILES_MAX};
use crate::weighting::corroboration::{independent_groups, sources_for, weight as corroboration_weight};
use crate::weighting::derive::weigh;
use crate::weighting::{Dimension, Ppm, Step, Weight};

/// A profile that was declared and is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredProfile {
    /// The statement that declared it.
    pub declared_by: StatementId,
    /// The profile.
    pub profile: Profile,
}

/// All that a verdict depends on.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is asked.
    pub request: Request,
    /// When.
    pub time: Timestamp,
    /// Profiles in force.
    pub profiles: Vec<DeclaredProfile>,
    /// How they compose.
    pub composition: Composition,
    /// Evidence.
    pub evidence: Vec<Evidence>,
    /// Findings.
    pub findings: Vec<Finding>,
    /// What governs the action besides profiles.
    pub governance: Governance,
}

/// Why a case cannot be evaluated at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// See the inner error.
    #[error("request: {0}")]
    Request(#[from] RequestError),
    /// No profile applies, so nothing could admit or refuse.
    #[error("no active profile applies to action {0:?}; declare and activate one")]
    NoProfile(String),
    /// Too many profiles or too much evidence.
    #[error("{found} {what}, more than the {max} that one decision weighs")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many are allowed.
        max: usize,
    },
    /// The composition names a profile that is not there.
    #[error("the composition names profile {0:?}, which is not among those that apply")]
    Composition(String),
}

/// Evaluates a case.
///
/// # Errors
/// [`CaseError`] when there is nothing to evaluate. Missing evidence is no error but part of the verdict.
pub fn evaluate(case: &Case) -> Result<Verdict, CaseError> {
    evaluate_with(case, &mut Expressions::default())
}

/// The same, with expressions that are kept from one case to the next.
///
/// # Errors
/// See [`evaluate`].
pub fn evaluate_with(case: &Case, expressions: &mut Expressions) -> Result<Verdict, CaseError> {
    case.request.check()?;
    let mut profiles: Vec<&DeclaredProfile> =
        case.profiles.iter().filter(|p| p.profile.applies_to(&case.request)).collect();
    profiles.sort_by(|a, b| (&a.profile.id, a.declared_by).cmp(&(&b.profile.id, b.declared_by)));
    profiles.dedup_by(|a, b| a.declared_by == b.declared_by);
    if profiles.is_empty() {
        return Err(CaseError::NoProfile(case.request.action.clone()));
    }
    bounded("profiles", profiles.len(), PROFILES_MAX)?;
    bounded("pieces of evidence", case.evidence.len(), EVIDENCE_MAX)?;
    let mut evidence: Vec<&Evidence> = case.evidence.iter().collect();
    evidence.sort_by_key(|e| e.statement);
    evidence.dedup_by_key(|e| e.statement);
    let mut findings: Vec<&Finding> = case.findings.iter().collect();
    findings.sort();
    findings.dedup();

    let assessed: Vec<Assessed<'_>> = profiles
        .iter()
        .map(|declared| Assessed::new(case, declared, &evidence, &findings, expressions))
        .collect();
    govern(case, &profiles, conclude(case, &evidence, assessed)?)
}

fn bounded(what: &'static str, found: usize, max: usize) -> Result<(), CaseError> {
    if found > max { Err(CaseError::TooMany { what, found, max }) } else { Ok(()) }
}

/// One profile with its requirements assessed.
struct Assessed<'a> {
    profile: &'a Profile,
    outcome: ProfileOutcome,
    /// For each requirement, the tree over evidence that shows it.
    shown_by: BTreeMap<&'a str, Tree>,
}

impl<'a> Assessed<'a> {
    fn new(
        case: &Case,
        declared: &'a DeclaredProfile,
        evidence: &[&Evidence],
        findings: &[&Finding],
        expressions: &mut Expressions,
    ) -> Self {
        let profile = &declared.profile;
        let recalled: BTreeSet<StatementId> = findings
            .iter()
            .filter(|finding| finding.kind.withdraws())
            .flat_map(|finding| finding.evidence.iter().copied())
            .collect();
        let mut requirements = BTreeMap::new();
        let mut shown_by = BTreeMap::new();
        for (name, requirement) in &profile.requirements {
            let (outcome, tree) = assess(case, profile, requirement, evidence, &recalled, expressions);
            requirements.insert(name.clone(), outcome);
            shown_by.insert(name.as_str(), tree);
        }
        let vetoes: Vec<Finding> = findings
            .iter()
            .filter(|finding| profile.vetoes.contains(&finding.kind))
            .map(|finding| (*finding).clone())
            .collect();
        let state = |name: &str| requirements.get(name).map_or(RequirementState::Unmet, |r| r.state);
        let holds = |accept: &[RequirementState]| rule_holds(&profile.rule, &|n| accept.contains(&state(n)));
        let outcome = if !vetoes.is_empty() {
            Outcome::Vetoed
        } else if holds(&[RequirementState::Met]) {
            Outcome::Admitted
        } else if holds(&[RequirementState::Met, RequirementState::Unknown]) {
            // INVARIANT(7): unknown is never good; it is told apart from unmet, and admits nothing.
            Outcome::Unknown
        } else {
            Outcome::Unmet
        };
        let declared_by = declared.declared_by;
        let outcome =
            ProfileOutcome { profile: profile.id.clone(), declared_by, outcome, requirements, vetoes };
        Self { profile, outcome, shown_by }
    }

    fn state(&self, requirement: &str) -> RequirementState {
        self.outcome.requirements.get(requirement).map_or(RequirementState::Unmet, |r| r.state)
    }
}

fn rule_holds(rule: &Rule, holds: &impl Fn(&str) -> bool) -> bool {
    match rule {
        Rule::Requirement(name) => holds(name),
        Rule::All { all } => all.iter().all(|part| rule_holds(part, holds)),
        Rule::Any { any } => any.iter().any(|part| rule_holds(part, holds)),
        Rule::AtLeast { at_least, of } => {
            of.iter().filter(|part| rule_holds(part, holds)).count() >= usize::from(*at_least)
        }
    }
}

fn rule_tree(rule: &Rule, leaf: &impl Fn(&str) -> Tree) -> Tree {
    match rule {
        Rule::Requirement(name) => leaf(name),
        Rule::All { all } => Tree::all(all.iter().map(|part| rule_tree(part, leaf))),
        Rule::Any { any } => Tree::at_least(1, any.iter().map(|part| rule_tree(part, leaf))),
        Rule::AtLeast { at_least, of } => {
            Tree::at_least(u64::from(*at_least), of.iter().map(|part| rule_tree(part, leaf)))
        }
    }
}

/// Looks at all evidence for one requirement.
fn assess(
    case: &Case,
    profile: &Profile,
    requirement: &Requirement,
    evidence: &[&Evidence],
    recalled: &BTreeSet<StatementId>,
    expressions: &mut Expressions,
) -> (RequirementOutcome, Tree) {
    let expression = requirement.expression.as_deref().map(|text| expressions.compiled(text));
    let mut considered = Vec::with_capacity(evidence.len());
    // Where it stands among all evidence, and among what is considered.
    let mut accepted: Vec<(usize, usize)> = Vec::with_capacity(evidence.len());
    for (index, item) in evidence.iter().enumerate() {
        if !requirement.claims.iter().any(|p| pattern_matches(p, &item.observation.claim))
            || !is_in_reach(requirement, &item.relation)
        {
            continue;
        }
        let weighed = weigh(item, case.time, profile.half_life_s(&item.observation.claim), &profile.quality);
        let mut refused = refusals(case, requirement, item, recalled);
        match expression.as_deref() {
            Some(Ok(expression)) => match expression.holds(&item.observation, case.time) {
                Ok(true) => {}
                Ok(false) => refused.push(reason("expression", "the profile's expression does not hold")),
                Err(why) => {
                    refused.push(reason("expression", format!("the expression cannot be evaluated: {why}")))
                }
            },
            Some(Err(error)) => refused.push(reason("expression", error.to_string())),
            None => {}
        }
        if refused.is_empty() {
            accepted.push((index, considered.len()));
        }
        considered.push(Considered {
            statement: item.statement,
            authority: item.authority,
            organisation: item.organisation,
            relation: item.relation.clone(),
            translation: item.crossing.translation.clone(),
            weighed,
            refused,
        });
    }
    // Who is independent of whom is found once, on all that is accepted so far. Leaving a piece of evidence out later
    // does not undo what it showed: an echo stays an echo.
    let items: Vec<&Evidence> =
        accepted.iter().filter_map(|(index, _)| evidence.get(*index)).copied().collect();
    let groups = independent_groups(&items);
    corroborate(&mut considered, &groups);
    // Floors come last: they look at the weight with corroboration.
    for item in &mut considered {
        for (dimension, floor) in &requirement.floors {
            let value = item.weighed.weight.component(*dimension);
            if value < *floor && item.refused.is_empty() {
                let text = format!("{} is {} ppm, below {}", dimension.name(), value.get(), floor.get());
                item.refused.push(reason("weight-floor", text));
            }
        }
    }
    let counts = |place: usize| considered.get(place).is_some_and(|c| c.refused.is_empty());
    let sources: Vec<Source> = accepted
        .iter()
        .zip(groups)
        .map(|((leaf, place), group)| Source { leaf: *leaf, group, counts: counts(*place) })
        .collect();
    let tree = shown_by(requirement, &sources);
    let state = if tree.evaluate(&|_| true) {
        RequirementState::Met
    } else if considered
        .iter()
        .any(|c| !c.refused.is_empty() && c.refused.iter().all(|r| r.code.starts_with("unknown-")))
    {
        RequirementState::Unknown
    } else {
        RequirementState::Unmet
    };
    (RequirementOutcome { state, considered }, tree)
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
    let floor = requirement.floors.get(&Dimension::Corroboration).copied().unwrap_or(Ppm::ZERO);
    match sources_for(floor) {
        Some(0 | 1) => shown,
        Some(need) => Tree::all([shown, groups_at_least(need as u64, sources)]),
        None => Tree::False,
    }
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

fn corroborate(considered: &mut [Considered], groups: &[usize]) {
    // Groups are numbered without gaps.
    let count = groups.iter().max().map_or(0, |last| last + 1);
    let value = corroboration_weight(count);
    let found = format!("{} pieces of evidence from {count} independent sources", groups.len());
    for item in considered.iter_mut().filter(|c| c.refused.is_empty()) {
        item.weighed.weight.corroboration = value;
        let found = found.clone().into();
        item.weighed.derivation.push(Step { dimension: Dimension::Corroboration, found, value });
    }
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

pub(super) fn reason(code: &str, text: impl Into<String>) -> Reason {
    Reason { code: code.to_owned(), text: text.into() }
}

fn refusals(
    case: &Case,
    requirement: &Requirement,
    item: &Evidence,
    recalled: &BTreeSet<StatementId>,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut refuse = |code: &str, text: String| reasons.push(reason(code, text));
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
    if recalled.contains(&item.statement) {
        refuse("recalled", "it was recalled, or its organisation forked".into());
    }
    if item.observation.adverse {
        refuse("adverse", "it speaks against the subject".into());
    }
    if item.observation.effective > case.time {
        refuse("not-yet-effective", format!("it takes effect at {}", item.observation.effective));
    }
    if item.observation.expires.is_some_and(|expires| expires < case.time) {
        refuse("expired", "it has expired".into());
    }
    let age_days = case.time.since(item.observation.effective) / 86_400;
    if requirement.max_age_days.is_some_and(|max| age_days > u64::from(max)) {
        refuse("too-old", format!("it is {age_days} days old"));
    }
    reasons
}

/// The whole rule over evidence: what is sufficient.
fn sufficient_tree(assessed: &[Assessed<'_>], composition: &Composition) -> Result<Tree, CaseError> {
    let of_profile = |one: &Assessed<'_>| {
        rule_tree(&one.profile.rule, &|name| one.shown_by.get(name).cloned().unwrap_or(Tree::False))
    };
    compose(composition, &ids(assessed), assessed.iter().map(of_profile).collect())
}

/// The whole rule over requirements that are not met: what is missing; and what its leaves stand for.
fn missing_tree<'a>(
    assessed: &[Assessed<'a>],
    composition: &Composition,
) -> Result<(Tree, Vec<MissingLeaf<'a>>), CaseError> {
    let mut leaves = Vec::new();
    let mut trees = Vec::with_capacity(assessed.len());
    for one in assessed {
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        for name in one.profile.requirements.keys() {
            if one.state(name) != RequirementState::Met {
                numbers.insert(name, leaves.len());
                leaves.push((one.profile, name.clone(), one.state(name)));
            }
        }
        trees.push(rule_tree(&one.profile.rule, &|name| {
            numbers.get(name).map_or(Tree::True, |n| Tree::Leaf(*n))
        }));
    }
    Ok((compose(composition, &ids(assessed), trees)?, leaves))
}

fn ids<'a>(assessed: &[Assessed<'a>]) -> Vec<&'a str> {
    assessed.iter().map(|one| one.profile.id.as_str()).collect()
}

pub(super) fn compose(composition: &Composition, ids: &[&str], trees: Vec<Tree>) -> Result<Tree, CaseError> {
    let known = |id: &String| {
        if ids.contains(&id.as_str()) { Ok(()) } else { Err(CaseError::Composition(id.clone())) }
    };
    match composition {
        Composition::Intersection => Ok(Tree::all(trees)),
        Composition::Weighted { weights, threshold } => {
            weights.keys().try_for_each(known)?;
            let weight = |id: &str| u64::from(weights.get(id).copied().unwrap_or_default());
            let children = ids.iter().zip(trees).map(|(id, tree)| (weight(id), tree)).collect();
            Ok(Tree::Threshold { need: u64::from((*threshold).max(1)), children })
        }
        // What a lower profile narrows it withholds altogether, unless its limits leave part of the scopes; what a
        // higher one refuses no lower one admits. Both follow from asking all of them.
        Composition::Hierarchical { order } => {
            order.iter().try_for_each(known)?;
            Ok(Tree::all(trees))
        }
    }
}

fn conclude(case: &Case, evidence: &[&Evidence], assessed: Vec<Assessed<'_>>) -> Result<Verdict, CaseError> {
    let sufficient = sufficient_tree(&assessed, &case.composition)?;
    let is_vetoed = assessed.iter().any(|one| one.outcome.outcome == Outcome::Vetoed);
    let is_admitted = !is_vetoed && sufficient.evaluate(&|_| true);
    let mut reasons = Vec::new();
    let (mut scopes, mut withheld) = (BTreeMap::new(), BTreeMap::new());
    let mut lifted = None;
    let mode = if is_vetoed {
        for one in &assessed {
            for veto in &one.outcome.vetoes {
                let text = format!(
                    "profile {}: {} by {}: {}",
                    one.profile.id,
                    veto.kind.name(),
                    veto.organisation,
                    veto.reason
                );
                reasons.push(reason("veto", text));
            }
        }
        Mode::Refuse
    } else if is_admitted {
        (scopes, withheld) = admitted_scopes(case, &assessed, &mut reasons);
        if withheld.is_empty() {
            reasons.push(reason("admitted", "every profile that is asked for admits"));
            Mode::Continue
        } else if scopes.values().any(Vec::is_empty) {
            reasons.push(reason("nothing-left", "the limits leave nothing of a requested scope"));
            lifted = Some(something_left(case, &assessed));
            Mode::Defer
        } else if is_irreversible_and_unknown(case, &assessed) {
            // INVARIANT(missing): what is unknown about an irreversible action never yields more than defer, not even for
            // the scopes that it does not concern.
            let text = "what would lift a limit is unknown, and the action is irreversible";
            reasons.push(reason("unknown-irreversible", text));
            lifted = Some(everything_known(case, &assessed));
            Mode::Defer
        } else {
            Mode::Partial
        }
    } else {
        missing_mode(case, &assessed, &mut reasons)
    };
    let proceeds = matches!(mode, Mode::Continue | Mode::Partial);
    if !proceeds {
        withheld = case.request.scopes.clone();
        scopes = case.request.scopes.keys().map(|dimension| (dimension.clone(), Vec::new())).collect();
    }
    let mut verdict = Verdict {
        mode,
        scopes,
        withheld,
        profiles: Vec::new(),
        necessary: Vec::new(),
        sufficient: Vec::new(),
        sufficient_count: None,
        missing: Vec::new(),
        missing_count: None,
        truncated: false,
        weight: None,
        reasons,
        governed: None,
    };
    if let Some((tree, leaves)) = lifted {
        explain_missing(&mut verdict, case, &tree, &leaves);
    } else if is_admitted {
        explain_admitted(&mut verdict, evidence, &assessed, &sufficient);
    } else if !is_vetoed {
        let (tree, leaves) = missing_tree(&assessed, &case.composition)?;
        explain_missing(&mut verdict, case, &tree, &leaves);
    }
    verdict.profiles = assessed.into_iter().map(|one| one.outcome).collect();
    Ok(verdict)
}

/// A requirement that is missing, with its profile.
type MissingLeaf<'a> = (&'a Profile, String, RequirementState);

/// The limits that a request runs into: each with the leaf of the requirement that would lift it.
fn limits_on<'a>(
    case: &Case,
    assessed: &[Assessed<'a>],
) -> (Vec<(&'a ScopeLimit, usize)>, Vec<MissingLeaf<'a>>) {
    let (mut limits, mut leaves) = (Vec::new(), Vec::<MissingLeaf<'a>>::new());
    for one in assessed {
        for limit in &one.profile.limits {
            let state = one.state(&limit.unless);
            if state == RequirementState::Met || !case.request.scopes.contains_key(&limit.dimension) {
                continue;
            }
            let known =
                leaves.iter().position(|(p, name, _)| p.id == one.profile.id && *name == limit.unless);
            let leaf = known.unwrap_or_else(|| {
                leaves.push((one.profile, limit.unless.clone(), state));
                leaves.len() - 1
            });
            limits.push((limit, leaf));
        }
    }
    (limits, leaves)
}

/// What it takes for the limits to leave a value of each dimension that is asked for.
fn something_left<'a>(case: &Case, assessed: &[Assessed<'a>]) -> (Tree, Vec<MissingLeaf<'a>>) {
    let (limits, leaves) = limits_on(case, assessed);
    let tree = Tree::all(case.request.scopes.iter().map(|(dimension, values)| {
        Tree::at_least(
            1,
            values.iter().map(|value| {
                let out =
                    limits.iter().filter(|(l, _)| l.dimension == *dimension && !l.allow.contains(value));
                Tree::all(out.map(|(_, leaf)| Tree::Leaf(*leaf)))
            }),
        )
    }));
    (tree, leaves)
}

/// What it takes for nothing to be unknown about the limits.
fn everything_known<'a>(case: &Case, assessed: &[Assessed<'a>]) -> (Tree, Vec<MissingLeaf<'a>>) {
    let (_, leaves) = limits_on(case, assessed);
    let unknown = leaves.iter().enumerate().filter(|(_, (_, _, state))| *state == RequirementState::Unknown);
    (Tree::all(unknown.map(|(leaf, _)| Tree::Leaf(leaf))), leaves)
}

/// Whether the action cannot be taken back, and the requirement that would lift a limit on it is unknown.
fn is_irreversible_and_unknown(case: &Case, assessed: &[Assessed<'_>]) -> bool {
    case.governance.reversibility(&case.request) == Reversibility::Irreversible
        && assessed.iter().any(|one| {
            one.profile.limits.iter().any(|limit| {
                case.request.scopes.contains_key(&limit.dimension)
                    && one.state(&limit.unless) == RequirementState::Unknown
            })
        })
}

type Scopes = BTreeMap<String, Vec<String>>;

fn admitted_scopes(case: &Case, assessed: &[Assessed<'_>], reasons: &mut Vec<Reason>) -> (Scopes, Scopes) {
    let mut scopes = case.request.scopes.clone();
    let mut withheld: Scopes = BTreeMap::new();
    for one in assessed {
        for limit in &one.profile.limits {
            if one.state(&limit.unless) == RequirementState::Met {
                continue;
            }
            let Some(values) = scopes.get_mut(&limit.dimension) else { continue };
            let (allowed, out): (Vec<String>, Vec<String>) =
                values.drain(..).partition(|value| limit.allow.contains(value));
            *values = allowed;
            if !out.is_empty() {
                let text = format!(
                    "profile {}: {} {} withheld until {} is met",
                    one.profile.id,
                    limit.dimension,
                    out.join(", "),
                    limit.unless
                );
                reasons.push(reason("scope-limit", text));
                withheld.entry(limit.dimension.clone()).or_default().extend(out);
            }
        }
    }
    (scopes, withheld)
}

/// What missing information leads to: the strictest of what the profiles that do not admit say.
fn missing_mode(case: &Case, assessed: &[Assessed<'_>], reasons: &mut Vec<Reason>) -> Mode {
    let mut mode = Mode::Defer;
    let reversibility = case.governance.reversibility(&case.request);
    for one in assessed.iter().filter(|one| one.outcome.outcome != Outcome::Admitted) {
        let what = if one.outcome.outcome == Outcome::Unknown { "unknown" } else { "unmet" };
        reasons.push(reason(what, format!("profile {} does not admit: its rule is {what}", one.profile.id)));
        mode = mode.max(one.profile.missing.get(&reversibility).copied().unwrap_or(Mode::Defer));
    }
    mode
}

fn explain_admitted(verdict: &mut Verdict, evidence: &[&Evidence], assessed: &[Assessed<'_>], tree: &Tree) {
    let mut authorities: Vec<AuthorityId> = evidence.iter().map(|item| item.authority).collect();
    authorities.sort_unstable();
    authorities.dedup();
    // Authorities by their numbers, which order as they do.
    let numbers: Vec<usize> =
        evidence.iter().filter_map(|item| authorities.binary_search(&item.authority).ok()).collect();
    let authority = |index: usize| numbers.get(index).copied();
    verdict.necessary = authorities
        .iter()
        .enumerate()
        .filter(|(candidate, _)| !tree.evaluate(&|index| authority(index) != Some(*candidate)))
        .map(|(_, id)| *id)
        .collect();
    let sets = tree.minimal_sets();
    verdict.truncated = sets.is_truncated();
    let mut behind = Vec::with_capacity(evidence.len());
    verdict.sufficient = sets
        .sets
        .iter()
        .map(|set| {
            behind.clear();
            behind.extend(set.iter().filter_map(|index| authority(*index)));
            behind.sort_unstable();
            behind.dedup();
            SufficientSet {
                statements: set.iter().filter_map(|index| Some(evidence.get(*index)?.statement)).collect(),
                authorities: behind.iter().filter_map(|n| authorities.get(*n)).copied().collect(),
            }
        })
        .collect();
    verdict.sufficient_count = sets.count;
    verdict.weight = weakest(assessed, |c| verdict.necessary.contains(&c.authority))
        .or_else(|| weakest(assessed, |_| true));
}

fn weakest(assessed: &[Assessed<'_>], counts: impl Fn(&Considered) -> bool) -> Option<Weight> {
    assessed
        .iter()
        .flat_map(|one| one.outcome.requirements.values())
        .flat_map(|requirement| requirement.considered.iter())
        .filter(|considered| considered.refused.is_empty() && counts(considered))
        .map(|considered| considered.weighed.weight)
        .reduce(|a, b| a.min(&b))
}

fn explain_missing(verdict: &mut Verdict, case: &Case, tree: &Tree, leaves: &[MissingLeaf<'_>]) {
    let sets = tree.minimal_sets();
    verdict.truncated = sets.is_truncated();
    verdict.missing_count = sets.count;
    let subject = case.request.subjects.first().map(ToString::to_string).unwrap_or_default();
    verdict.missing = sets
        .sets
        .iter()
        .map(|set| {
            set.iter()
                .filter_map(|leaf| leaves.get(*leaf))
                .map(|(profile, name, state)| MissingRequirement {
                    profile: profile.id.clone(),
                    requirement: name.clone(),
                    state: *state,
                    way_out: profile
                        .requirements
                        .get(name)
                        .map(|requirement| way_out(requirement, &subject))
                        .unwrap_or_default(),
                })
                .collect()
        })
        .collect();
}

fn way_out(requirement: &Requirement, subject: &str) -> String {
    let mut text = format!("an observation of {}", requirement.claims.join(" or "));
    if !requirement.roles.is_empty() {
        text.push_str(&format!(" by role {}", requirement.roles.join(" or ")));
    }
    if requirement.distinct > 1 {
        text.push_str(&format!(" from {} independent organisations", requirement.distinct));
    }
    match &requirement.reached {
        None => text.push_str(&format!(" about {subject}")),
        Some(_) => text.push_str(&format!(" about what {subject} rests on")),
    }
    if let Some(owner) = &requirement.owner {
        text.push_str(&format!("; ask {owner}"));
    }
    text
}
