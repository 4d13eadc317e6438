//! Connections that close, whoever is at the other end.
//!
//! The library closes a connection once everything that was to be sent on it has been, and waits for that as long as it takes.
//! Where the other end reads nothing more that is for ever: a peer that lets its answers pile up could not be let go of, and its
//! connections would count until there is no room for others. Here closing has a term.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{MapOk, Ready, TryFutureExt as _};
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::UpgradeInfo;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use libp2p::yamux;
use tokio::time::{Sleep, sleep};

use super::behaviour::CONNECTION_STREAMS_MAX;

/// Longest that a connection which closes waits for its last bytes to be sent.
const CLOSING: Duration = Duration::from_secs(2);

/// Yamux, with a term for closing.
#[derive(Debug, Clone)]
pub(super) struct Multiplexer(yamux::Config);

impl Multiplexer {
    pub(super) fn new() -> Self {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(CONNECTION_STREAMS_MAX);
        Self(config)
    }
}

impl UpgradeInfo for Multiplexer {
    type Info = <yamux::Config as UpgradeInfo>::Info;
    type InfoIter = <yamux::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

type Upgrade<C> =
    MapOk<Ready<Result<yamux::Muxer<C>, io::Error>>, fn(yamux::Muxer<C>) -> Closing<yamux::Muxer<C>>>;

impl<C> InboundConnectionUpgrade<C> for Multiplexer
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Closing<yamux::Muxer<C>>;
    type Error = io::Error;
    type Future = Upgrade<C>;

    fn upgrade_inbound(self, io: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_inbound(io, info).map_ok(Closing::new)
    }
}

impl<C> OutboundConnectionUpgrade<C> for Multiplexer
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Closing<yamux::Muxer<C>>;
    type Error = io::Error;
    type Future = Upgrade<C>;

    fn upgrade_outbound(self, io: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_outbound(io, info).map_ok(Closing::new)
    }
}

/// A connection whose closing has a term.
pub(super) struct Closing<M> {
    inner: M,
    within: Duration,
    term: Option<Pin<Box<Sleep>>>,
}

impl<M> Closing<M> {
    const fn new(inner: M) -> Self {
        Self { inner, within: CLOSING, term: None }
    }
}

impl<M> StreamMuxer for Closing<M>
where
    M: StreamMuxer + Unpin,
    M::Error: Into<io::Error>,
{
    type Substream = M::Substream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Self::Substream>> {
        Pin::new(&mut self.inner).poll_inbound(cx).map_err(Into::into)
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Self::Substream>> {
        Pin::new(&mut self.inner).poll_outbound(cx).map_err(Into::into)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.inner).poll(cx).map_err(Into::into)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(closed) = Pin::new(&mut self.inner).poll_close(cx) {
            return Poll::Ready(closed.map_err(Into::into));
        }
        let within = self.within;
        let term = self.term.get_or_insert_with(|| Box::pin(sleep(within)));
        // Whoever holds this drops it then, and with it the socket.
        term.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Where the other end sends nothing and takes nothing.
    struct Deaf;

    impl AsyncRead for Deaf {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Deaf {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_connection_to_the_deaf_closes_too() {
        let mut connection = Multiplexer::new().upgrade_inbound(Deaf, "/yamux/1.0.0").await.unwrap();
        assert_eq!(connection.within, CLOSING);
        connection.within = Duration::from_millis(1);
        let closed = poll_fn(|cx| Pin::new(&mut connection).poll_close(cx)).await;
        assert_eq!(closed.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
