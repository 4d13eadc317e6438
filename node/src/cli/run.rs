//! `run`: the daemon.

use std::io::IsTerminal as _;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::Context;
use crate::api::server::{bind_unix, token};
use crate::api::{owner_router, router, serve_tcp, serve_unix};
use crate::data::passphrase;
use crate::service::Node;

/// Run the node until it is told to stop
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Where to listen for peers, as a multiaddress; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<String>,
    /// Where to serve the HTTP API
    #[arg(long, value_name = "ADDR")]
    api: Option<String>,
    /// A peer to dial, as a multiaddress; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    peer: Vec<String>,
    /// A relay over which the node is to be reached, as a multiaddress with its peer id; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    via: Vec<String>,
    /// Relay the connections of other members that cannot be reached directly
    #[arg(long)]
    relay: bool,
    /// A C2SP witness that is asked about each new checkpoint, as http://host:port; may be repeated
    #[arg(long, value_name = "URL")]
    witness: Vec<String>,
    /// Seconds of quiet after which others' heads are anchored; 0 never
    #[arg(long, value_name = "SECONDS")]
    anchor: Option<u64>,
    /// Memory for the database, in MiB
    #[arg(long, value_name = "MIB")]
    database_mib: Option<u32>,
    /// Form of the log on standard error; COUNTERFOIL_LOG filters it
    #[arg(long, value_enum, default_value_t = LogForm::Text)]
    log: LogForm,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogForm {
    Text,
    Json,
}

impl Run {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let filter = EnvFilter::try_from_env("COUNTERFOIL_LOG")
            .unwrap_or_else(|_| EnvFilter::new("info,libp2p=warn,libp2p_swarm=warn"));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        match self.log {
            LogForm::Text => log.init(),
            LogForm::Json => log.json().init(),
        }
        let mut config = context.data.config().or_else(|error| {
            // Says how to make an organisation, where there is none.
            context.data.inception()?;
            Err(error)
        })?;
        if !self.listen.is_empty() {
            config.listen = self.listen;
        }
        config.peers.extend(self.peer);
        config.via.extend(self.via);
        config.relay |= self.relay;
        config.witnesses.extend(self.witness);
        config.anchor_s = self.anchor.unwrap_or(config.anchor_s);
        if let Some(mib) = self.database_mib {
            config.database_mib = mib.try_into().map_err(anyhow::Error::msg)?;
        }
        if let Some(api) = self.api {
            config.api = api;
        }
        let passphrase = passphrase()?;
        let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        executor.block_on(async {
            let listener = TcpListener::bind(&config.api).await.with_context(|| {
                format!("cannot serve the API at {}; choose another with --api", config.api)
            })?;
            config.api = listener.local_addr()?.to_string();
            let data = context.data.clone();
            let node = tokio::task::spawn_blocking(move || Node::start(data, config, passphrase)).await??;
            serve(context, node, listener).await
        })
    }
}

async fn serve(context: &Context, node: Arc<Node>, listener: TcpListener) -> anyhow::Result<()> {
    let token = token(&context.data.path().join("api.token"))?;
    let (stop, stopped) = watch::channel(false);
    let api = listener.local_addr()?;
    let tcp = tokio::spawn(serve_tcp(listener, router(node.clone()), token, stopped.clone()));
    let socket = context.data.socket();
    // Open before anybody is told that the node runs.
    let owner = bind_unix(&socket).context("the socket in the data directory")?;
    let unix = tokio::spawn(serve_unix(owner, socket, owner_router(node.clone()), stopped));
    let name = node.status()?.name;
    context.out.done(format!("{name} runs; API at http://{api}"));
    if context.out.json {
        println!("{}", serde_json::json!({ "name": name, "api": format!("http://{api}") }));
    }
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::pin!(unix);
    tokio::select! {
        _ = interrupt.recv() => tracing::info!("interrupted: finishing what is under way"),
        _ = terminate.recv() => tracing::info!("told to stop: finishing what is under way"),
        ended = unix.as_mut() => ended?.context("the socket in the data directory")?,
    }
    // Whoever serves no longer needs no telling.
    let _ = stop.send(true);
    tcp.await?;
    tokio::task::spawn_blocking(move || node.stop()).await?;
    tracing::info!("stopped");
    Ok(())
}
