//! What the measured meshes have to keep to. A bar that is missed fails the command that measures.

use std::fmt;
use std::time::Duration;

use crate::checkers::RECALL_HOPS;
use crate::grow::Growth;
use crate::scan::HEALS_PERIODS;

/// Most hundredths of the ideal time that a head may take to be heard of everywhere.
const HEARD_HUNDREDTHS: u64 = 150;
/// Most hundredths of the bytes of one copy to each that a head with its statement may cost.
const COPIES_HUNDREDTHS: u64 = 300;

/// A bar, and how it was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// What is measured.
    pub what: String,
    /// What came out.
    pub value: String,
    /// What was allowed.
    pub most: String,
    /// Whether it is held.
    pub is_held: bool,
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.is_held { "held" } else { "MISSED" };
        write!(f, "{outcome}: {}: {}, at most {}", self.what, self.value, self.most)
    }
}

/// A ratio with two digits behind the point.
pub(crate) fn ratio(of: u64, to: u64) -> String {
    hundredths(of * 100 / to.max(1))
}

fn hundredths(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn at_most(what: String, of: u64, to: u64, most: u64) -> Bar {
    Bar { what, value: ratio(of, to), most: hundredths(most), is_held: of * 100 <= most * to }
}

/// The bars of [`crate::grow`], over meshes in the order of their sizes; `period_ms` is that of anti-entropy.
pub fn of_growth(all: &[Growth], period_ms: u64) -> Vec<Bar> {
    let (Some(first), Some(last)) = (all.first(), all.last()) else { return Vec::new() };
    // Base and unit of the logarithm cancel out: the constant is what the smallest mesh costs.
    let log = |hosts: usize| (hosts.max(2) as f64).log2();
    let allowed = |growth: &Growth| {
        (first.idle.bytes as f64 * log(growth.hosts) / log(first.hosts)).round().max(0.0) as u64
    };
    let costly = |growth: &&Growth| growth.idle.bytes * 1_000 / allowed(growth).max(1);
    let costliest = all.iter().skip(1).max_by_key(costly).unwrap_or(first);
    let n = last.hosts;
    let mut bars = vec![
        Bar {
            what: format!(
                "idle bytes of an organisation in a minute, for log N times those of {} organisations: at {}",
                first.hosts, costliest.hosts
            ),
            value: costliest.idle.bytes.to_string(),
            most: allowed(costliest).to_string(),
            is_held: costliest.idle.bytes <= allowed(costliest),
        },
        at_most(
            format!("a head is heard of by all {n}, as a multiple of the ideal time"),
            last.limit.heard_ms,
            last.limit.ideal_ms(),
            HEARD_HUNDREDTHS,
        ),
        at_most(
            "the same in rounds over links that are all alike, as a multiple of the ideal's".into(),
            last.alike.heard_ms,
            last.alike.ideal_ms(),
            HEARD_HUNDREDTHS,
        ),
        at_most(
            format!("bytes for a head with its statement at all {n}, as a multiple of one copy each"),
            last.limit.sent_bytes,
            last.limit.bound_bytes,
            COPIES_HUNDREDTHS,
        ),
    ];
    for growth in all {
        let (ms, hops) = (growth.recall.last_ms, growth.recall.hops);
        bars.push(Bar {
            what: format!("a recall is on all {} disks, or heard of", growth.hosts),
            value: format!("{ms} ms, {hops} links"),
            most: format!("{period_ms} ms or {RECALL_HOPS} links"),
            is_held: ms <= period_ms || hops <= u64::from(RECALL_HOPS),
        });
        let most_ms = HEALS_PERIODS * period_ms;
        bars.push(Bar {
            what: format!("a fork proof is on all {} disks", growth.hosts),
            value: format!("{} ms", growth.proof.last_ms),
            most: format!("{most_ms} ms"),
            is_held: growth.proof.last_ms <= most_ms,
        });
    }
    bars
}

/// The bars of [`crate::grow::pass`].
pub fn of_pass(took: Duration, seconds_max: u64, resident_bytes: u64, mib_max: u64) -> Vec<Bar> {
    vec![
        Bar {
            what: "time of the run".into(),
            value: format!("{} s", took.as_secs()),
            most: format!("{seconds_max} s"),
            is_held: took <= Duration::from_secs(seconds_max),
        },
        Bar {
            what: "most memory resident".into(),
            value: format!("{} MiB", resident_bytes >> 20),
            most: format!("{mib_max} MiB"),
            is_held: resident_bytes <= mib_max << 20,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grow::{Limit, Spread};
    use crate::network::Count;

    fn growth(hosts: usize, idle: u64) -> Growth {
        let limit =
            Limit { ideal_hops: 4, heard_ms: 180, sent_bytes: 300, bound_bytes: 100, ..Limit::default() };
        let spread = Spread { last_ms: 2_000, hops: 9, ..Spread::default() };
        Growth {
            hosts,
            idle: Count { messages: 0, bytes: idle },
            limit,
            alike: limit,
            recall: spread,
            proof: Spread { last_ms: 6_000, ..spread },
            ..Growth::default()
        }
    }

    fn missed(all: &[Growth]) -> Vec<String> {
        of_growth(all, 2_000).into_iter().filter(|bar| !bar.is_held).map(|bar| bar.to_string()).collect()
    }

    #[test]
    fn each_bar_can_be_missed_and_says_so() {
        let small = growth(10, 1_000);
        let held = [small.clone(), growth(1_000, 3_000)];
        assert_eq!(of_growth(&held, 2_000).len(), 8);
        assert_eq!(missed(&held), Vec::<String>::new(), "exactly at each bar");
        let miss = |change: fn(&mut Growth)| {
            let mut large = growth(1_000, 3_000);
            change(&mut large);
            missed(&[small.clone(), large])
        };
        assert_eq!(
            miss(|large| large.idle.bytes = 3_001),
            [
                "MISSED: idle bytes of an organisation in a minute, for log N times those of 10 organisations: at 1000: \
              3001, at most 3000"
            ]
        );
        assert_eq!(
            miss(|large| large.limit.heard_ms = 181),
            ["MISSED: a head is heard of by all 1000, as a multiple of the ideal time: 1.50, at most 1.50"]
        );
        assert_eq!(
            miss(|large| large.alike.heard_ms = 210),
            [
                "MISSED: the same in rounds over links that are all alike, as a multiple of the ideal's: 1.75, at most 1.50"
            ]
        );
        assert_eq!(
            miss(|large| large.limit.sent_bytes = 310),
            [
                "MISSED: bytes for a head with its statement at all 1000, as a multiple of one copy each: 3.10, at most 3.00"
            ]
        );
        assert_eq!(
            miss(|large| large.recall.last_ms = 2_001),
            [
                "MISSED: a recall is on all 1000 disks, or heard of: 2001 ms, 9 links, at most 2000 ms or 4 links"
            ]
        );
        assert_eq!(miss(|large| large.recall = Spread { last_ms: 9_000, hops: 4, ..large.recall }), [""; 0]);
        assert_eq!(
            miss(|large| large.proof.last_ms = 6_001),
            ["MISSED: a fork proof is on all 1000 disks: 6001 ms, at most 6000 ms"]
        );
    }

    #[test]
    fn a_pass_is_held_to_its_time_and_its_memory() {
        let outcomes = |seconds: u64, mib: u64| -> Vec<bool> {
            let bars = of_pass(Duration::from_secs(seconds), 600, mib << 20, 6_144);
            bars.iter().map(|bar| bar.is_held).collect()
        };
        assert_eq!(outcomes(600, 6_144), [true, true]);
        assert_eq!(outcomes(601, 6_144), [false, true]);
        assert_eq!(outcomes(600, 6_145), [true, false]);
    }
}
