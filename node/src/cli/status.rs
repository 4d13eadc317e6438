//! `status`, `peers`, `sync status`.

use clap::Subcommand;

use super::Context;
use super::print::short;
use crate::service::read::{PeerView, Status};

/// Synchronisation
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Sync {
    /// Which chains are known, and how far
    Status,
}

pub(super) fn status(context: &Context) -> anyhow::Result<()> {
    let status: Status = context.client.get("/v1/status")?;
    let out = context.out;
    out.done(format!("{} is {}", status.name, status.organisation));
    out.detail(format!(
        "chain: {} statements, {} of {} witnesses",
        status.size, status.cosignatures, status.witness_quorum
    ));
    out.detail(format!("API: http://{}", status.api));
    match (&status.mesh_name, status.member) {
        (Some(name), true) => out.detail(format!("mesh: {name}, as a member; {} peers", status.peers)),
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
        context.out.line(format!("{who:<28} {}", peer.peer_id));
    }
    if peers.is_empty() {
        context.out.line("nobody is connected");
    }
    context.out.value(&peers)
}

impl Sync {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self::Status = self;
        let status: Status = context.client.get("/v1/status")?;
        for chain in &status.chains {
            let mark = if chain.misbehaved { "  FORKED" } else { "" };
            context.out.line(format!(
                "{:<28} {:>8} statements, {} cosignatures, confirmed {} s ago{mark}",
                chain.name, chain.size.0, chain.cosignatures, chain.seen_s
            ));
            if let Some(why) = &chain.not_followed {
                context.out.bad(why);
            }
        }
        context.out.value(&status.chains)
    }
}
