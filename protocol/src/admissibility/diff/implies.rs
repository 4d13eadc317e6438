//! Whether what shows one requirement always shows another.
//!
//! Each attribute is compared by itself: the narrower implies the wider. Floors of recency and greatest ages are both
//! ages, so they are compared with each other. Expressions are opaque but for their text, and for conjunctions of
//! comparisons with whole numbers.

use std::collections::BTreeMap;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};

use super::super::expression::Expression;
use super::super::profile::{Profile, Requirement};
use crate::identity::credential::pattern_covers;
use crate::weighting::corroboration::sources_for;
use crate::weighting::recency::half_life;
use crate::weighting::{Dimension, Ppm};

/// Days of the half-life where a profile declares none.
const HALF_LIFE_DAYS: u32 = 365;
const DAY_S: u64 = 86_400;

/// Which requirements imply which.
pub(super) struct Pairs {
    implying: BTreeMap<String, Vec<String>>,
    doubts: Vec<String>,
}

impl Pairs {
    /// The requirements of the one profile that imply this one of the other.
    pub(super) fn implying(&self, name: &str) -> Vec<&str> {
        self.implying.get(name).into_iter().flatten().map(String::as_str).collect()
    }

    /// What could not be compared.
    pub(super) fn doubts(&self) -> Vec<String> {
        if self.doubts.is_empty() {
            return vec!["no situation was found that shows the difference".into()];
        }
        self.doubts.clone()
    }
}

/// Compares each requirement of one profile with each of another.
pub(super) fn pairs(from: &Profile, to: &Profile) -> Pairs {
    let mut found = Pairs { implying: BTreeMap::new(), doubts: Vec::new() };
    for (name, wanted) in &to.requirements {
        for (other, given) in &from.requirements {
            match compare(from, given, to, wanted) {
                Compared::Implies => found.implying.entry(name.clone()).or_default().push(other.clone()),
                Compared::Not => {}
                Compared::Doubt(why) => found.doubts.push(format!("{other} and {name}: {why}")),
            }
        }
    }
    found
}

enum Compared {
    Implies,
    Not,
    /// All but this is implied.
    Doubt(&'static str),
}

fn compare(from: &Profile, given: &Requirement, to: &Profile, wanted: &Requirement) -> Compared {
    if !attributes_imply(given, wanted) || !age_implies(from, given, to, wanted) {
        return Compared::Not;
    }
    let floor = |of: &Requirement, dimension| of.floors.get(&dimension).copied().unwrap_or(Ppm::ZERO);
    let at_least = |dimension| floor(given, dimension) >= floor(wanted, dimension);
    // Whoever is recognised has as much provenance as that, and whoever is not as that.
    let least = Ppm::new(if given.unrecognised { 200_000 } else { 500_000 });
    let provenance = floor(given, Dimension::Provenance).max(least) >= floor(wanted, Dimension::Provenance);
    let quality = floor(wanted, Dimension::Quality) == Ppm::ZERO
        || to.quality.is_empty()
        || (from.quality == to.quality && at_least(Dimension::Quality));
    if !provenance || !quality || !at_least(Dimension::Authority) {
        return Compared::Not;
    }
    let (Some(has), Some(needs)) = (sources(given), sources(wanted)) else {
        return if sources(given).is_none() { Compared::Implies } else { Compared::Not };
    };
    // Without other floors all that is heard counts, so what corroborates also shows.
    let is_plain = given.floors.keys().all(|dimension| *dimension == Dimension::Corroboration);
    let shows = if is_plain { has } else { usize::from(given.distinct) };
    if shows < usize::from(wanted.distinct) || has < needs {
        return Compared::Not;
    }
    match expression_implies(given.expression.as_deref(), wanted.expression.as_deref()) {
        Some(true) => {}
        Some(false) => return Compared::Not,
        None => return Compared::Doubt("their expressions cannot be compared"),
    }
    // A wider requirement hears more, also an echo that ties together what a narrower one takes for independent.
    let same_ear = attributes_imply(wanted, given)
        && wanted.max_age_days == given.max_age_days
        && wanted.expression == given.expression;
    if needs > 1 && !same_ear {
        return Compared::Doubt("the wider one may hear an echo that ties sources together");
    }
    Compared::Implies
}

/// How many independent sources a requirement asks for in all; none where no number is enough.
fn sources(of: &Requirement) -> Option<usize> {
    let floor = of.floors.get(&Dimension::Corroboration).copied().unwrap_or(Ppm::ZERO);
    sources_for(floor).map(|need| need.max(usize::from(of.distinct)))
}

/// Everything but ages, weights, numbers and expressions.
fn attributes_imply(given: &Requirement, wanted: &Requirement) -> bool {
    let covered = |given: &[String], wanted: &[String]| {
        given.iter().all(|narrow| wanted.iter().any(|wide| pattern_covers(wide, narrow)))
    };
    let reach = match (&given.reached, &wanted.reached) {
        (None, None) => true,
        (Some(given), Some(wanted)) => {
            given.depth <= wanted.depth && given.edges.iter().all(|edge| wanted.edges.contains(edge))
        }
        _ => false,
    };
    reach
        && covered(&given.claims, &wanted.claims)
        && (wanted.roles.is_empty() || (!given.roles.is_empty() && covered(&given.roles, &wanted.roles)))
        && (wanted.organisations.is_empty()
            || (!given.organisations.is_empty()
                && given.organisations.iter().all(|one| wanted.organisations.contains(one))))
        && (wanted.kinds.is_empty()
            || (!given.kinds.is_empty() && given.kinds.iter().all(|kind| wanted.kinds.contains(kind))))
        && (wanted.unrecognised || !given.unrecognised)
}

fn age_implies(from: &Profile, given: &Requirement, to: &Profile, wanted: &Requirement) -> bool {
    let oldest_given = half_lives(from, given).into_iter().map(|days| oldest(given, days)).max();
    let oldest_wanted = half_lives(to, given).into_iter().map(|days| oldest(wanted, days)).min();
    match (oldest_given, oldest_wanted) {
        (Some(given), Some(wanted)) => given <= wanted,
        _ => false,
    }
}

/// The half-lives that a profile may give to what a requirement accepts, in days.
fn half_lives(profile: &Profile, requirement: &Requirement) -> Vec<u32> {
    let overlaps = |a: &str, b: &str| pattern_covers(a, b) || pattern_covers(b, a);
    let entries = profile.half_life_days.iter();
    let touching = entries.filter(|(p, _)| requirement.claims.iter().any(|claim| overlaps(p, claim)));
    let mut days: Vec<u32> = touching.map(|(_, days)| *days).collect();
    let is_covered = |claim: &String| profile.half_life_days.keys().any(|p| pattern_covers(p, claim));
    if !requirement.claims.iter().all(is_covered) {
        days.push(HALF_LIFE_DAYS);
    }
    days
}

/// The greatest age in seconds that a requirement accepts under a half-life.
pub(super) fn oldest(requirement: &Requirement, half_life_days: u32) -> u64 {
    let by_days = requirement.max_age_days.map_or(u64::MAX, |days| (u64::from(days) + 1) * DAY_S - 1);
    let floor = requirement.floors.get(&Dimension::Recency).copied().unwrap_or(Ppm::ZERO);
    if floor == Ppm::ZERO {
        return by_days;
    }
    let half_life_s = u64::from(half_life_days) * DAY_S;
    // Older is never weightier: the last age that reaches the floor lies within 21 half-lives.
    let (mut good, mut bad) = (0u64, 21 * half_life_s + 1);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if half_life(middle, half_life_s) >= floor { good = middle } else { bad = middle }
    }
    good.min(by_days)
}

