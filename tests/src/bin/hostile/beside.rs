//! Connections of those who speak for nobody, beside or in place of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use counterfoil_tests::process::Outcome;
use futures::StreamExt as _;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, noise, ping, tcp, yamux};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{interval, sleep};

use super::wire::{DONE, Held};
use super::{Fate, Mode};

/// Connections that are opened and on which nothing is said.
const SILENT: usize = 200;
/// Keys that speak for nobody.
const CROWD: usize = 100;

/// Somebody who is to be carried by a relay.
#[derive(NetworkBehaviour)]
struct Carried {
    relay: libp2p::relay::client::Behaviour,
    ping: ping::Behaviour,
}

/// Opens connections, from an address if one is given, and says nothing, again and again.
async fn silent(from: Option<SocketAddr>, to: SocketAddr) {
    let connect = async || -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind(from)?;
        }
        socket.connect(to).await
    };
    loop {
        if let Ok(mut stream) = connect().await {
            let (_held, mut buffer) = (Held::new(), [0; 256]);
            DONE.fetch_add(1, Ordering::Relaxed);
            // Until the other side has had enough of it.
            while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut stream, &mut buffer).await {}
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// A peer of a new key that connects and stays.
async fn stranger(target: Multiaddr) -> Outcome<()> {
    let mut swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| ping::Behaviour::default())?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    let mut redial = interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            _ = swarm.select_next_some() => {}
            _ = redial.tick() => {
                DONE.fetch_add(1, Ordering::Relaxed);
                if swarm.connected_peers().next().is_none() {
                    // One that is under way, or refused, is tried again.
                    let _ = swarm.dial(target.clone());
                }
            }
        }
    }
}

/// Asks a relay to take connections for a key that speaks for nobody, again and again.
pub(crate) async fn reserve(target: Multiaddr, mut orders: UnboundedReceiver<String>) -> Outcome<()> {
    let mut swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_relay_client(noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_, relay| Carried { relay, ping: ping::Behaviour::default() })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    let (mut fate, mut again) = (Fate::default(), interval(Duration::from_millis(100)));
    let mut relay = None;
    loop {
        tokio::select! {
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    fate.connected += 1;
                    relay = Some(target.clone().with(Protocol::P2p(peer_id)).with(Protocol::P2pCircuit));
                }
                SwarmEvent::NewListenAddr { .. } => fate.reserved += 1,
                SwarmEvent::ListenerClosed { .. } => fate.denied += 1,
                _ => {}
            },
            _ = again.tick() => match &relay {
                Some(relay) => drop(swarm.listen_on(relay.clone())?),
                // One that is under way, or refused, is tried again.
                None => drop(swarm.dial(target.clone())),
            },
            order = orders.recv() => match order {
                Some(_) => println!("{}", fate.to_json()),
                None => return Ok(()),
            },
        }
    }
}

/// What somebody who opens connections beside its own does.
pub(crate) fn spawn(mode: Mode, address: &str, from: &[String], target: &Multiaddr) -> Outcome<()> {
    if mode == Mode::Silent {
        let parts: Vec<&str> = address.split('/').collect();
        let [_, "ip4", ip, "tcp", port, ..] = parts[..] else { return Err("no address of TCP".into()) };
        let to = format!("{ip}:{port}").parse()?;
        let from = from.iter().map(|ip| Ok(Some(format!("{ip}:0").parse()?)));
        let mut from = from.collect::<Outcome<Vec<Option<SocketAddr>>>>()?;
        if from.is_empty() {
            from.push(None);
        }
        for from in from.into_iter().cycle().take(SILENT) {
            tokio::spawn(silent(from, to));
        }
    }
    if mode == Mode::Crowd {
        for _ in 0..CROWD {
            let target = target.clone();
            tokio::spawn(async move { stranger(target).await.map_err(|error| error.to_string()) });
        }
    }
    Ok(())
}
