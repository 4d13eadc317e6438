//! Lineages: what rests on what, and how far recalls have come.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::routing::get;
use futures::stream::unfold;
use serde::Deserialize;

use super::actuation::{WAIT_S_MAX, wait_s};
use super::routes::{Answered, Shared, call, run};
use crate::service::Node;
use crate::service::lineage::Moment;

pub(super) fn router() -> Router<Arc<Node>> {
    Router::new()
        .route("/v1/trace/{text}", get(trace))
        .route("/v1/impact/{text}", get(impact))
        .route("/v1/impact/{text}/lines", get(lines))
        .route("/v1/path/{from}/{to}", get(path))
        .route("/v1/recalls/{id}", get(recall))
}

/// How a lineage is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    as_of_position: Option<u64>,
    as_of_time: Option<u64>,
    /// Seconds to wait at most for what other members have of what is not here; 0 asks nobody.
    #[serde(default = "wait_s")]
    wait_s: u64,
}

impl Asked {
    const fn moment(&self) -> Moment {
        Moment { as_of_position: self.as_of_position, as_of_time: self.as_of_time }
    }

    fn wait(&self) -> Duration {
        Duration::from_secs(self.wait_s.min(WAIT_S_MAX))
    }
}

async fn trace(State(node): Shared, Path(text): Path<String>, Query(asked): Query<Asked>) -> Answered {
    run(node, move |node| node.trace(&text, asked.moment(), asked.wait())).await
}

async fn impact(State(node): Shared, Path(text): Path<String>, Query(asked): Query<Asked>) -> Answered {
    run(node, move |node| node.impact(&text, asked.moment(), asked.wait())).await
}

async fn path(
    State(node): Shared,
    Path((from, to)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Answered {
    run(node, move |node| node.path(&from, &to, asked.moment(), asked.wait())).await
}

/// Everything here that rests on something, a line of JSON for each, a page at a time. Nobody is asked.
async fn lines(State(node): Shared, Path(text): Path<String>, Query(moment): Query<Moment>) -> Answered {
    let pages = call(node.clone(), move |node| node.impact_pages(&text, moment)).await?;
    let pages = Arc::new(pages);
    let body = unfold(0, move |number| {
        let (node, pages) = (node.clone(), pages.clone());
        async move {
            let page = call(node, move |node| node.page(&pages, number)).await;
            match page {
                Ok(page) => page.map(|page| (Ok(Bytes::from(page)), number + 1)),
                // The answer breaks off, which a client tells from its end.
                Err(_) => Some((Err(std::io::Error::other("the lineage cannot be read")), usize::MAX)),
            }
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response())
}

async fn recall(State(node): Shared, Path(id): Path<String>) -> Answered {
    run(node, move |node| node.recall_status(&node.resolve(&id)?)).await
}
