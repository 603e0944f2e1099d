//! Problems on the wire: `application/problem+json` (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::{Fault, Problem};

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'a [Fault],
    request_id: &'a str,
}

/// Where a code is explained, below the service's own address.
pub const TYPE_BASE: &str = "/api/docs#problem-";

/// The answer that tells of a problem.
pub fn response(problem: &Problem, instance: &str, request_id: &str) -> Response {
    let body = Body {
        r#type: format!("{TYPE_BASE}{}", problem.code),
        title: problem.title(),
        status: problem.status,
        detail: &problem.detail,
        instance,
        code: problem.code,
        errors: &problem.errors,
        request_id,
    };
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, serde_json::to_vec(&body).unwrap_or_default()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(after) = problem.retry_after {
        // Rounded up: who comes at the told second is served.
        headers
            .insert(header::RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1_000).max(1) as u64));
    }
    if problem.status == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"hookswitch\""));
    }
    response
}
