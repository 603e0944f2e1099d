//! Every mount of the REST API in one list, with what surrounds it: security headers, CORS, compression, and problems
//! for paths and methods that do not exist.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use serde_json::Value;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::dispatch::{Gate, dispatch};
use super::{docs, problem, request};
use crate::api::openapi::BASE;
use crate::api::{Action, Problem};

/// The routes of all operations.
pub fn routes(gate: &Arc<Gate>, actions: Vec<Action>, document: &Value, origins: &[String]) -> Router {
    let mut paths: BTreeMap<String, MethodRouter> = BTreeMap::new();
    for action in actions {
        let (gate, action) = (Arc::clone(gate), Arc::new(action));
        let filter = match action.operation.method {
            "POST" => MethodFilter::POST,
            "PATCH" => MethodFilter::PATCH,
            "PUT" => MethodFilter::PUT,
            "DELETE" => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        };
        let path = format!("{BASE}{}", numbered(&action.operation.path));
        let handler = move |request: Request| dispatch(Arc::clone(&gate), Arc::clone(&action), request);
        let methods = paths.remove(&path).unwrap_or_default();
        paths.insert(path, methods.on(filter, handler));
    }
    let mut router = Router::new();
    for (path, methods) in paths {
        router = router.route(&path, methods);
    }
    router = router.merge(docs::routes(document));
    // Below the base only: pages of other parts of the service have their own ways.
    let unknown = on(
        MethodFilter::GET
            .or(MethodFilter::POST)
            .or(MethodFilter::PATCH)
            .or(MethodFilter::PUT)
            .or(MethodFilter::DELETE),
        no_page,
    );
    router
        .route(&format!("{BASE}/{{*rest}}"), unknown)
        .method_not_allowed_fallback(no_method)
        // The first is the outermost. One layer: each of its own would be cloned anew with all beneath by every request.
        .layer((cors(origins), CompressionLayer::new(), middleware::from_fn(secure)))
}

/// A path with its variable parts numbered: the router wants one name in one place, and collections below others name
/// what stands above them.
fn numbered(path: &str) -> String {
    let mut count = 0;
    let parts = path.split('/').map(|part| match part.starts_with('{') {
        true => {
            count += 1;
            format!("{{{}}}", count)
        }
        false => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

async fn no_page(request: Request) -> Response {
    told(&request, &Problem::not_found("page"))
}

async fn no_method(request: Request) -> Response {
    let why = format!("{} is not for this path.", request.method());
    told(&request, &Problem::new(405, "method-not-allowed", why))
}

fn told(request: &Request, problem: &Problem) -> Response {
    let id = request::request_id(request.headers(), || "-".to_owned());
    problem::response(problem, request.uri().path(), &id)
}

/// Headers that keep a browser from doing more with an answer than reading it (OWASP HTTP headers).
async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000; includeSubDomains"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Pages of these origins may ask; none: no page but our own.
fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|o| HeaderValue::from_str(o).ok()).collect();
    let named = |names: &[&'static str]| names.iter().map(|n| HeaderName::from_static(n)).collect::<Vec<_>>();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE])
        .allow_headers(named(&[
            "authorization",
            "content-type",
            "idempotency-key",
            "if-match",
            "x-request-id",
        ]))
        .expose_headers(named(&[
            "etag",
            "location",
            "retry-after",
            "x-request-id",
            "ratelimit-limit",
            "ratelimit-remaining",
            "ratelimit-reset",
        ]))
        .max_age(crate::config::limits::http::PREFLIGHT_TIME)
}
