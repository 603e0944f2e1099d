//! `/healthz`, `/readyz` and `/metrics`: what a supervisor and a dashboard ask.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::base::metrics::Metrics;
use crate::config::limits;
use crate::db::{Db, Schema};
use crate::routing::memory::Memory;

/// What these pages look at.
#[derive(Clone, Debug)]
pub struct Health {
    /// The database.
    pub db: Db,
    /// Routing data in memory.
    pub router: Arc<crate::routing::Router>,
}

/// Answer of `/readyz`.
#[derive(Debug, Serialize)]
struct Ready {
    status: &'static str,
    database: &'static str,
    database_kind: &'static str,
    schema: &'static str,
    tenants_in_memory: u64,
    dids_in_memory: u64,
    live_calls: usize,
}

/// Health and readiness.
pub fn routes(health: Health) -> Router {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(readyz)).with_state(health)
}

/// Metrics, on whichever listener they belong to.
pub fn metrics_routes(metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(render)).with_state(metrics)
}

async fn readyz(State(health): State<Health>) -> Response {
    let memory: &Memory = &health.router.memory;
    let (tenants, dids) = memory.known();
    let asked = tokio::time::timeout(limits::db::PROBE_TIME, health.db.schema()).await;
    let (database, schema) = match asked {
        Ok(Ok(Schema::Current)) => ("up", "current"),
        Ok(Ok(Schema::Behind(_))) => ("up", "behind"),
        Ok(Ok(Schema::Ahead)) => ("up", "ahead"),
        // It was current when the service started, or the service would not have.
        Ok(Err(_)) | Err(_) => ("down", "current"),
    };
    let ready = schema == "current" && (database == "up" || dids > 0);
    let body = Ready {
        status: if ready { "ready" } else { "not-ready" },
        database,
        database_kind: health.db.kind(),
        schema,
        tenants_in_memory: tenants,
        dids_in_memory: dids,
        live_calls: health.router.live.len(),
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(body)).into_response()
}

async fn render(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.render() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics can't be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
