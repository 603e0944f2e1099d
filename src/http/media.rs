//! `GET /media/{tenant}/{kind}/{id}`: a sound for whoever has its signed URL, in whole or in one range. The row is looked
//! at each time: what was deleted since is gone.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;

use super::dispatch::Gate;
use super::{problem, request};
use crate::api::Problem;
use crate::base::ids::{Id, TenantId};
use crate::config::limits::{api, sound as limits};
use crate::storage::sign::{Grant, Refused};
use crate::storage::{Lookup, Signer, Storage, StorageError};

/// What these URLs are served with.
pub struct Media {
    /// The database, the time, the limits.
    pub gate: Arc<Gate>,
    /// The store.
    pub storage: Storage,
    /// Whose URLs they are.
    pub signer: Arc<Signer>,
    /// How each kind of sound is found.
    pub kinds: HashMap<&'static str, Lookup>,
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Media").field("storage", &self.storage).finish_non_exhaustive()
    }
}

/// The route.
pub fn routes(media: &Arc<Media>) -> Router {
    Router::new().route("/media/{tenant}/{kind}/{id}", get(serve)).with_state(Arc::clone(media))
}

async fn serve(
    State(media): State<Arc<Media>>,
    Path((tenant, kind, id)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let request_id = request::request_id(request.headers(), || format!("req_{}", media.gate.ids.next()));
    let (parts, _) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let answered = async {
        media.gate.limiter.address(request::address(&parts, &media.gate.trusted))?;
        let query = parts.uri.query().unwrap_or_default();
        let grant = allowed(&media, (&tenant, &kind, &id), query)?;
        sound(&media, &grant, &parts.headers, parts.method == "HEAD").await
    };
    let mut response = match answered.await {
        Ok(response) => response,
        Err(problem) => problem::response(&problem, &path, &request_id),
    };
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert("x-request-id", id);
    }
    for (name, value) in [
        // A voice is nothing for a cache that others use, and the URL nothing for a `Referer`.
        (header::CACHE_CONTROL, "private, no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; sandbox"),
        // A tenant's own page may play it.
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What a URL allows.
fn allowed(media: &Media, (tenant, kind, id): (&str, &str, &str), query: &str) -> Result<Grant, Problem> {
    let forged =
        || Problem::new(403, "link-invalid", "The link is not one of this service's, or was changed.");
    let (mut expires_s, mut download, mut signature) = (None, false, "");
    if query.len() > limits::QUERY_CHARACTERS {
        return Err(forged());
    }
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "expires" => expires_s = value.parse().ok(),
            "download" => download = value == "1",
            "signature" => signature = value,
            _ => return Err(forged()),
        }
    }
    let grant = Grant {
        tenant: TenantId::parse(tenant).map_err(|_| forged())?,
        kind: kind.to_owned(),
        id: Id::parse(id).map_err(|_| forged())?,
        expires_s: expires_s.ok_or_else(forged)?,
        download,
    };
    match media.signer.check(&grant, signature, media.gate.clock.now_us() / 1_000_000) {
        Ok(()) => Ok(grant),
        Err(Refused::Forged) => Err(forged()),
        Err(Refused::Expired) => {
            Err(Problem::new(410, "link-expired", "The link's time is over; ask for a new one."))
        }
    }
}

/// What one range of a request asks for; `None`: the whole, which is also what several ranges get.
fn range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let text = headers.get(header::RANGE)?.to_str().ok()?.trim();
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| if text.is_empty() { Ok(None) } else { text.parse().map(Some) };
    match (number(from).ok()?, number(to).ok()?) {
        (None, None) => None,
        (Some(from), Some(to)) if from > to => None,
        both => Some(both),
    }
}

async fn sound(
    media: &Media,
    grant: &Grant,
    headers: &HeaderMap,
    is_head: bool,
) -> Result<Response, Problem> {
    let gone = || Problem::new(404, "no-sound", "The sound is not there any more.");
    let lookup = media.kinds.get(grant.kind.as_str()).ok_or_else(gone)?;
    let stored = lookup(&media.gate.db, &grant.tenant, &grant.id).await?.ok_or_else(gone)?;
    if stored.key.is_empty() {
        return Err(gone());
    }
    let tag = format!("\"{}\"", stored.sha256);
    // A range of something else than the client has begun with is no use to it.
    let same = headers.get(header::IF_RANGE).is_none_or(|given| given.as_bytes() == tag.as_bytes());
    let asked = range(headers).filter(|_| same);
    let bounds = match asked {
        None => None,
        Some((from, to)) => {
            let whole = in_time(media.storage.size(&stored.key)).await?;
            // `-5` means the last five, not the first.
            let (first, end) = match from {
                Some(from) => (from, to.map_or(whole, |to| to.saturating_add(1).min(whole))),
                None => (whole.saturating_sub(to.unwrap_or(0)), whole),
            };
            if first >= end {
                return Ok(unsatisfiable(whole));
            }
            Some((first, end))
        }
    };
    let reading = in_time(media.storage.read(&stored.key, bounds)).await?;
    let mut response = Response::new(Body::empty());
    let set = |response: &mut Response, name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    let place = if grant.download { "attachment" } else { "inline" };
    let place = format!("{place}; filename=\"{}.{}\"", grant.id, stored.format);
    for (name, value) in [
        (header::CONTENT_TYPE, content_type(&stored.format)),
        (header::CONTENT_DISPOSITION, &place),
        (header::ACCEPT_RANGES, "bytes"),
        (header::ETAG, &tag),
        (header::CONTENT_LENGTH, &(reading.range.end - reading.range.start).to_string()),
    ] {
        set(&mut response, name, value);
    }
    if bounds.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let (first, last) = (reading.range.start, reading.range.end.saturating_sub(1));
        set(&mut response, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{}", reading.whole));
    }
    if !is_head {
        *response.body_mut() = Body::from_stream(reading.stream);
    }
    Ok(response)
}

/// What the store says, if it says it in time.
async fn in_time<T>(asked: impl Future<Output = Result<T, StorageError>>) -> Result<T, Problem> {
    let away = || Problem::busy("storage-away", "The store does not answer; try again.", api::RETRY_TIME);
    match tokio::time::timeout(limits::READ_TIME, asked).await.map_err(|_| away())? {
        Ok(found) => Ok(found),
        Err(StorageError::Missing) => Err(Problem::new(404, "no-sound", "The sound is not there any more.")),
        Err(error) => {
            tracing::warn!(%error, "a sound can't be read");
            Err(away())
        }
    }
}

fn unsatisfiable(whole: u64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{whole}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

fn content_type(format: &str) -> &'static str {
    match format {
        "wav" | "WAV" | "wav49" => "audio/wav",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood_and_others_are_the_whole() {
        for (text, expected) in [
            ("bytes=0-9", Some((Some(0), Some(9)))),
            ("bytes=5-", Some((Some(5), None))),
            ("bytes=-5", Some((None, Some(5)))),
            ("bytes=9-5", None),
            ("bytes=-", None),
            ("bytes=0-1,3-4", None),
            ("lines=1-2", None),
            ("bytes=a-b", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(text))]);
            assert_eq!(range(&headers), expected, "{text}");
        }
    }
}
