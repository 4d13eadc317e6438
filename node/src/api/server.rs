//! Accepting connections: the owner's socket without a token, TCP with one for everything under `/v1`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};

use super::problem::Problem;

/// Most connections at one time, of each listener.
const CONNECTIONS_MAX: usize = 256;
/// How long a client may take to send its headers.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the owner's socket. Whoever can open the file is let in, so the file is for the owner alone.
///
/// # Errors
/// What the system says.
pub fn bind_unix(path: &Path) -> std::io::Result<UnixListener> {
    // A socket that a killed node has left behind; the head lock says that no other node runs here.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The mode is set on a name that nobody knows, before it takes its place.
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}

/// Serves the owner's socket until told to stop, and removes it then.
///
/// # Errors
/// What the system says.
pub async fn serve_unix(
    listener: UnixListener,
    path: PathBuf,
    router: Router,
    stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut stopped = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stopped) => break,
        };
        match accepted {
            Ok((stream, _)) => connection(stream, router.clone(), &connections, stop.clone()),
            Err(error) => pause(&error).await,
        }
    }
    std::fs::remove_file(&path)
}

/// Serves TCP until told to stop. `/v1` needs the token, and so does registering a statement.
pub async fn serve_tcp(listener: TcpListener, router: Router, token: String, stop: watch::Receiver<bool>) {
    let token: Arc<blake3::Hash> = Arc::new(blake3::hash(token.as_bytes()));
    let router = router.layer(from_fn_with_state(token, authorise));
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut stopped = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stopped) => break,
        };
        match accepted {
            Ok((stream, _)) => connection(stream, router.clone(), &connections, stop.clone()),
            Err(error) => pause(&error).await,
        }
    }
}

/// Waits until told to stop, or until nobody can tell any more.
async fn told(stop: &mut watch::Receiver<bool>) {
    // Both outcomes mean the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Out of file descriptors or the like: waiting is all that helps.
async fn pause(error: &std::io::Error) {
    tracing::warn!(%error, "a connection was not accepted");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn connection<S>(stream: S, router: Router, connections: &Arc<Semaphore>, mut stop: watch::Receiver<bool>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let Ok(permit) = connections.clone().try_acquire_owned() else {
        tracing::warn!("too many connections; one was closed");
        return;
    };
    tokio::spawn(async move {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEADERS_TIMEOUT);
        let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        tokio::pin!(served);
        let outcome = tokio::select! {
            outcome = served.as_mut() => outcome,
            () = told(&mut stop) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a connection ended");
        }
        drop(permit);
    });
}

async fn authorise(State(token): State<Arc<blake3::Hash>>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    // Hashes compare in constant time.
    let is_known = given.is_some_and(|given| blake3::hash(given.as_bytes()) == *token);
    let path = request.uri().path();
    let is_guarded = path.starts_with("/v1") || path == "/entries" && request.method() != Method::GET;
    if is_known || !is_guarded {
        return next.run(request).await;
    }
    let detail =
        "this address needs `Authorization: Bearer` with the token in api.token of the data directory";
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, "token", detail).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    response
}

/// The token in `path`, made anew if there is none.
///
/// # Errors
/// What the system says.
pub fn token(path: &Path) -> std::io::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            use std::io::Write as _;
            use std::os::unix::fs::OpenOptionsExt as _;
            let token = counterfoil_protocol::ids::base32(&rand::random::<[u8; 32]>());
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            writeln!(file, "{token}")?;
            Ok(token)
        }
        Err(error) => Err(error),
    }
}
