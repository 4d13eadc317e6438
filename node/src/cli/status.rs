//! `status`, `peers`, `sync`, `node`.

use clap::Subcommand;
use counterfoil_protocol::ids::OrganisationId;

use super::Context;
use super::print::{short, time};
use crate::api::routes::PauseBody;
use crate::service::binding::PeerRotated;
use crate::service::read::{PeerView, Status};
use crate::service::reconcile::{Pause, Reconciliation};

/// This node, as a peer of others
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum NodeCommand {
    /// Give the node a new peer key; connections are made anew under its peer id
    Rotate,
}

impl NodeCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self::Rotate = self;
        let rotated: PeerRotated = context.client.post("/v1/peer-key", &serde_json::Value::Null)?;
        context.out.done(format!("the node's peer id is {} now", rotated.peer_id));
        context.out.detail(format!(
            "bound at position {}; its former key speaks for nobody",
            rotated.bound.position
        ));
        context.out.detail("others dial it there once they have that statement; change `peers` of node.toml that name the former id");
        context.out.value(&rotated)
    }
}

/// Synchronisation
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Sync {
    /// Which chains are known, and how far
    Status,
    /// Exchange nothing with an organisation until it is resumed
    Pause {
        /// Its id, an unambiguous prefix, or its name
        organisation: String,
    },
    /// Exchange with an organisation again
    Resume {
        /// Its id, an unambiguous prefix, or its name
        organisation: String,
    },
    /// What came since exchange with an organisation was paused, and what is missing
    Report,
}

pub(super) fn status(context: &Context) -> anyhow::Result<()> {
    let status: Status = context.client.get("/v1/status")?;
    let out = context.out;
    out.done(format!("{} is {}", status.name, status.organisation));
    out.detail(format!(
        "chain: {} statements, {} of {} witnesses",
        status.size, status.cosignatures, status.witness_quorum
    ));
    let own = status.chains.iter().find(|chain| chain.organisation == status.organisation);
    let witnesses = own.map_or(0, |own| own.witnesses.len());
    if status.member && status.witness_quorum * 2 <= witnesses {
        out.detail(format!(
            "of {witnesses} witnesses {} are enough: two sides of a mesh that is parted can each see another history; \
             counterfoil mesh amend --quorum {}",
            status.witness_quorum,
            witnesses / 2 + 1
        ));
    }
    let name = |id: &OrganisationId| {
        let chain = status.chains.iter().find(|chain| chain.organisation == *id);
        chain.map_or_else(|| short(id), |chain| chain.name.clone())
    };
    if !status.witnesses_away.is_empty() {
        let away: Vec<String> = status.witnesses_away.iter().map(name).collect();
        out.detail(format!("witnesses that were not connected for long: {}", away.join(", ")));
    }
    if !status.silent_witnesses.is_empty() {
        let silent: Vec<String> = status.silent_witnesses.iter().map(name).collect();
        out.detail(format!("not seen by a quorum yet; silent witnesses: {}", silent.join(", ")));
    }
    out.detail(format!("API: http://{}", status.api));
    match (&status.mesh_name, status.member) {
        (Some(name), true) => {
            let relayed = match status.relayed {
                0 => String::new(),
                count => format!(", {count} of them over a relay"),
            };
            out.detail(format!("mesh: {name}, as a member; {} peers{relayed}", status.peers));
        }
        (Some(name), false) => {
            out.detail(format!(
                "mesh: {name}, not admitted yet; members vote with `mesh admit {}`",
                short(&status.organisation)
            ));
        }
        (None, _) => out.detail("mesh: none yet; `mesh create` founds one, `mesh join` enters one"),
    }
    for address in &status.addresses {
        out.detail(format!("peers reach it at {address}"));
    }
    if let Some(why) = &status.frozen {
        out.bad(format!("it does not sign: {why}"));
    }
    out.value(&status)
}

pub(super) fn peers(context: &Context) -> anyhow::Result<()> {
    let peers: Vec<PeerView> = context.client.get("/v1/peers")?;
    for peer in &peers {
        let who = peer.name.clone().unwrap_or_else(|| "not introduced yet".into());
        let limited = match peer.limited {
            0 => String::new(),
            count => format!("  limited: {count} requests and messages were dropped"),
        };
        let reached = match (&peer.address, peer.relayed) {
            (Some(address), true) => format!("  over the relay {address}"),
            (Some(address), false) => format!("  {address}"),
            (None, _) => String::new(),
        };
        context.out.line(format!("{who:<28} {}{reached}{limited}", peer.peer_id));
    }
    if peers.is_empty() {
        context.out.line("nobody is connected");
    }
    context.out.value(&peers)
}

impl Sync {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Status => Self::status(context),
            Self::Pause { organisation } => {
                let body = PauseBody { organisation, paused: true };
                let pause: Pause = context.client.post("/v1/pauses", &body)?;
                context.out.done(format!("nothing is exchanged with {}", body.organisation));
                context.out.next(format!("counterfoil sync resume {}", body.organisation));
                context.out.value(&pause)
            }
            Self::Resume { organisation } => {
                let body = PauseBody { organisation, paused: false };
                let pause: Pause = context.client.post("/v1/pauses", &body)?;
                context.out.done(format!("exchange with {} goes on", body.organisation));
                context.out.next("counterfoil sync report");
                context.out.value(&pause)
            }
            Self::Report => report(context),
        }
    }

    fn status(context: &Context) -> anyhow::Result<()> {
        let status: Status = context.client.get("/v1/status")?;
        for chain in &status.chains {
            let mut marks = String::new();
            if chain.missing > 0 {
                marks.push_str(&format!("  {} of {} missing", chain.missing, chain.heard));
            }
            if chain.limited > 0 {
                marks.push_str(&format!("  limited: {} messages were dropped", chain.limited));
            }
            if chain.misbehaved {
                marks.push_str("  FORKED");
            }
            context.out.line(format!(
                "{:<28} {:>8} statements, {} of {} witnesses, confirmed {} s ago{marks}",
                chain.name,
                chain.size.0,
                chain.cosignatures,
                chain.witnesses.len(),
                chain.seen_s
            ));
            if let Some(why) = &chain.not_followed {
                context.out.bad(why);
            }
        }
        if status.chains.iter().all(|chain| chain.missing == 0) {
            context.out.detail("nothing is missing");
        }
        context.out.value(&status.chains)
    }
}

fn report(context: &Context) -> anyhow::Result<()> {
    let all: Vec<Reconciliation> = context.client.get("/v1/pauses")?;
    let out = context.out;
    for one in &all {
        let until = one.pause.resumed.map_or_else(|| "now".into(), time);
        out.line(format!("{}: paused from {} to {until}", one.name, time(one.pause.since)));
        let came: Vec<String> = one.came.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let came = if came.is_empty() { "nothing".into() } else { came.join(", ") };
        out.detail(format!("came since: {came}; {} withheld", one.withheld));
        for recall in &one.recalls {
            out.bad(format!("recalled meanwhile: {}", short(recall)));
        }
        for (what, links) in [("without an answer", &one.open), ("lapsed", &one.lapsed)] {
            for link in links {
                out.detail(format!("link {} is {what}", short(link)));
            }
        }
        if one.complete {
            out.done("its own node has confirmed that this is all");
        } else {
            out.unknown("its own node has not confirmed yet that this is all");
        }
    }
    if all.is_empty() {
        out.line("exchange was never paused");
    }
    out.value(&all)
}
