//! What [`grow`](crate::grow) measured, as a table in Markdown and a plot in SVG.

use std::fmt::Write as _;

use crate::gossip::DEGREE;
use crate::grow::{Growth, LINK_MS, PROBES, Spread};

/// The table, with how it was made.
pub fn markdown(all: &[Growth], command: &str, commit: &str) -> String {
    let mut text = String::from("# How the mesh grows\n\n");
    let _ = write!(
        text,
        "Made by `{command}` at commit {commit}. Every organisation is connected as its engine chooses, with its chain's \
         witnesses and a few others, over links of {} to {} ms, and has everybody's chain. Idle: nobody says anything. Load: within the minute, one organisation in ten says something. \
         Spread: until it is on the disks, the slowest of {PROBES} probes. Memory: resident, the simulated disk included; \
         simulated disks share entries that are the same.\n\n",
        LINK_MS.0, LINK_MS.1
    );
    text.push_str("| organisations | idle B/min | idle msg/min | load B/min | load msg/min | memory KiB |\n");
    text.push_str("| ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for growth in all {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            growth.hosts,
            growth.idle.bytes,
            growth.idle.messages,
            growth.load.bytes,
            growth.load.messages,
            growth.memory / 1024
        );
    }
    text.push_str(
        "\nMilliseconds until half, 99 of 100, and all organisations have it; links for gossip.\n\n",
    );
    text.push_str("| organisations | head | links | recall | links | fork proof |\n");
    text.push_str("| ---: | ---: | ---: | ---: | ---: | ---: |\n");
    let times = |spread: &Spread| format!("{} / {} / {}", spread.median_ms, spread.p99_ms, spread.last_ms);
    for growth in all {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            growth.hosts,
            times(&growth.head),
            growth.head.hops,
            times(&growth.recall),
            growth.recall.hops,
            times(&growth.proof)
        );
    }
    let _ = write!(
        text,
        "\nA head with one statement beside what is possible, and beside a plain flood over the same links. Ideal: the least \
         depth of a tree in which each passes it on to {DEGREE} others, over links of {} ms. One copy: head, signatures of a \
         quorum of witnesses, statement.\n\n",
        mean_link_ms()
    );
    text.push_str(
        "| organisations | ideal links | links | ideal, ms | heard by all, ms | heard / ideal | flood, ms | bytes / one copy each | \
         flood / one copy each |\n",
    );
    text.push_str("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for growth in all {
        let limit = &growth.limit;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            growth.hosts,
            limit.ideal_hops,
            limit.hops,
            limit.ideal_hops * mean_link_ms(),
            limit.heard_ms,
            ratio(limit.heard_ms, limit.ideal_hops * mean_link_ms()),
            limit.flood.0,
            ratio(limit.sent_bytes, limit.bound_bytes),
            ratio(limit.flood.2, limit.bound_bytes)
        );
    }
    text.push_str("\nIdle bytes of an organisation in a minute, by kind.\n\n");
    for growth in all {
        let kinds: Vec<String> =
            growth.kinds.iter().map(|(kind, count)| format!("{kind} {}", count.bytes)).collect();
        let _ = writeln!(text, "- {} organisations: {}", growth.hosts, kinds.join(", "));
    }
    text.push_str("\n![Growth](growth.svg)\n");
    text
}

const fn mean_link_ms() -> u64 {
    u64::midpoint(LINK_MS.0, LINK_MS.1)
}

/// A ratio with two digits behind the point.
fn ratio(of: u64, to: u64) -> String {
    let hundredths = of * 100 / to.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
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

    #[test]
    fn the_table_and_the_plot_say_what_was_measured() {
        let small = Growth { hosts: 10, ..Growth::default() };
        let mut large = Growth { hosts: 1000, ..Growth::default() };
        large.idle.bytes = 4321;
        large.limit.sent_bytes = 250;
        large.limit.bound_bytes = 100;
        let text = markdown(&[small.clone(), large.clone()], "counterfoil-simnet grow", "abc");
        assert!(text.contains("| 1000 | 4321 |") && text.contains("| 2.50 |"), "{text}");
        let plot = svg(&[small, large]);
        assert!(plot.starts_with("<svg") && plot.matches("<polyline").count() == 4);
        assert!(!plot.contains("NaN") && !plot.contains("inf"), "{plot}");
    }
}
