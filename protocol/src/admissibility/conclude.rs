//! From what requirements came to, to what the profiles together say, and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::count::SetCount;
use super::evaluate::{Case, CaseError};
use super::prepare::rule_tree;
use super::profile::{Composition, Profile, Requirement, ScopeLimit};
use super::structure::Tree;
use super::verdict::{
    Considered, MissingRequirement, Outcome, ProfileOutcome, Reason, RequirementState, SufficientSet,
    Unheard, Verdict,
};
use crate::actuation::{Mode, Reversibility};
use crate::ids::{AuthorityId, StatementId};
use crate::observation::Subject;
use crate::weighting::Weight;

/// One profile with its requirements assessed.
pub(super) struct Assessed<'a> {
    pub(super) profile: &'a Profile,
    pub(super) outcome: ProfileOutcome,
}

impl<'a> Assessed<'a> {
    fn missing(&self, requirement: &str) -> MissingLeaf<'a> {
        let outcome = self.outcome.requirements.get(requirement);
        MissingLeaf {
            profile: self.profile,
            name: requirement.to_owned(),
            state: self.state(requirement),
            unheard: outcome.map(|found| found.unheard.clone()).unwrap_or_default(),
        }
    }

    fn state(&self, requirement: &str) -> RequirementState {
        self.outcome.requirements.get(requirement).map_or(RequirementState::Unmet, |r| r.state)
    }
}

/// What follows from which pieces of evidence count: the same for all decisions in which the same do.
pub(super) struct Explained {
    /// The whole rule over evidence.
    tree: Tree,
    /// Whether all the evidence that counts is enough.
    admits: bool,
    enough: Option<Enough>,
    /// What is missing to a request about this subject.
    missing: Option<(Option<Subject>, Missing)>,
}

struct Enough {
    necessary: Vec<AuthorityId>,
    sets: Arc<[SufficientSet]>,
    count: Option<SetCount>,
    truncated: bool,
}

#[derive(Clone)]
struct Missing {
    sets: Arc<[Vec<MissingRequirement>]>,
    count: Option<SetCount>,
    truncated: bool,
}

