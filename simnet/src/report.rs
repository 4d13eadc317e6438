//! What [`grow`](crate::grow) measured, as a table in Markdown and a plot in SVG.

use std::fmt::Write as _;

use crate::bars::{Bar, ratio};
use crate::gossip::DEGREE;
use crate::grow::{Growth, LINK_MS, PROBES, ROUND_MS};

/// What was measured, with how that was done and whether the bars are held.
pub fn markdown(all: &[Growth], bars: &[Bar], command: &str, commit: &str) -> String {
    let mut text = String::from("# How the mesh grows\n\n");
    let _ = write!(
        text,
        "Made by `{command}` at commit {commit}. Every organisation is connected as its engine chooses, with its chain's \
         witnesses and a few others, over links of {} to {} ms, and has everybody's chain. The command fails when a bar \
         is missed.\n\n",
        LINK_MS.0, LINK_MS.1
    );
    text.push_str("## Bars\n\n| measured | came out | at most | |\n| --- | ---: | ---: | --- |\n");
    for Bar { what, value, most, is_held } in bars {
        let outcome = if *is_held { "held" } else { "**missed**" };
        let _ = writeln!(text, "| {what} | {value} | {most} | {outcome} |");
    }
    text.push('\n');
    costs(&mut text, all);
    spreads(&mut text, all);
    limits(&mut text, all);
    text.push_str("\n![Growth](growth.svg)\n");
    text
}

fn table(text: &mut String, columns: &[&str], all: &[Growth], row: impl Fn(&Growth) -> Vec<String>) {
    let _ = writeln!(text, "| {} |\n| {} |", columns.join(" | "), vec!["---:"; columns.len()].join(" | "));
    for growth in all {
        let _ = writeln!(text, "| {} | {} |", growth.hosts, row(growth).join(" | "));
    }
}

fn costs(text: &mut String, all: &[Growth]) {
    text.push_str(
        "## What an organisation sends and holds\n\n\
         Idle: nobody says anything. Load: within the minute, one organisation in ten says something. Neither contains what \
         nodes say by themselves on top of their engines: the anchors of a quiet period, statuses, bindings of keys, \
         counterfoils, acknowledgements of recalls. Each of these is a statement like others and costs what one under load \
         does. Every other organisation acknowledges a recall, so one recall costs an organisation the last column times \
         their number.\n\n",
    );
    let columns = [
        "organisations",
        "idle B/min",
        "idle msg/min",
        "load B/min",
        "load msg/min",
        "B for one acknowledgement",
    ];
    table(text, &columns, all, |growth| {
        let (idle, load) = (growth.idle, growth.load);
        let numbers = [idle.bytes, idle.messages, load.bytes, load.messages, growth.acknowledgement.bytes];
        numbers.iter().map(ToString::to_string).collect()
    });
    text.push_str("\nIdle bytes of an organisation in a minute, by kind.\n\n");
    for growth in all {
        let kinds: Vec<String> =
            growth.kinds.iter().map(|(kind, count)| format!("{kind} {}", count.bytes)).collect();
        let _ = writeln!(text, "- {} organisations: {}", growth.hosts, kinds.join(", "));
    }
    text.push_str(
        "\nMemory. The simulated engines share what one of them has checked already, chains and signature lines, and \
         simulated disks share entries that are the same; so the first column, resident memory by organisations, is what a \
         simulation takes and not what a node does. The second is one engine that shares nothing, started from a disk with \
         everybody's chain, nobody connected.\n\n",
    );
    table(text, &["organisations", "simulated, KiB", "one engine, KiB"], all, |growth| {
        [growth.memory.simulated, growth.memory.alone].map(|bytes| (bytes / 1024).to_string()).to_vec()
    });
}

