//! What gets out and what is taken: invariants 10 and 11.

use std::collections::BTreeMap;
use std::sync::Arc;

use counterfoil_federation::Config;
use counterfoil_federation::message::Topic;
use counterfoil_federation::usage::Usage;
use counterfoil_protocol::ids::{OrganisationId, StatementId};
use counterfoil_protocol::mesh::Agreement;
use counterfoil_protocol::statement::{Payload, Statement, Visibility};

use super::{Violation, violation};
use crate::disk::Chain;
use crate::history::History;

/// Invariant 10: nothing that is limited reached anybody that it is not for.
pub fn limited(history: &History) -> Option<Violation> {
    let leak = history.leaks.first()?;
    let text = format!("host {} told host {}: {}", leak.from, leak.to, leak.what);
    Some(violation("limited", text))
}

/// Invariant 11: what an engine holds stays within its limits, whatever its peers do. `organisations` is how many the mesh
/// can have, the candidates aside.
pub fn bounded(host: usize, usage: &Usage, config: &Config, organisations: usize) -> Option<Violation> {
    let under_way = config.peers_max * config.under_way_max();
    let checks = [
        ("peers", usage.peers, config.peers_max),
        ("requests under way", usage.exchanges, under_way),
        ("candidates", usage.candidates, config.candidates_max),
        ("statements that wait", usage.pending, config.pending_max + config.commit_statements_max),
        ("chains", usage.replicas, organisations),
        ("heads that are fetched", usage.targets, organisations),
        ("heads that are compared", usage.suspicions, organisations),
        ("proofs", usage.proofs, organisations),
        (
            "effects that wait for the disk",
            usage.waiting,
            config.pending_max + under_way + 64 * organisations,
        ),
        ("questions that wait", usage.parked, config.parked_max),
        ("gatherings", usage.gatherings, config.gatherings_max),
        ("peers that are being connected", usage.reaching, config.reach_max),
        ("budgets", usage.budgets, Topic::ALL.len() * organisations),
        ("heads to tell of", usage.untold, organisations),
        ("searches for what is withheld", usage.searches, organisations),
        ("organisations that vectors speak of", usage.changes, organisations),
        ("requests under way to one peer", usage.exchanges_of_one, config.under_way_max()),
        ("places taken at one peer", usage.places_of_one, config.requests_per_peer_max),
        ("questions of one peer that wait", usage.parked_of_one, config.requests_per_peer_max),
    ];
    checks.into_iter().find(|(_, has, most)| has > most).map(|(what, has, most)| {
        violation("bounded", format!("host {host} holds {has} {what}, where {most} is the most"))
    })
}

/// No honest host closed its connection to another honest one for misbehaviour.
pub fn closed(history: &History, is_honest: impl Fn(usize) -> bool) -> Option<Violation> {
    let closed = history.closed.iter().find(|closed| is_honest(closed.by) && is_honest(closed.whom))?;
    let text = format!("host {} let host {} go: {}", closed.by, closed.whom, closed.reason);
    Some(violation("closed", text))
}

/// No honest host alarmed.
pub fn alarm(history: &History, is_honest: impl Fn(usize) -> bool) -> Option<Violation> {
    let (host, text) = history.alarms.iter().find(|(host, _)| is_honest(*host))?;
    Some(violation("alarm", format!("host {host}: {text}")))
}

/// Invariant 10: what is for the parties of an agreement lies on the disks of its parties alone, and what is private on its
/// author's.
pub fn limited_stays_limited(
    disks: &[(usize, OrganisationId, &BTreeMap<OrganisationId, Chain>)],
) -> Option<Violation> {
    let statements = |chains: &BTreeMap<OrganisationId, Chain>| -> Vec<(OrganisationId, StatementId, Visibility, Arc<[u8]>)> {
        let all = chains.iter().flat_map(|(author, chain)| chain.entries.iter().map(move |stored| (author, stored)));
        all.filter_map(|(author, stored)| {
            let (id, _, visibility, bytes) = stored.statement.as_ref()?;
            Some((*author, *id, *visibility, bytes.clone()))
        })
        .collect()
    };
    let mut agreements: BTreeMap<StatementId, Agreement> = BTreeMap::new();
    for (_, _, chains) in disks {
        for (_, id, _, bytes) in statements(chains) {
            let Ok(statement) = Statement::parse(bytes) else { continue };
            if let Ok(Payload::Agreement(agreement)) =
                Payload::decode(statement.header().kind, statement.payload())
            {
                agreements.insert(id, *agreement);
            }
        }
    }
    for (host, reader, chains) in disks {
        for (author, id, visibility, _) in statements(chains) {
            let may_read = match visibility {
                _ if author == *reader => true,
                Visibility::Mesh => true,
                Visibility::Private => false,
                Visibility::Parties(agreement) => {
                    agreements.get(&agreement).is_some_and(|agreement| agreement.has_party(reader))
                }
            };
            if !may_read {
                let text = format!("host {host} of {reader} has {id} of {author}, which is not for it");
                return Some(violation("limited-stays-limited", text));
            }
        }
    }
    None
}
