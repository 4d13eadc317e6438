//! Lineages as text, as JSON, for Graphviz and as PROV-JSON.

use clap::ValueEnum;
use counterfoil_protocol::lineage::EdgeKind;
use counterfoil_protocol::statement::Kind;
use serde_json::{Map, Value, json};

use super::Context;
use super::print::short;
use crate::service::lineage::{LineageNode, LineageView};

/// Forms of a lineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Lines for people.
    Text,
    /// As the node's API gives it.
    Json,
    /// Graphviz.
    Dot,
    /// W3C PROV.
    ProvJson,
}

/// Prints a lineage.
///
/// # Errors
/// When it has no JSON form.
pub(super) fn print(context: &Context, found: &LineageView, format: Format) -> anyhow::Result<()> {
    let text = match format {
        Format::Json => serde_json::to_string_pretty(found)?,
        Format::Dot => dot(found),
        Format::ProvJson => serde_json::to_string_pretty(&prov(found))?,
        Format::Text => {
            lines(context, found);
            return context.out.value(found);
        }
    };
    // The form was asked for by name: it is the answer, also with --json.
    context.out.raw(&text);
    Ok(())
}

fn lines(context: &Context, found: &LineageView) {
    for node in &found.nodes {
        let what = node.summary.clone().unwrap_or_else(|| node.node.clone());
        let who = node.organisation.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let kind = node.kind.map_or("subject", Kind::name);
        let id =
            if node.node.starts_with("stmt:") { format!(" {}", short(&node.node)) } else { String::new() };
        let indent = "  ".repeat(node.depth);
        let way = node.path.last().map(|kind| format!("{} ", kind.name())).unwrap_or_default();
        context.out.line(format!("{indent}{way}{kind}{id}{who}: {what} [{}]", node.state));
    }
    let of_nodes = found.nodes.iter().filter_map(|node| node.why.as_deref());
    let mut doubts: Vec<&str> = found.edges.iter().filter_map(|edge| edge.why.as_deref()).collect();
    doubts.extend(of_nodes);
    doubts.sort_unstable();
    doubts.dedup();
    doubts.iter().for_each(|why| context.out.unknown(why));
    if found.truncated {
        context.out.unknown("there is more than fits into one answer; `impact --stream` gives all of it");
    }
}

fn dot(found: &LineageView) -> String {
    let quote =
        |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "));
    let mut text = String::from("digraph lineage {\n  rankdir=LR;\n");
    for node in &found.nodes {
        let label = node.summary.clone().unwrap_or_else(|| node.node.clone());
        text.push_str(&format!("  {} [label={}];\n", quote(&node.node), quote(&label)));
    }
    for one in &found.edges {
        let (from, to) = (quote(&one.from), quote(&one.to));
        let style = if one.why.is_some() { ", style=dashed" } else { "" };
        let label = quote(&format!("{} ({})", one.kind.name(), one.state.name()));
        text.push_str(&format!("  {from} -> {to} [label={label}{style}];\n"));
    }
    text.push('}');
    text
}

/// Where the attributes of our own are explained.
const NAMESPACE: &str = "https://counterfoil.invalid/prov#";
/// Prefixes of the texts that nodes have.
const PREFIXES: [&str; 6] = ["stmt", "sha256", "sha384", "sha512", "blake3", "name"];

/// As PROV-JSON (W3C member submission of 2013): what acts is an activity, everything else an entity.
fn prov(found: &LineageView) -> Value {
    let mut prefix = Map::from_iter([("cf".to_owned(), json!(NAMESPACE))]);
    for name in PREFIXES {
        prefix.insert(name.to_owned(), json!(format!("urn:counterfoil:{name}:")));
    }
    let (mut entities, mut activities, mut agents) = (Map::new(), Map::new(), Map::new());
    let mut relations: Map<String, Value> = Map::new();
    let mut relate = |relation: &str, fields: Value| {
        let all = relations.entry(relation).or_insert_with(|| json!({}));
        if let Some(all) = all.as_object_mut() {
            all.insert(format!("_:{relation}{}", all.len()), fields);
        }
    };
    for node in &found.nodes {
        let mut fields =
            json!({ "prov:label": node.summary.as_ref().unwrap_or(&node.node), "cf:state": node.state });
        if let (Some(kind), Some(fields)) = (node.kind, fields.as_object_mut()) {
            fields.insert(
                "prov:type".into(),
                json!({ "$": format!("cf:{}", kind.name()), "type": "prov:QUALIFIED_NAME" }),
            );
        }
        let id = qualified(&node.node);
        if let Some(name) = &node.organisation {
            let agent = format!("cf:{}", local(name));
            agents.insert(agent.clone(), json!({ "prov:label": name }));
            match is_activity(node) {
                true => relate("wasAssociatedWith", json!({ "prov:activity": id, "prov:agent": agent })),
                false => relate("wasAttributedTo", json!({ "prov:entity": id, "prov:agent": agent })),
            }
        }
        if is_activity(node) {
            activities.insert(id, fields)
        } else {
            entities.insert(id, fields)
        };
    }
    for one in &found.edges {
        let (from, to) = (qualified(&one.from), qualified(&one.to));
        let (acts, acted) = (activities.contains_key(&from), activities.contains_key(&to));
        let (relation, first, second) = match one.kind {
            EdgeKind::DerivedFrom | EdgeKind::Supersedes if !acts && !acted => {
                ("wasDerivedFrom", "prov:generatedEntity", "prov:usedEntity")
            }
            EdgeKind::Used | EdgeKind::EvidenceFor if acts && !acted => {
                ("used", "prov:activity", "prov:entity")
            }
            EdgeKind::GeneratedBy | EdgeKind::DecidedBy if !acts && acted => {
                ("wasGeneratedBy", "prov:entity", "prov:activity")
            }
            _ => ("wasInfluencedBy", "prov:influencee", "prov:influencer"),
        };
        let kind = one.kind.name();
        relate(relation, json!({ first: from, second: to, "cf:edge": kind, "cf:state": one.state.name() }));
    }
    let mut document = json!({ "prefix": prefix });
    if let Some(document) = document.as_object_mut() {
        let parts = [("entity", entities), ("activity", activities), ("agent", agents)];
        document.extend(
            parts.into_iter().filter(|(_, part)| !part.is_empty()).map(|(k, v)| (k.to_owned(), v.into())),
        );
        document.extend(relations);
    }
    document
}

/// Whether a node records something that was done at a moment.
fn is_activity(node: &LineageNode) -> bool {
    matches!(node.kind, Some(Kind::Decision | Kind::Effect | Kind::Activation))
}

/// A node's text as a qualified name: its own prefix, and what stands behind it.
fn qualified(text: &str) -> String {
    match text.split_once(':') {
        Some((prefix, rest)) if PREFIXES.contains(&prefix) => format!("{prefix}:{}", local(rest)),
        _ => format!("cf:{}", local(text)),
    }
}

/// Letters, digits, `-`, `_` and `.` as they are, all else by its bytes in hexadecimal.
fn local(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