fn spreads(text: &mut String, all: &[Growth]) {
    let _ = write!(
        text,
        "\n## How fast it spreads\n\n\
         Milliseconds from when it is said until half, 99 of 100, and all organisations have it on disk; the slowest of \
         {PROBES} probes. Links: those that its gossip had travelled where it arrived last; for a fork proof from the \
         nearest organisation that had heard both branches.\n\n",
    );
    let columns = ["organisations", "head", "links", "recall", "links", "fork proof", "links"];
    table(text, &columns, all, |growth| {
        let spreads = [&growth.head, &growth.recall, &growth.proof];
        let cells = spreads.iter().map(|spread| {
            let times = format!("{} / {} / {}", spread.median_ms, spread.p99_ms, spread.last_ms);
            [times, spread.hops.to_string()]
        });
        cells.flatten().collect()
    });
}

fn limits(text: &mut String, all: &[Growth]) {
    let _ = write!(
        text,
        "\n## Beside what is possible\n\n\
         A head with one statement, from the moment at which its author lets it out. Ideal: the least depth of a tree in which \
         each passes it on to {DEGREE} others, over links of {ROUND_MS} ms. Heard: the notice has come, which is what gossip \
         carries. On disk: head, signatures and statement have followed by pull, and are written. Flood: everybody sends all of \
         it to everybody that it is connected with, over the same links with the same jitter, and nobody writes or checks \
         anything. One copy: head, signatures of a quorum of witnesses, statement.\n\n",
    );
    let columns = [
        "organisations",
        "ideal links",
        "links",
        "ideal, ms",
        "heard by all, ms",
        "on all disks, ms",
        "flood, ms",
        "bytes / one copy each",
        "flood / one copy each",
    ];
    table(text, &columns, all, |growth| {
        let limit = &growth.limit;
        let numbers =
            [limit.ideal_hops, limit.hops, limit.ideal_ms(), limit.heard_ms, limit.disk_ms, limit.flood.ms];
        let bytes = [limit.sent_bytes, limit.flood_bytes].map(|bytes| ratio(bytes, limit.bound_bytes));
        numbers.iter().map(ToString::to_string).chain(bytes).collect()
    });
    let _ = write!(
        text,
        "\nThe same over links that all take {ROUND_MS} ms, without jitter: time divided by that is a count of rounds.\n\n"
    );
    let columns = ["organisations", "ideal, rounds", "heard by all", "on all disks", "flood"];
    table(text, &columns, all, |growth| {
        let alike = &growth.alike;
        let rounds = [alike.heard_ms, alike.disk_ms, alike.flood.ms].map(|ms| ratio(ms, ROUND_MS));
        [alike.ideal_hops.to_string()].into_iter().chain(rounds).collect()
    });
    if let Some(last) = all.last() {
        let (limit, alike, ideal) = (&last.limit, &last.alike, last.limit.ideal_ms());
        let _ = write!(
            text,
            "\nAt {} organisations, as multiples of the ideal: heard by all after {} of its time, on all disks after {}; over {} of \
             its links. In rounds: heard {}, on all disks {}. As multiples of the flood's time: heard {}, on all disks {}. The bar \
             is on hearing; what is heard of is fetched once by each, which takes longer than to push it, and saves the flood's \
             bytes.\n",
            last.hosts,
            ratio(limit.heard_ms, ideal),
            ratio(limit.disk_ms, ideal),
            ratio(limit.hops, limit.ideal_hops),
            ratio(alike.heard_ms, alike.ideal_ms()),
            ratio(alike.disk_ms, alike.ideal_ms()),
            ratio(limit.heard_ms, limit.flood.ms),
            ratio(limit.disk_ms, limit.flood.ms),
        );
    }
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 56.0;

/// The plot: idle bytes for each organisation and minute, milliseconds until a head, a recall and a proof have reached all;
/// both axes logarithmic.
pub fn svg(all: &[Growth]) -> String {
    type Curve = (&'static str, &'static str, fn(&Growth) -> u64);
    const CURVES: [Curve; 4] = [
        ("idle bytes a minute", "#1b6ca8", |growth| growth.idle.bytes),
        ("head at all, ms", "#2e8b57", |growth| growth.head.last_ms),
        ("recall at all, ms", "#c0392b", |growth| growth.recall.last_ms),
        ("fork proof at all, ms", "#8e44ad", |growth| growth.proof.last_ms),
    ];
    let x_of = |hosts: usize| {
        let (first, last) =
            (log(all.first().map_or(1, |g| g.hosts) as u64), log(all.last().map_or(10, |g| g.hosts) as u64));
        MARGIN + (log(hosts as u64) - first) / (last - first).max(0.1) * (WIDTH - 2.0 * MARGIN)
    };
    let values = all.iter().flat_map(|growth| CURVES.iter().map(|(.., of)| of(growth)));
    let top = log(values.max().unwrap_or(10)).ceil().max(2.0);
    let y_of =
        |value: u64| HEIGHT - MARGIN - (log(value) - 1.0).max(0.0) / (top - 1.0) * (HEIGHT - 2.0 * MARGIN);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<title>Cost and speed of meshes by number of organisations</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    let mut power = 10u64;
    while log(power) <= top {
        let y = y_of(power);
        let _ = writeln!(
            text,
            "<path d=\"M{MARGIN} {y:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"8\" y=\"{:.1}\">{power}</text>",
            WIDTH - MARGIN,
            y + 4.0
        );
        power = power.saturating_mul(10);
    }
    for growth in all {
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x_of(growth.hosts),
            HEIGHT - MARGIN + 18.0,
            growth.hosts
        );
    }
    for (nth, (name, colour, of)) in CURVES.iter().enumerate() {
        let points: Vec<String> =
            all.iter().map(|growth| format!("{:.1},{:.1}", x_of(growth.hosts), y_of(of(growth)))).collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            MARGIN + 8.0 + 165.0 * nth as f64,
            MARGIN - 24.0
        );
    }
    text.push_str("</svg>\n");
    text
}

