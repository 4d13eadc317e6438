//! What is to be done to a world, drawn from a seed before it begins: so that parts of it can be left out, and the rest
//! done again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use crate::adversary::Fault;
use crate::clock::Clock;
use crate::disk::{Ending, Part};
use crate::network::{Topology, Weather};
use crate::workload::{DEPLOYERS, SUPPLIERS, What};
use crate::world::generator;

/// Something that is done to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A host says something.
    Say(usize, What),
    /// A host stops: at once, or with the next write under way, which ends like this.
    Crash(usize, Option<Ending>),
    /// A host that is down starts, mended where that is needed.
    Start(usize),
    /// The connection between two hosts breaks.
    Cut(usize, usize),
    /// What the first sends to the second gets lost.
    Deaf(usize, usize),
    /// What the first sends to the second is held up for that many milliseconds.
    Clog(usize, usize, u64),
    /// Every connection between these hosts and the others breaks.
    Partition(BTreeSet<usize>),
    /// What these hosts send to the others gets lost.
    OneWay(BTreeSet<usize>),
    /// All connections are mended.
    Heal,
    /// All links get better or worse.
    Weather(Weather),
    /// A host's clock is stepped by that many milliseconds.
    Step(usize, i64),
    /// A host's data is copied.
    BackUp(usize),
    /// A host stops, its data is replaced by the copy, and it starts again.
    Restore(usize),
    /// A host stops, the last entries of one chain that were synced are gone, and it starts again.
    LoseSynced(usize, usize, usize),
    /// A bit of a host's copy of a chain changes, or of a proof that it has.
    Rot(usize, usize, Part, usize),
    /// A host's disk has no room any more.
    Full(usize),
    /// A second machine with a host's keys and disk starts, shown to these in place of the first.
    SecondFace(usize, BTreeSet<usize>),
    /// A host that is no honest one acts.
    Act(usize),
    /// A host whose organisation is no founder starts.
    Enter(usize),
    /// Every member that runs votes for a host's organisation.
    Admit(usize),
    /// Every member that runs votes against it.
    Expel(usize),
    /// A host's organisation leaves the mesh.
    Leave(usize),
    /// Every member that runs votes for other terms, which are to be this version.
    Amend(u64),
    /// The first pauses its exchange with the second, or resumes it.
    Pause(usize, usize, bool),
}

/// An action and when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Milliseconds after the mischief begins.
    pub at_ms: u64,
    /// What is done.
    pub action: Action,
}

/// Everything that a run follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How many hosts found the mesh.
    pub hosts: usize,
    /// How many more there are that are no founders; they are numbered on.
    pub newcomers: usize,
    /// Who can connect.
    pub topology: Topology,
    /// The hosts' clocks, in order.
    pub clocks: Vec<Clock>,
    /// Hosts that are no honest ones from the start.
    pub adversaries: BTreeMap<usize, Fault>,
    /// Hosts that never start.
    pub absent: BTreeSet<usize>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Which of the steps drawn from the seed are left: for the command that repeats a run.
    pub kept: Vec<usize>,
}

/// Milliseconds of mischief.
pub const MISCHIEF_MS: u64 = 60_000;
/// Longest time for which a link is held up, in milliseconds.
pub const CLOG_MS_MAX: u64 = 8_000;
/// Furthest that a clock is beside the world's time, in milliseconds, at first and by each step.
pub const CLOCK_MS_MAX: u64 = 2_000;

/// What a plan has drawn already of what it has few of.
#[derive(Default)]
struct Once {
    faced: bool,
    left: bool,
    expelled: bool,
    amended: u64,
}

struct Draw(ChaCha8Rng);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    fn host(&mut self, hosts: usize) -> usize {
        usize::try_from(self.below(hosts as u64)).unwrap_or_default()
    }

    fn some(&mut self, hosts: usize) -> BTreeSet<usize> {
        (0..hosts).filter(|_| self.below(2) == 0).collect()
    }

    fn signed(&mut self, furthest: u64) -> i64 {
        let magnitude = i64::try_from(self.below(furthest + 1)).unwrap_or_default();
        if self.below(2) == 0 { magnitude } else { -magnitude }
    }
}

