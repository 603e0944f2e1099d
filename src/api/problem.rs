//! What goes back when a request can't be served: RFC 9457 problem details with a stable code.

use std::time::Duration;

use serde::Serialize;

use crate::db;

/// One thing that is wrong with a body, by JSON pointer, or with the query, by the parameter's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// JSON pointer (RFC 6901) into the body; empty when the fault is not in it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pointer: String,
    /// The query parameter or header; empty when the fault is in the body.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parameter: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl Fault {
    /// A fault of a field of the body, by its name or path without the first slash.
    pub fn at(field: &str, detail: impl Into<String>) -> Self {
        let pointer = if field.is_empty() { String::new() } else { format!("/{field}") };
        Self { pointer, parameter: String::new(), detail: detail.into() }
    }

    /// A fault of a query parameter or header.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self { pointer: String::new(), parameter: name.to_owned(), detail: detail.into() }
    }
}

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// A stable name for programs, kebab-case.
    pub code: &'static str,
    /// What happened and what to do, for people.
    pub detail: String,
    /// Everything that is wrong with the request.
    pub errors: Vec<Fault>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// A problem with a status, a code and a sentence.
    pub fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// Not there, or somebody else's.
    pub fn not_found(one: &str) -> Self {
        Self::new(404, "not-found", format!("There is no such {one}."))
    }

    /// The role, or the key's scopes, do not allow it.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, "forbidden", detail)
    }

    /// The role may do it, but only with what is its own.
    pub fn not_yours(detail: impl Into<String>) -> Self {
        Self::new(403, "not-yours", detail)
    }

    /// Nobody is signed in, or the token is no good.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(401, "unauthenticated", detail)
    }

    /// The state of things does not allow it.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(409, code, detail)
    }

    /// Values that are wrong, all of them.
    pub fn invalid(errors: Vec<Fault>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("One value is wrong: {}", one.detail),
            all => format!("{} values are wrong.", all.len()),
        };
        Self { errors, ..Self::new(422, "invalid", detail) }
    }

    /// One value is wrong.
    pub fn invalid_field(field: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![Fault::at(field, detail)])
    }

    /// The query is wrong.
    pub fn bad_query(errors: Vec<Fault>) -> Self {
        let detail = errors.first().map_or_else(String::new, |e| format!("{}: {}", e.parameter, e.detail));
        Self { errors, ..Self::new(400, "bad-query", detail) }
    }

    /// The service is at fault. The cause is logged here, once, and not told.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "a request failed");
        Self::new(500, "internal", "The service failed; it has been logged under the request id.")
    }

    /// Come back in a while.
    pub fn busy(code: &'static str, detail: impl Into<String>, after: Duration) -> Self {
        Self { retry_after: Some(after), ..Self::new(503, code, detail) }
    }

    /// What the status is called in HTTP (RFC 9110).
    pub fn title(&self) -> &'static str {
        match self.status {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            408 => "Request Timeout",
            409 => "Conflict",
            412 => "Precondition Failed",
            413 => "Content Too Large",
            414 => "URI Too Long",
            415 => "Unsupported Media Type",
            422 => "Unprocessable Content",
            429 => "Too Many Requests",
            500 => "Internal Server Error",
            503 => "Service Unavailable",
            _ => "Error",
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        if db::is_unavailable(&error) {
            tracing::warn!(%error, "a request found the database away");
            return Self::busy(
                "database-unavailable",
                "The database is away; calls are still routed. Try again.",
                crate::config::limits::api::RETRY_TIME,
            );
        }
        if db::is_unique_violation(&error) {
            tracing::debug!(%error, "a request met a unique key");
            return Self::conflict("taken", "A record with these values exists already.");
        }
        if db::is_data_error(&error) {
            tracing::warn!(%error, "a request's values were refused by the database");
            return Self::conflict(
                "refused",
                "The database refused these values: something else refers to it, or it refers to what is gone.",
            );
        }
        Self::internal(error)
    }
}
