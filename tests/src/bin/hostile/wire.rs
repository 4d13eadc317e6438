//! What it speaks, and what it does on the streams and the socket of its one connection.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use counterfoil_federation::message::MESSAGE_BYTES_MAX;
use counterfoil_protocol::keys::SecretKey;
use counterfoil_tests::process::Outcome;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::core::Transport as _;
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, ValidationMode};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, Codec, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, Swarm};
use libp2p::{StreamProtocol, noise, ping, tcp, yamux};
use tokio::time::sleep;

/// Between two bytes of somebody who dawdles.
const DAWDLE: Duration = Duration::from_millis(300);
/// So many bytes that come one by one, after which whoever does not take a stream has said so.
const TAKEN: usize = 4;

/// Streams and sockets that somebody else has taken, and on which nothing comes to an end.
pub(crate) static HELD: AtomicU64 = AtomicU64::new(0);
/// What was done so far beside the swarm's own loop.
pub(crate) static DONE: AtomicU64 = AtomicU64::new(0);

/// Whether nothing is read from the one connection that there is.
pub(crate) static UNREAD: AtomicBool = AtomicBool::new(false);

/// A socket from which nothing is read as long as that is not wanted.
struct Ears<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Ears<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if UNREAD.load(Ordering::Relaxed) {
            // That the connection is over shows when something is written.
            return Poll::Pending;
        }
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ears<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// Counts as held while it lives.
pub(crate) struct Held;

impl Held {
    pub(crate) fn new() -> Self {
        HELD.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is written on a stream.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// A message as it should be.
    Message(Vec<u8>),
    /// A message of that length, so much of it at once and the rest byte by byte, each after a while.
    Part { length: u32, at_once: usize },
}

/// Writes acts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mischief;

impl Codec for Mischief {
    type Protocol = StreamProtocol;
    type Request = Act;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, _: &mut T) -> io::Result<Act>
    where
        T: AsyncRead + Unpin + Send,
    {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.take(4 + MESSAGE_BYTES_MAX as u64).read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, act: Act) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match act {
            Act::Message(bytes) => {
                io.write_all(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()).await?;
                io.write_all(&bytes).await?;
                io.close().await
            }
            Act::Part { length, at_once } => {
                io.write_all(&length.to_be_bytes()).await?;
                io.write_all(&vec![0; at_once]).await?;
                io.flush().await?;
                let mut held = None;
                for written in 0..usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(at_once) {
                    sleep(DAWDLE).await;
                    io.write_all(&[0]).await?;
                    io.flush().await?;
                    DONE.fetch_add(1, Ordering::Relaxed);
                    if written == TAKEN {
                        held = Some(Held::new());
                    }
                }
                drop(held);
                io.close().await
            }
        }
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, _: &mut T, _: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) hello: request_response::Behaviour<Mischief>,
    pub(crate) sync: request_response::Behaviour<Mischief>,
    pub(crate) gossip: gossipsub::Behaviour,
    ping: ping::Behaviour,
}

pub(crate) fn swarm(key: &SecretKey, mesh: &str) -> Outcome<(Swarm<Behaviour>, IdentTopic)> {
    let topic = IdentTopic::new(format!("counterfoil/{mesh}/heads"));
    let exchange = |name: &str| -> Outcome<request_response::Behaviour<Mischief>> {
        let protocol = StreamProtocol::try_from_owned(format!("/counterfoil/{mesh}/{name}/1"))?;
        let config = request_response::Config::default()
            .with_request_timeout(Duration::from_secs(60))
            .with_max_concurrent_streams(10_000);
        let protocols = [(protocol, ProtocolSupport::Outbound)];
        Ok(request_response::Behaviour::with_codec(Mischief, protocols, config))
    };
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message| gossipsub::MessageId::new(&message.data))
        .max_transmit_size(4 << 20)
        .build()?;
    let mut gossip = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config)?;
    gossip.subscribe(&topic)?;
    let ping = ping::Behaviour::default();
    let behaviour = Behaviour { hello: exchange("hello")?, sync: exchange("sync")?, gossip, ping };
    let mut seed = key.to_seed();
    let swarm =
        libp2p::SwarmBuilder::with_existing_identity(Keypair::ed25519_from_bytes(seed.as_mut_slice())?)
            .with_tokio()
            .with_other_transport(|key| {
                let sockets =
                    tcp::tokio::Transport::new(tcp::Config::default()).map(|socket, _| Ears(socket));
                let secured = sockets.upgrade(Version::V1Lazy).authenticate(noise::Config::new(key)?);
                Ok(secured.multiplex(yamux::Config::default()))
            })?
            .with_behaviour(|_| behaviour)?
            .with_swarm_config(|config| {
                // Whoever does not read asks without waiting to hear that it may.
                config
                    .with_substream_upgrade_protocol_override(Version::V1Lazy)
                    .with_idle_connection_timeout(Duration::from_secs(600))
            })
            .build();
    Ok((swarm, topic))
}
