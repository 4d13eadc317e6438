//! Makes a plan that fails smaller: leaves out steps and hosts as long as the same checker still objects.

use crate::checkers::Violation;
use crate::plan::Plan;

/// A plan that fails, and how.
#[derive(Debug, Clone)]
pub struct Failing {
    /// The plan.
    pub plan: Plan,
    /// What fails.
    pub violation: Violation,
    /// Runs that it took.
    pub runs: usize,
}

/// Leaves out what can be left out. `fails` runs a plan and says what goes wrong; at most `runs_max` times.
pub fn shrink(
    plan: Plan,
    found: Violation,
    runs_max: usize,
    fails: impl Fn(&Plan) -> Option<Violation>,
) -> Failing {
    let mut failing = Failing { plan, violation: found, runs: 0 };
    // Ever smaller parts of the steps, until none can go by itself.
    let mut part = failing.plan.kept.len().div_ceil(2).max(1);
    loop {
        let mut changed = false;
        let mut from = 0;
        while from < failing.plan.kept.len() && failing.runs < runs_max {
            let rest: Vec<usize> = failing
                .plan
                .kept
                .iter()
                .enumerate()
                .filter(|(nth, _)| *nth < from || *nth >= from + part)
                .map(|(_, number)| *number)
                .collect();
            if failing.try_plan(failing.plan.only(&rest), &fails) {
                changed = true;
            } else {
                from += part;
            }
        }
        if failing.runs >= runs_max || (part == 1 && !changed) {
            break;
        }
        part = part.div_ceil(2);
    }
    for host in (0..failing.plan.hosts).rev() {
        if failing.runs >= runs_max {
            break;
        }
        if !failing.plan.absent.contains(&host) {
            failing.try_plan(failing.plan.without(host), &fails);
        }
    }
    failing
}

impl Failing {
    fn try_plan(&mut self, plan: Plan, fails: &impl Fn(&Plan) -> Option<Violation>) -> bool {
        self.runs += 1;
        match fails(&plan) {
            Some(found) if found.checker == self.violation.checker => {
                (self.plan, self.violation) = (plan, found);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Violation {
        Violation { checker: "test", text: text.into() }
    }

    #[test]
    fn what_does_not_matter_is_left_out() {
        let plan = Plan::of(3, Some(12));
        let needed = [5, 17, 18];
        let fails = |plan: &Plan| {
            let has = needed.iter().all(|n| plan.kept.contains(n)) && !plan.absent.contains(&4);
            has.then(|| found("still"))
        };
        let failing = shrink(plan.clone(), found("first"), 1_000, fails);
        assert_eq!(failing.plan.kept, needed);
        assert_eq!(failing.plan.absent, (0..12).filter(|host| *host != 4).collect());
        assert!(failing.plan.command().ends_with("--keep 5,17-18"), "{}", failing.plan.command());
        let other = shrink(plan.clone(), found("first"), 1_000, |_| {
            Some(Violation { checker: "another", text: String::new() })
        });
        assert_eq!(other.plan, plan, "another failure is not this one");
        assert_eq!(shrink(plan, found("first"), 3, fails).runs, 3);
    }
}
