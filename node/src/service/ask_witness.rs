//! Asking a C2SP witness over HTTP to cosign the own checkpoint (C2SP tlog-witness).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use counterfoil_federation::Input;
use counterfoil_protocol::chain::cosignature::{verify_line, witness_name};
use counterfoil_protocol::chain::note::Note;
use counterfoil_protocol::chain::proof::consistency_proof;
use counterfoil_protocol::ids::{OrganisationId, Timestamp, TreeSize};
use counterfoil_protocol::limits::NOTE_BYTES_MAX;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};

use super::{Blame, Node, ServiceError};
use crate::store::StoreError;

/// How long a witness has to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a witness did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cosigned {
    /// Size of the checkpoint.
    pub size: TreeSize,
    /// The organisation that witnesses.
    pub witness: OrganisationId,
    /// When it says that it had seen the checkpoint.
    pub time: Timestamp,
}

fn failed(text: impl Into<String>) -> ServiceError {
    ServiceError::new(Blame::Unavailable, "witness", text)
}

impl Node {
    /// Asks the witness at this address (`http://host:port`, and a prefix) to cosign the latest checkpoint, and keeps the
    /// cosignatures of organisations that this node knows.
    ///
    /// # Errors
    /// [`ServiceError`] when it does not answer, refuses, or signs with a key that is not known here.
    pub fn ask_witness(&self, address: &str) -> Result<Vec<Cosigned>, ServiceError> {
        let own = self.organisation();
        let view = self.view()?;
        let head = view.chains.get(&own).and_then(|replica| replica.head());
        let head = head.ok_or_else(|| ServiceError::absent("there is no checkpoint yet"))?.clone();
        let mut old = TreeSize(0);
        // Once to learn what the witness has seen last, once with the proof from there.
        for _ in 0..2 {
            let proof =
                consistency_proof(&self.store().chain(own), old, head.size()).map_err(StoreError::from)?;
            let mut body = format!("old {old}\n");
            for hash in &proof {
                body.push_str(&STANDARD.encode(hash.0));
                body.push('\n');
            }
            body.push('\n');
            body.push_str(&head.note().to_string());
            let (status, answer) = post(address, body)?;
            let said = String::from_utf8_lossy(&answer).trim().to_owned();
            match status {
                200 => {
                    let lines = std::str::from_utf8(&answer).map_err(|_| failed("its answer is no text"))?;
                    let found = self.cosigned(&view, head.note(), lines)?;
                    for (line, _) in &found {
                        let input = Input::Cosigned { size: head.size(), line: line.clone() };
                        self.runtime.input(input)?;
                    }
                    return Ok(found
                        .into_iter()
                        .map(|(_, (witness, time))| Cosigned { size: head.size(), witness, time })
                        .collect());
                }
                409 => {
                    let size =
                        said.parse().map(TreeSize).ok().filter(|size| *size <= head.size() && *size != old);
                    let odd = || {
                        failed(format!("{address} says that it has seen {said:?} statements of this chain"))
                    };
                    old = size.ok_or_else(odd)?;
                }
                404 => {
                    return Err(failed(format!(
                        "{address} does not witness this chain; it has to know the organisation"
                    )));
                }
                _ => return Err(failed(format!("{address} does not cosign: {status} {said}"))),
            }
        }
        Err(failed(format!("{address} goes on while it is asked; ask again")))
    }

    /// The signature lines of known organisations, each checked.
    #[allow(clippy::type_complexity, reason = "a line, and who made it when")]
    fn cosigned(
        &self,
        view: &crate::runtime::View,
        note: &Note,
        lines: &str,
    ) -> Result<Vec<(String, (OrganisationId, Timestamp))>, ServiceError> {
        let signed = format!("{}\n{lines}", note.text());
        let signed =
            Note::parse(signed.as_bytes()).map_err(|error| failed(format!("its answer: {error}")))?;
        let mut found = Vec::new();
        for line in signed.signatures() {
            let mut others = view.chains.iter().filter(|(id, _)| **id != self.organisation());
            let known = others.find(|(id, _)| witness_name(id) == line.name);
            let Some((id, replica)) = known else { continue };
            let key = replica.state().description().witness_key;
            let cosignature = verify_line(line, *id, key, note.text())
                .map_err(|error| failed(format!("the cosignature of {id}: {error}")))?;
            found.push((line.to_text(), (*id, cosignature.time)));
        }
        if found.is_empty() {
            return Err(failed(
                "the witness signed, but with a key of no other organisation that is known here",
            ));
        }
        Ok(found)
    }
}

/// Sends a request to a witness. Gives the status and the body.
fn post(address: &str, body: String) -> Result<(u16, Bytes), ServiceError> {
    let address = address.trim_end_matches('/');
    let rest = address.strip_prefix("http://");
    let rest =
        rest.ok_or_else(|| ServiceError::caller("witness", format!("{address} is not http://host:port")))?;
    let (host, prefix) =
        rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    let exchange = async {
        let stream = tokio::net::TcpStream::connect(host).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{prefix}/add-checkpoint"))
            .header(header::HOST, host)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), NOTE_BYTES_MAX).collect().await;
        driver.abort();
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    };
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let executor = executor.map_err(|error| failed(error.to_string()))?;
    let outcome: Result<Result<_, String>, _> =
        executor.block_on(async { tokio::time::timeout(PATIENCE, exchange).await });
    match outcome {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed(format!("{address}: {error}"))),
        Err(_) => Err(failed(format!("{address} does not answer within {} s", PATIENCE.as_secs()))),
    }
}