impl Explained {
    /// # Errors
    /// [`CaseError::Composition`].
    pub(super) fn new(
        composition: &Composition,
        assessed: &[Assessed<'_>],
        trees: Vec<Tree>,
    ) -> Result<Self, CaseError> {
        let tree = compose(composition, &ids(assessed), trees)?;
        let admits = tree.evaluate(&|_| true);
        Ok(Self { tree, admits, enough: None, missing: None })
    }

    fn enough(&mut self, leaves: &[(StatementId, AuthorityId)]) -> &Enough {
        let tree = &self.tree;
        self.enough.get_or_insert_with(|| Enough::of(tree, leaves))
    }

    fn missing(&mut self, case: &Case, assessed: &[Assessed<'_>]) -> Result<Missing, CaseError> {
        let subject = case.request.subjects.first();
        if let Some((_, missing)) = self.missing.as_ref().filter(|(about, _)| about.as_ref() == subject) {
            return Ok(missing.clone());
        }
        let (tree, leaves) = missing_tree(assessed, &case.composition)?;
        let missing = Missing::of(case, &tree, &leaves);
        self.missing = Some((subject.cloned(), missing.clone()));
        Ok(missing)
    }
}

impl Enough {
    fn of(tree: &Tree, leaves: &[(StatementId, AuthorityId)]) -> Self {
        let mut authorities: Vec<AuthorityId> = leaves.iter().map(|(_, authority)| *authority).collect();
        authorities.sort_unstable();
        authorities.dedup();
        // Authorities by their numbers, which order as they do.
        let numbers: Vec<usize> =
            leaves.iter().filter_map(|(_, authority)| authorities.binary_search(authority).ok()).collect();
        let authority = |index: usize| numbers.get(index).copied();
        let necessary = authorities
            .iter()
            .enumerate()
            .filter(|(candidate, _)| !tree.evaluate(&|index| authority(index) != Some(*candidate)))
            .map(|(_, id)| *id)
            .collect();
        let found = tree.minimal_sets();
        let mut behind = Vec::with_capacity(leaves.len());
        let sets = found.sets.iter().map(|set| {
            behind.clear();
            behind.extend(set.iter().filter_map(|index| authority(*index)));
            behind.sort_unstable();
            behind.dedup();
            SufficientSet {
                statements: set.iter().filter_map(|index| Some(leaves.get(*index)?.0)).collect(),
                authorities: behind.iter().filter_map(|n| authorities.get(*n)).copied().collect(),
            }
        });
        Self { necessary, sets: sets.collect(), truncated: found.is_truncated(), count: found.count }
    }
}

impl Missing {
    fn of(case: &Case, tree: &Tree, leaves: &[MissingLeaf<'_>]) -> Self {
        let found = tree.minimal_sets();
        let subject = case.request.subjects.first().map(ToString::to_string).unwrap_or_default();
        let named = |leaf: &MissingLeaf<'_>| MissingRequirement {
            profile: leaf.profile.id.clone(),
            requirement: leaf.name.clone(),
            state: leaf.state,
            way_out: leaf
                .profile
                .requirements
                .get(&leaf.name)
                .map(|requirement| way_out(requirement, &subject, &leaf.unheard))
                .unwrap_or_default(),
        };
        let sets =
            found.sets.iter().map(|set| set.iter().filter_map(|leaf| leaves.get(*leaf)).map(named).collect());
        Self { sets: sets.collect(), truncated: found.is_truncated(), count: found.count }
    }
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
                leaves.push(one.missing(name));
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

/// Whether profiles together admit, of which each does or does not.
pub(super) fn admits<'a>(
    composition: &Composition,
    mut profiles: impl Iterator<Item = (&'a str, bool)>,
) -> bool {
    match composition {
        Composition::Intersection | Composition::Hierarchical { .. } => profiles.all(|(_, admits)| admits),
        Composition::Weighted { weights, threshold } => {
            let admitting = profiles.filter(|(_, admits)| *admits);
            let weights = admitting.map(|(id, _)| u64::from(weights.get(id).copied().unwrap_or_default()));
            weights.fold(0u64, u64::saturating_add) >= u64::from((*threshold).max(1))
        }
    }
}

/// The verdict of the profiles.
pub(super) fn conclude(
    case: &Case,
    assessed: Vec<Assessed<'_>>,
    explained: &mut Explained,
    leaves: &[(StatementId, AuthorityId)],
) -> Result<Verdict, CaseError> {
    let is_vetoed = assessed.iter().any(|one| one.outcome.outcome == Outcome::Vetoed);
    let is_admitted = !is_vetoed && explained.admits;
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
                reasons.push(Reason::new("veto", text));
            }
        }
        Mode::Refuse
    } else if is_admitted {
        (scopes, withheld) = admitted_scopes(case, &assessed, &mut reasons);
        if withheld.is_empty() {
            reasons.push(Reason::new("admitted", "every profile that is asked for admits"));
            Mode::Continue
        } else if scopes.values().any(Vec::is_empty) {
            reasons.push(Reason::new("nothing-left", "the limits leave nothing of a requested scope"));
            lifted = Some(something_left(case, &assessed));
            Mode::Defer
        } else if is_irreversible_and_unknown(case, &assessed) {
            // INVARIANT(missing): what is unknown about an irreversible action never yields more than defer, not even for
            // the scopes that it does not concern.
            let text = "what would lift a limit is unknown, and the action is irreversible";
            reasons.push(Reason::new("unknown-irreversible", text));
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
        sufficient: Arc::default(),
        sufficient_count: None,
        missing: Arc::default(),
        missing_count: None,
        truncated: false,
        weight: None,
        reasons,
        governed: None,
    };
    let missing = if let Some((tree, leaves)) = lifted {
        Some(Missing::of(case, &tree, &leaves))
    } else if is_admitted {
        let enough = explained.enough(leaves);
        verdict.necessary.clone_from(&enough.necessary);
        verdict.sufficient = Arc::clone(&enough.sets);
        verdict.sufficient_count.clone_from(&enough.count);
        verdict.truncated = enough.truncated;
        verdict.weight = weakest(&assessed, |considered| enough.necessary.contains(&considered.authority))
            .or_else(|| weakest(&assessed, |_| true));
        None
    } else if !is_vetoed {
        Some(explained.missing(case, &assessed)?)
    } else {
        None
    };
    if let Some(missing) = missing {
        (verdict.missing, verdict.missing_count) = (missing.sets, missing.count);
        verdict.truncated = missing.truncated;
    }
    verdict.profiles = assessed.into_iter().map(|one| one.outcome).collect();
    Ok(verdict)
}

/// A requirement that is missing, with its profile.
struct MissingLeaf<'a> {
    profile: &'a Profile,
    name: String,
    state: RequirementState,
    unheard: Vec<Unheard>,
}

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
                leaves.iter().position(|leaf| leaf.profile.id == one.profile.id && leaf.name == limit.unless);
            let leaf = known.unwrap_or_else(|| {
                leaves.push(one.missing(&limit.unless));
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
    let unknown = leaves.iter().enumerate().filter(|(_, leaf)| leaf.state == RequirementState::Unknown);
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
                reasons.push(Reason::new("scope-limit", text));
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
        reasons.push(Reason::new(
            what,
            format!("profile {} does not admit: its rule is {what}", one.profile.id),
        ));
        mode = mode.max(one.profile.missing.get(&reversibility).copied().unwrap_or(Mode::Defer));
    }
    mode
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

fn way_out(requirement: &Requirement, subject: &str, unheard: &[Unheard]) -> String {
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
    for Unheard { organisation, since } in unheard {
        match since {
            Some(since) => text.push_str(&format!("; {organisation} may have it, last confirmed at {since}")),
            None => text.push_str(&format!("; {organisation} may have it, and was not heard of so far")),
        }
    }
    text
}