impl Plan {
    /// The plan of a seed: 10 to 50 hosts unless it is said how many.
    pub fn of(seed: u64, hosts: Option<usize>) -> Self {
        let mut draw = Draw(generator(seed, 1));
        let drawn = 10 + draw.host(41);
        let hosts = hosts.unwrap_or(drawn).max(2);
        let topology = if draw.below(3) == 0 {
            Topology::Full
        } else {
            Topology::Circles { degree: 8 + 2 * draw.host(3) }
        };
        let clocks =
            (0..hosts + 2).map(|_| Clock::new(draw.signed(CLOCK_MS_MAX), draw.signed(200))).collect();
        // The first hosts decide and supply; what the others do wrong shows in what these come to know.
        let spared = (DEPLOYERS + SUPPLIERS).min(hosts);
        let mut adversaries = BTreeMap::new();
        for _ in 0..draw.below(1 + hosts as u64 / 8) {
            let index = spared + draw.host(hosts - spared);
            let nth = draw.host(Fault::LASTING.len());
            if index < hosts
                && let Some(fault) = Fault::LASTING.get(nth)
            {
                adversaries.insert(index, *fault);
            }
        }
        let mut plan = Self {
            seed,
            hosts,
            newcomers: draw.host(3),
            topology,
            clocks,
            adversaries,
            absent: BTreeSet::new(),
            steps: Vec::new(),
            kept: Vec::new(),
        };
        for newcomer in hosts..plan.everybody() {
            let at_ms = draw.below(MISCHIEF_MS / 2);
            plan.push(at_ms, Action::Enter(newcomer));
            plan.push(at_ms + 1_000 + draw.below(20_000), Action::Admit(newcomer));
        }
        let count = 40 + draw.below(50);
        let mut once = Once::default();
        for _ in 0..count {
            let at_ms = draw.below(MISCHIEF_MS);
            plan.draw_step(&mut draw, at_ms, &mut once);
        }
        for index in plan.adversaries.keys().copied().collect::<Vec<_>>() {
            for _ in 0..4 {
                plan.push(draw.below(MISCHIEF_MS), Action::Act(index));
            }
        }
        plan.steps.sort_by_key(|step| step.at_ms);
        plan.kept = (0..plan.steps.len()).collect();
        plan
    }

    /// How many hosts there are in all.
    pub const fn everybody(&self) -> usize {
        self.hosts + self.newcomers
    }

    fn push(&mut self, at_ms: u64, action: Action) {
        self.steps.push(Step { at_ms, action });
    }