fn log(value: u64) -> f64 {
    (value.max(1) as f64).log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grow::{Flood, Limit};

    #[test]
    fn the_table_and_the_plot_say_what_was_measured() {
        let small = Growth { hosts: 10, ..Growth::default() };
        let mut large = Growth { hosts: 1000, ..Growth::default() };
        large.memory.alone = 5 << 20;
        (large.idle.bytes, large.proof.hops) = (4321, 6);
        let flood = Flood { ms: 60, ..Flood::default() };
        large.limit = Limit {
            ideal_hops: 4,
            hops: 7,
            heard_ms: 150,
            disk_ms: 270,
            sent_bytes: 250,
            bound_bytes: 100,
            flood,
            flood_bytes: 2800,
        };
        large.alike = Limit { heard_ms: 150, disk_ms: 246, flood: Flood { ms: 90, ..flood }, ..large.limit };
        let bar = |is_held| Bar { what: "speed".into(), value: "5".into(), most: "4".into(), is_held };
        let bars = [bar(true), bar(false)];
        let text = markdown(&[small.clone(), large.clone()], &bars, "counterfoil-simnet grow", "abc");
        for row in [
            "| speed | 5 | 4 | held |",
            "| speed | 5 | 4 | **missed** |",
            "| 1000 | 4321 | 0 | 0 | 0 | 0 |",
            "| 1000 | 0 | 5120 |",
            "| 1000 | 0 / 0 / 0 | 0 | 0 / 0 / 0 | 0 | 0 / 0 / 0 | 6 |",
            "| 1000 | 4 | 7 | 120 | 150 | 270 | 60 | 2.50 | 28.00 |",
            "| 1000 | 4 | 5.00 | 8.20 | 3.00 |",
            "heard by all after 1.25 of its time, on all disks after 2.25; over 1.75 of its links. In rounds: heard 1.25, on all \
             disks 2.05. As multiples of the flood's time: heard 2.50, on all disks 4.50.",
        ] {
            assert!(text.contains(row), "{row}\n{text}");
        }
        let plot = svg(&[small, large]);
        assert!(plot.starts_with("<svg") && plot.matches("<polyline").count() == 4);
        assert!(!plot.contains("NaN") && !plot.contains("inf"), "{plot}");
    }
}
