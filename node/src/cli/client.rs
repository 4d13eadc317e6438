//! The command line's way to a running node: HTTP over the socket in the data directory, or over TCP with a token.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::problem::Problem;

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 30;
/// Largest refusal that is read.
const PROBLEM_BYTES_MAX: usize = 1 << 20;

/// Where the node is.
#[derive(Debug, Clone)]
pub enum Address {
    /// Its socket.
    Socket(PathBuf),
    /// Its address as `host:port`, and the token.
    Tcp(String, String),
}

/// A node that answers.
#[derive(Debug, Clone)]
pub struct Client(Address);

/// What a node refused, with the check that failed.
#[derive(Debug, thiserror::Error)]
#[error("{} [{}]", .0.detail, .0.check)]
pub struct Refused(pub Problem);

impl Client {
    /// A client for the node at this address.
    pub const fn new(address: Address) -> Self {
        Self(address)
    }

    /// Whether it goes through the socket in the data directory.
    pub const fn is_local(&self) -> bool {
        matches!(self.0, Address::Socket(_))
    }

    /// Asks for a resource.
    ///
    /// # Errors
    /// [`Refused`], or why the node cannot be reached.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let bytes = self.call("GET", path, None)?;
        serde_json::from_slice(&bytes).context("the node's answer is not what this program understands")
    }

    /// Asks for bytes.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub fn bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        self.call("GET", path, None)
    }

    /// Sends a wish.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        let bytes = self.post_for_bytes(path, body)?;
        serde_json::from_slice(&bytes).context("the node's answer is not what this program understands")
    }

    /// Sends a wish that is answered with bytes.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub fn post_for_bytes(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Vec<u8>> {
        self.call("POST", path, Some(serde_json::to_vec(body)?))
    }

    /// Sends a wish that is answered with a file of any length.
    ///
    /// # Errors
    /// See [`Self::get`]; the file is as it was then.
    pub fn post_for_file(&self, path: &str, body: &impl Serialize, file: &Path) -> anyhow::Result<u64> {
        let named = || file.display().to_string();
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut part =
            tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new("."))).with_context(named)?;
        let length =
            self.call_into("POST", path, Some(serde_json::to_vec(body)?), part.as_file_mut(), u64::MAX)?;
        part.persist(file).with_context(named)?;
        Ok(length)
    }

    /// Copies an answer of any length as it comes. A reader that has gone is no error.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub fn copy(&self, path: &str, into: &mut impl Write) -> anyhow::Result<()> {
        let is_gone = |error: &anyhow::Error| {
            let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            kind == Some(std::io::ErrorKind::BrokenPipe)
        };
        match self.call_into("GET", path, None, into, u64::MAX) {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }

    fn call(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.call_into(method, path, body, &mut bytes, ANSWER_BYTES_MAX)?;
        Ok(bytes)
    }

    fn call_into(
        &self,
        method: &str,
        path: &str,
        body: Option<Vec<u8>>,
        into: &mut impl Write,
        max: u64,
    ) -> anyhow::Result<u64> {
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        executor.block_on(async {
            match &self.0 {
                Address::Socket(socket) => {
                    let stream = tokio::net::UnixStream::connect(socket).await.with_context(|| {
                        format!(
                            "no node runs here ({} does not answer); start one with `counterfoil run`, or name its \
                             data directory with --data",
                            socket.display()
                        )
                    })?;
                    exchange(stream, method, path, None, body, into, max).await
                }
                Address::Tcp(host, token) => {
                    let stream = tokio::net::TcpStream::connect(host)
                        .await
                        .with_context(|| format!("no node answers at {host}"))?;
                    exchange(stream, method, path, Some((host, token)), body, into, max).await
                }
            }
        })
    }
}

async fn exchange<S>(
    stream: S,
    method: &str,
    path: &str,
    remote: Option<(&String, &String)>,
    body: Option<Vec<u8>>,
    into: &mut impl Write,
    max: u64,
) -> anyhow::Result<u64>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path);
    request = request.header(header::HOST, remote.map_or("node", |(host, _)| host));
    if let Some((_, token)) = remote {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let response =
        sender.send_request(request.body(Full::new(Bytes::from(body.unwrap_or_default())))?).await?;
    let status = response.status();
    let mut answer = response.into_body();
    if status.is_success() {
        let mut length = 0u64;
        while let Some(frame) = answer.frame().await {
            let Ok(bytes) = frame.context("the node's answer ended early")?.into_data() else { continue };
            length += bytes.len() as u64;
            anyhow::ensure!(length <= max, "the node's answer has more than {max} bytes");
            into.write_all(&bytes)?;
        }
        driver.abort();
        return Ok(length);
    }
    let bytes = Limited::new(answer, PROBLEM_BYTES_MAX).collect().await;
    let bytes = bytes.map_err(|error| anyhow::anyhow!("the node's answer: {error}"))?.to_bytes();
    driver.abort();
    match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) => Err(Refused(problem).into()),
        Err(_) => bail!("the node answered {status}"),
    }
}

/// A text as one segment of a path.
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_hold_no_separator() {
        assert_eq!(segment("stmt:abc"), "stmt:abc");
        assert_eq!(segment("a/b c?d=é"), "a%2Fb%20c%3Fd%3D%C3%A9");
    }
}
