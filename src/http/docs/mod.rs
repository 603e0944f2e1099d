//! The API's document and the page to browse it: `/api/openapi.json`, `/api/docs`. The page loads nothing from
//! elsewhere.

use axum::Router;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use serde_json::Value;

/// What the page may do: run and style itself, and ask this service.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes of document and page.
pub fn routes(document: &Value) -> Router {
    let text = Bytes::from(document.to_string());
    Router::new()
        .route("/api/openapi.json", get(move || async move { file("application/json", text) }))
        .route(
            "/api/docs",
            get(|| async {
                file("text/html; charset=utf-8", Bytes::from_static(include_bytes!("page.html")))
            }),
        )
        .route(
            "/api/docs/page.js",
            get(|| async {
                file("text/javascript; charset=utf-8", Bytes::from_static(include_bytes!("page.js")))
            }),
        )
        .route(
            "/api/docs/page.css",
            get(|| async { file("text/css; charset=utf-8", Bytes::from_static(include_bytes!("page.css"))) }),
        )
}

fn file(kind: &'static str, bytes: Bytes) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, bytes)
}