/// Whether one expression follows from the other; none where that cannot be told.
fn expression_implies(given: Option<&str>, wanted: Option<&str>) -> Option<bool> {
    let Some(wanted) = wanted else { return Some(true) };
    let given = given?;
    if given.trim() == wanted.trim() {
        return Some(true);
    }
    let (given, wanted) = (Expression::compile(given).ok()?, Expression::compile(wanted).ok()?);
    let (mut have, mut need) = (Vec::new(), Vec::new());
    conjuncts(given.tree(), &mut have);
    conjuncts(wanted.tree(), &mut need);
    let all = need.iter().all(|needed| have.iter().any(|one| part_implies(one, needed)));
    all.then_some(true)
}

fn conjuncts<'e>(part: &'e IdedExpr, into: &mut Vec<&'e IdedExpr>) {
    match &part.expr {
        Expr::Call(call) if call.func_name == operators::LOGICAL_AND => {
            call.args.iter().for_each(|argument| conjuncts(argument, into));
        }
        _ => into.push(part),
    }
}

/// Whether one comparison follows from another of the same thing.
fn part_implies(given: &IdedExpr, wanted: &IdedExpr) -> bool {
    if same(given, wanted) {
        return true;
    }
    let (Some((subject, from, bound)), Some((other, to, needed))) = (comparison(given), comparison(wanted))
    else {
        return false;
    };
    if !same(subject, other) {
        return false;
    }
    // As closed bounds: more than n is n + 1 or more, of whole numbers.
    let (bound, needed) = (i128::from(bound), i128::from(needed));
    let low = |operator: &str, n: i128| match operator {
        operators::GREATER_EQUALS | operators::EQUALS => Some(n),
        operators::GREATER => Some(n + 1),
        _ => None,
    };
    let high = |operator: &str, n: i128| match operator {
        operators::LESS_EQUALS | operators::EQUALS => Some(n),
        operators::LESS => Some(n - 1),
        _ => None,
    };
    match to {
        operators::GREATER_EQUALS | operators::GREATER => {
            low(from, bound).zip(low(to, needed)).is_some_and(|(has, needs)| has >= needs)
        }
        operators::LESS_EQUALS | operators::LESS => {
            high(from, bound).zip(high(to, needed)).is_some_and(|(has, needs)| has <= needs)
        }
        _ => false,
    }
}

/// `thing operator number`.
pub(super) fn comparison(part: &IdedExpr) -> Option<(&IdedExpr, &str, i64)> {
    let Expr::Call(call) = &part.expr else { return None };
    let [subject, number] = call.args.as_slice() else { return None };
    let Expr::Literal(LiteralValue::Int(number)) = &number.expr else { return None };
    Some((subject, call.func_name.as_str(), *number.inner()))
}

/// Whether two parts are the same, wherever they stand.
fn same(a: &IdedExpr, b: &IdedExpr) -> bool {
    match (&a.expr, &b.expr) {
        (Expr::Select(a), Expr::Select(b)) => {
            a.field == b.field && a.test == b.test && same(&a.operand, &b.operand)
        }
        (Expr::Call(a), Expr::Call(b)) => {
            let targets = match (&a.target, &b.target) {
                (None, None) => true,
                (Some(a), Some(b)) => same(a, b),
                _ => false,
            };
            targets
                && a.func_name == b.func_name
                && a.args.len() == b.args.len()
                && a.args.iter().zip(&b.args).all(|(a, b)| same(a, b))
        }
        (Expr::Ident(a), Expr::Ident(b)) => a == b,
        (Expr::Literal(a), Expr::Literal(b)) => a == b,
        _ => false,
    }
}