    fn draw_step(&mut self, draw: &mut Draw, at_ms: u64, once: &mut Once) {
        let hosts = self.everybody();
        let index = draw.host(hosts);
        let other = draw.host(hosts);
        // Those who decide, and those on whose evidence they do, stay.
        let parts =
            (DEPLOYERS + SUPPLIERS..self.hosts).contains(&index) && !self.adversaries.contains_key(&index);
        let supplier = DEPLOYERS + draw.host(SUPPLIERS);
        let down_ms = 500 + draw.below(8_000);
        match draw.below(60) {
            0 | 1 => {
                let ending =
                    [None, Some(Ending::Lost), Some(Ending::Torn)].get(draw.host(3)).copied().flatten();
                self.push(at_ms, Action::Crash(index, ending));
                self.push(at_ms + down_ms, Action::Start(index));
            }
            2 => self.push(at_ms, Action::Cut(index, other)),
            3 => self.push(at_ms, Action::Deaf(index, other)),
            4 => self.push(at_ms, Action::Clog(index, other, 500 + draw.below(CLOG_MS_MAX - 500))),
            5 => {
                let side = draw.some(hosts);
                self.push(at_ms, Action::Partition(side));
                self.push(at_ms + 2_000 + draw.below(15_000), Action::Heal);
            }
            6 => self.push(at_ms, Action::Heal),
            7 => {
                let (loss, duplication) = (draw.below(200), draw.below(300));
                self.push(
                    at_ms,
                    Action::Weather(Weather { loss, duplication, delay_ms: 1 + draw.below(600) }),
                );
            }
            8 => self.push(at_ms, Action::Step(index, draw.signed(CLOCK_MS_MAX))),
            9 => {
                self.push(at_ms, Action::BackUp(index));
                self.push(at_ms + down_ms, Action::Restore(index));
            }
            10 | 11 => self.push(at_ms, Action::LoseSynced(index, other, 1 + draw.host(6))),
            12 | 13 | 45..=47 => {
                let part = Part::ALL.get(draw.host(Part::ALL.len())).copied().unwrap_or(Part::Entry);
                let bit = usize::try_from(draw.below(1 << 16)).unwrap_or(0);
                self.push(at_ms, Action::Rot(index, other, part, bit));
            }
            14 => {
                self.push(at_ms, Action::Full(index));
                self.push(at_ms + down_ms, Action::Start(index));
            }
            15 if parts && !once.faced => {
                once.faced = true;
                let shown = draw.some(hosts);
                self.push(at_ms, Action::SecondFace(index, shown));
            }
            16..=18 => self.push(at_ms, Action::Say(index, What::Private)),
            19 => {
                let third = draw.host(hosts);
                let parties = [index, other, third];
                self.push(at_ms, Action::Say(index, What::Propose(other, third)));
                parties
                    .iter()
                    .skip(1)
                    .for_each(|party| self.push(at_ms + 500, Action::Say(*party, What::Accept)));
                for party in parties {
                    self.push(at_ms + down_ms, Action::Say(party, What::Parties));
                    self.push(at_ms + 3 * down_ms, Action::Say(party, What::Parties));
                }
            }
            20 | 21 => {
                self.push(at_ms, Action::Say(index, What::Issue));
                self.push(at_ms + down_ms, Action::Say(index, What::ObserveByIssued));
                self.push(at_ms + 2 * down_ms, Action::Say(index, What::Revoke));
                self.push(at_ms + 3 * down_ms, Action::Say(index, What::ObserveByIssued));
            }
            22 | 23 => {
                self.push(at_ms, Action::Say(supplier, What::Observe(1)));
                self.push(at_ms + down_ms, Action::Say(supplier, What::Recall));
            }
            24..=27 => self.push(at_ms, Action::Say(draw.host(DEPLOYERS), What::Decide(supplier))),
            28 | 29 => {
                self.push(at_ms, Action::Say(index, What::Link(other)));
                self.push(at_ms + down_ms, Action::Say(other, What::Answer(index)));
            }
            30 => self.push(at_ms, Action::Say(index, What::VoteForOutsider)),
            31 | 32 => self.push(at_ms, Action::Say(supplier, What::Observe(2))),
            33 | 34 => {
                let side = draw.some(hosts);
                self.push(at_ms, Action::OneWay(side));
                self.push(at_ms + 2_000 + draw.below(15_000), Action::Heal);
            }
            35 | 36 => {
                self.push(at_ms, Action::Pause(index, other, true));
                self.push(at_ms + 2 * down_ms, Action::Pause(index, other, false));
            }
            37 if parts && !once.left => {
                once.left = true;
                self.push(at_ms, Action::Leave(index));
                if draw.below(2) == 0 {
                    self.push(at_ms + down_ms, Action::Admit(index));
                }
            }
            38 if parts && !once.expelled => {
                once.expelled = true;
                self.push(at_ms, Action::Expel(index));
            }
            39 if once.amended < 2 => {
                once.amended += 1;
                self.push(at_ms, Action::Amend(once.amended));
            }
            40 | 41 => self.push(at_ms, Action::Say(index, What::Renew)),
            42 | 43 => self.push(at_ms, Action::Say(index, What::Rotate)),
            44 => self.push(at_ms, Action::Say(index, What::Anchor)),
            _ => self.push(at_ms, Action::Say(index, What::Observe(1 + draw.below(6)))),
        }
    }

    /// The plan with those of its present steps that `keep` names, by their numbers among the steps drawn from the seed.
    #[must_use]
    pub fn only(&self, keep: &[usize]) -> Self {
        let both = self.steps.iter().zip(&self.kept).filter(|(_, number)| keep.contains(number));
        let (steps, kept) = both.map(|(step, number)| (step.clone(), *number)).unzip();
        Self { steps, kept, ..self.clone() }
    }

    /// The plan with a host that never starts.
    #[must_use]
    pub fn without(&self, host: usize) -> Self {
        let mut plan = self.clone();
        plan.absent.insert(host);
        plan
    }

    /// The command that repeats the run.
    pub fn command(&self) -> String {
        let mut command = format!("counterfoil-simnet replay --seed {} --hosts {}", self.seed, self.hosts);
        if !self.absent.is_empty() {
            let absent = self.absent.iter().copied().collect::<Vec<_>>();
            command.push_str(&format!(" --absent {}", ranges(&absent)));
        }
        let whole = Self::of(self.seed, Some(self.hosts)).steps.len();
        if self.kept.len() < whole {
            command.push_str(&format!(" --keep {}", ranges(&self.kept)));
        }
        command
    }
}

/// Numbers as `0,3-5`; `none` where there are none.
fn ranges(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => parts.push((*number, *number)),
        }
    }
    let one = |(first, last): &(usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    if parts.is_empty() { "none".into() } else { parts.iter().map(one).collect::<Vec<_>>().join(",") }
}

/// Reads what [`Plan::command`] writes: `0,3-5`, or `none`.
///
/// # Errors
/// What cannot be read.
pub fn numbers(text: &str) -> Result<Vec<usize>, String> {
    if text == "none" {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) if first <= last && last < 100_000 => all.extend(first..=last),
            _ => return Err(format!("{part:?} is neither a number nor a range such as 3-5")),
        }
    }
    Ok(all)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} ms {:?}", self.at_ms, self.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_plan_and_parts_of_it_are_named_in_the_command() {
        let plan = Plan::of(7, None);
        assert_eq!(plan, Plan::of(7, None));
        assert_ne!(plan.steps, Plan::of(8, None).steps);
        assert!((10..=50).contains(&plan.hosts));
        assert!(!plan.command().contains("keep"));
        let part = plan.only(&[1, 4, 5, 6]).without(3);
        assert_eq!(part.steps.len(), 4);
        assert!(part.command().ends_with("--absent 3 --keep 1,4-6"), "{}", part.command());
        assert_eq!(part.only(&[5, 7]).kept, [5]);
        assert_eq!(numbers("1,4-6"), Ok(vec![1, 4, 5, 6]));
        assert_eq!(numbers("none"), Ok(vec![]));
        assert!(numbers("6-4").is_err() && numbers("x").is_err() && numbers("").is_err());
    }

    #[test]
    fn every_fault_is_drawn_by_some_seed() {
        let names: BTreeSet<String> = (0..200)
            .flat_map(|seed| Plan::of(seed, None).steps)
            .map(|step| format!("{:?}", step.action).chars().take_while(|c| c.is_alphabetic()).collect())
            .collect();
        assert_eq!(names.len(), 24, "{names:?}");
        let faults: BTreeSet<Fault> =
            (0..200).flat_map(|seed| Plan::of(seed, None).adversaries.into_values()).collect();
        assert_eq!(faults.len(), Fault::LASTING.len());
    }
}
