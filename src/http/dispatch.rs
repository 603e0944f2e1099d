//! What belongs to every request, in this order: address limit, who asks, what they may, their limits, query and body,
//! the handler in its transaction with audit and idempotency, the answer with its headers.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use axum::RequestPartsExt;
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use ipnet::IpNet;
use serde_json::{Map, Value};

use super::authenticate::authenticate;
use super::idempotency::{self, Held, Key, Running};
use super::rate::{Left, Limiter};
use super::{problem, request};
use crate::api::call::etag_of;
use crate::api::{
    Access, Action, Actor, Body, Call, Caller, Handler, Input, OpenFile, Output, Problem, Reply, Who, check,
    page,
};
use crate::audit::{self, ActorKind};
use crate::auth::Auth;
use crate::base::clock::Clock;
use crate::base::ids::{IdSource, TenantId};
use crate::base::role::Role;
use crate::config::limits::api as limits;
use crate::contacts;
use crate::db::{Db, Tx};
use crate::events::Events;
use crate::routing::Router as Routing;

/// What requests are served with.
pub struct Gate {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Makes ids.
    pub ids: IdSource,
    /// Signs cursors.
    pub cursors: Arc<page::Key>,
    /// Tells who asks.
    pub auth: Arc<Auth>,
    /// Limits.
    pub limiter: Limiter,
    /// Proxies that name the client's address.
    pub trusted: Vec<IpNet>,
    /// Idempotency keys at work.
    pub running: Running,
    /// What changes tell.
    pub events: Arc<Events>,
    /// Routing, which reads a tenant anew after a change it can see.
    pub routing: Arc<Routing>,
    /// The folder that holds files of the service's own.
    pub data_dir: Arc<Path>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("db", &self.db).finish_non_exhaustive()
    }
}

/// Serves one request of an operation.
pub async fn dispatch(gate: Arc<Gate>, action: Arc<Action>, request: Request) -> Response {
    let request_id = request::request_id(request.headers(), || format!("req_{}", gate.ids.next()));
    let path = request.uri().path().to_owned();
    // Boxed: it is large, and would be moved with every layer around it.
    let serving = Box::pin(serve(&gate, &action, request, &request_id));
    let served = tokio::time::timeout(action.operation.deadline, serving).await;
    let (mut response, left) = match served {
        Ok((Ok(reply), left)) => (respond(reply), left),
        Ok((Err(problem), left)) => (problem::response(&problem, &path, &request_id), left),
        Err(_) => {
            tracing::warn!(
                request.id = request_id,
                http.path = path,
                "a request took too long and was ended"
            );
            let late = Problem::busy(
                "too-slow",
                "The request took too long and was ended; look whether it was done before you repeat it.",
                limits::RETRY_TIME,
            );
            (problem::response(&late, &path, &request_id), None)
        }
    };
    tracing::debug!(request.id = request_id, http.path = path, http.status = response.status().as_u16(), operation.id = %action.operation.id, "a request was served");
    finish(&mut response, &request_id, left);
    response
}

async fn serve(
    gate: &Arc<Gate>,
    action: &Arc<Action>,
    request: Request,
    request_id: &str,
) -> (Result<Reply, Problem>, Option<Left>) {
    let (parts, body) = request.into_parts();
    let mut left = None;
    let served = async {
        let address = request::address(&parts, &gate.trusted);
        left = gate.limiter.address(address)?;
        let caller = match action.operation.who {
            Who::Public => {
                left = gate.limiter.login(address)?.or(left);
                None
            }
            who => {
                let caller = authenticate(&gate.auth, &gate.db, token(&parts.headers)?, address).await?;
                left = gate.limiter.caller(&caller)?.or(left);
                allow(&caller, who, action)?;
                Some(caller)
            }
        };
        let mut parts = parts;
        let params = path_params(&mut parts, &action.operation.path).await?;
        let query = request::query(&parts)?;
        known_query(action, &query)?;
        let content_type = request::content_type(&parts.headers);
        let (raw, body) = input(action.operation.input, &parts.headers, &content_type, body).await?;
        // One that is no text is not as good as none: it fits no record and is no key, and is refused as such.
        let header_text =
            |name| parts.headers.get(name).map(|v: &HeaderValue| v.to_str().unwrap_or_default().to_owned());
        let call = Call {
            db: gate.db.clone(),
            clock: gate.clock.clone(),
            ids: gate.ids.clone(),
            cursors: Arc::clone(&gate.cursors),
            caller,
            request_id: request_id.to_owned(),
            address,
            user_agent: request::text(&parts.headers, header::USER_AGENT, limits::USER_AGENT_CHARACTERS),
            path: params,
            query,
            if_match: header_text("if-match"),
            body,
            raw,
            content_type,
            prepared: Map::new(),
            data_dir: Arc::clone(&gate.data_dir),
        };
        let key = header_text("idempotency-key").filter(|_| action.operation.method == "POST");
        writable(gate, action, &call).await?;
        let path = parts.uri.path_and_query().map_or(parts.uri.path(), |whole| whole.as_str());
        run(gate, action, call, key, path).await
    };
    let result = served.await;
    (result, left)
}

fn token(headers: &axum::http::HeaderMap) -> Result<&str, Problem> {
    let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match given.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => {
            Ok(token.trim())
        }
        _ => Err(Problem::unauthenticated("Send a token or an API key: `Authorization: Bearer ...`.")),
    }
}

/// Whether the role and, for a key, its scopes allow the operation.
fn allow(caller: &Caller, who: Who, action: &Action) -> Result<(), Problem> {
    let Who::Roles(roles) = who else {
        return match caller.user() {
            Some(_) => Ok(()),
            None => Err(Problem::forbidden("This is for people; an API key can't do it.")),
        };
    };
    if !roles.has(caller.role) {
        return Err(Problem::forbidden(format!(
            "The role {} may not do this; it takes one of: {}.",
            caller.role,
            roles.names().join(", ")
        )));
    }
    let Some(scopes) = &caller.scopes else { return Ok(()) };
    let (access, word) = match action.operation.method {
        "GET" => (Access::Read, "read"),
        _ => (Access::Write, "write"),
    };
    let tag = &action.operation.tag;
    if scopes.allow(tag, access) {
        return Ok(());
    }
    Err(Problem::forbidden(format!("The key lacks the scope {tag}:{word}.")))
}

/// Whether the tenant may be changed: in a suspended one people look, and only who runs the platform writes.
async fn writable(gate: &Gate, action: &Action, call: &Call) -> Result<(), Problem> {
    let Some(caller) = call.caller.as_ref().filter(|caller| caller.role != Role::Superadmin) else {
        return Ok(());
    };
    let Some(tenant) = caller.tenant.as_ref().filter(|_| action.operation.method != "GET") else {
        return Ok(());
    };
    if matches!(action.operation.who, Who::Roles(_)) {
        crate::tenants::store::may_write(&gate.db, tenant).await?;
    }
    Ok(())
}

/// The path's variable parts. Only plain ones: MariaDB takes `a ` for `a`, so what no id can be never reaches it.
async fn path_params(
    parts: &mut axum::http::request::Parts,
    path: &str,
) -> Result<Vec<(String, String)>, Problem> {
    let params = parts.extract::<RawPathParams>().await.map_err(|_| Problem::not_found("page"))?;
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let params: Vec<(String, String)> =
        names.zip(params.iter()).map(|(name, (_, value))| (name.to_owned(), value.to_owned())).collect();
    let plain = |v: &str| {
        (1..=64).contains(&v.len()) && v.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
    };
    if params.iter().all(|(_, value)| plain(value)) { Ok(params) } else { Err(Problem::not_found("record")) }
}

/// Lists check their parameters themselves; other operations take only what they name.
fn known_query(action: &Action, query: &[(String, String)]) -> Result<(), Problem> {
    if matches!(action.operation.output, Output::Page(_)) {
        return Ok(());
    }
    let mut faults = Vec::new();
    for (name, value) in query {
        match action.operation.query.iter().find(|p| p.field.name == name) {
            None => faults.push(crate::api::Fault::parameter(
                &name.chars().take(100).collect::<String>(),
                "No such parameter.",
            )),
            Some(parameter) => {
                let value = match parameter.field.kind {
                    crate::api::Kind::Int { .. } => value.parse::<i64>().map_or(Value::Null, Value::from),
                    crate::api::Kind::Bool => value.parse::<bool>().map_or(Value::Null, Value::from),
                    _ => Value::from(value.as_str()),
                };
                if let Err(why) = check::one(&value, &parameter.field) {
                    faults.extend(why.into_iter().map(|(_, why)| crate::api::Fault::parameter(name, why)));
                }
            }
        }
    }
    for parameter in action.operation.query.iter().filter(|p| p.required) {
        if query.iter().all(|(name, _)| name != parameter.field.name) {
            faults.push(crate::api::Fault::parameter(parameter.field.name, "This must be given."));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Problem::bad_query(faults)) }
}

async fn input(
    input: Input,
    headers: &axum::http::HeaderMap,
    content_type: &str,
    body: axum::body::Body,
) -> Result<(Bytes, Map<String, Value>), Problem> {
    let (fields, parts, is_new) = match input {
        // A body that nobody asked for is not read; the connection closes over it.
        Input::None => return Ok((Bytes::new(), Map::new())),
        Input::Raw(types, most) => {
            request::expect_type(content_type, types)?;
            return Ok((request::body(headers, body, most).await?, Map::new()));
        }
        Input::New(fields, parts) => (fields, parts, true),
        Input::Patch(fields, parts) => (fields, parts, false),
    };
    let types: &[&str] =
        if is_new { &["application/json"] } else { &["application/json", "application/merge-patch+json"] };
    request::expect_type(content_type, types)?;
    let raw = request::body(headers, body, limits::BODY_BYTES).await?;
    let value = request::json(&raw)?;
    let checked = check::body(&value, fields, parts, is_new).map_err(Problem::invalid)?;
    Ok((raw, checked))
}

/// Runs the handler, in its transaction when it writes. Whoever hangs up meanwhile stops a question and no change: what a
/// handler did on the way (moved a channel, say) must be done whole and be on record.
async fn run(
    gate: &Arc<Gate>,
    action: &Arc<Action>,
    mut call: Call,
    key: Option<String>,
    path: &str,
) -> Result<Reply, Problem> {
    if let Handler::Read(read) = &action.handler {
        let reply = read(&call).await?;
        gate.auth.revoked.add(&reply.ended, call.now_us());
        if !reply.audit.is_empty() {
            let mut tx = gate.db.begin().await?;
            let told = record(gate, &call, &mut tx, &reply).await?;
            tx.commit().await?;
            tell(gate, told);
        }
        return outcome(reply);
    }
    let (gate, action, path) = (Arc::clone(gate), Arc::clone(action), path.to_owned());
    let work = async move {
        let changing = change(&gate, &action, &mut call, key.as_deref(), &path);
        let longest = action.operation.deadline + limits::CHANGE_GRACE;
        match tokio::time::timeout(longest, changing).await {
            Ok(done) => done,
            Err(_) => {
                tracing::error!(operation.id = %action.operation.id, "a change did not end and was cut off");
                Err(Problem::internal("the change did not end"))
            }
        }
    };
    tokio::spawn(work).await.unwrap_or_else(|panicked| Err(Problem::internal(panicked)))
}

/// Runs a handler that writes.
async fn change(
    gate: &Gate,
    action: &Action,
    call: &mut Call,
    key: Option<&str>,
    path: &str,
) -> Result<Reply, Problem> {
    let write = match &action.handler {
        Handler::Read(_) => return Err(Problem::internal("a question changes nothing")),
        Handler::Write(write) | Handler::Prepared(_, write) => write,
    };
    let held = key.map(|text| hold(gate, call, text)).transpose()?;
    let fingerprint = idempotency::fingerprint(action.operation.method, path, &call.raw);
    if let Handler::Prepared(prepare, _) = &action.handler {
        if let Some(held) = &held {
            // What was answered is not made again: it may take long, or do something.
            let mut tx = gate.db.begin().await?;
            let before = idempotency::find(&mut tx, held.key(), &fingerprint, call.now_us()).await?;
            tx.commit().await?;
            if let Some(before) = before {
                return Ok(before);
            }
        }
        call.prepared = prepare(call).await?;
    }
    let (call, caller) = (&*call, call.caller.as_ref());
    let mut tx = gate.db.begin().await?;
    if let Some(held) = &held
        && let Some(before) = idempotency::find(&mut tx, held.key(), &fingerprint, call.now_us()).await?
    {
        return Ok(before);
    }
    let reply = write(call, &mut tx).await?;
    if reply.audit.is_empty() && !reply.unchanged {
        return Err(Problem::internal(format!(
            "{} changed something and put nothing on record",
            action.operation.id
        )));
    }
    let told = record(gate, call, &mut tx, &reply).await?;
    if let Some(held) = &held {
        idempotency::keep(
            &mut tx,
            held.key(),
            (action.operation.method, path, &fingerprint),
            &reply,
            call.now_us(),
        )
        .await?;
    }
    let tenant = reply.whose.clone().or_else(|| caller.and_then(|c| c.tenant.clone()));
    let tenant = tenant.filter(|_| reply.routing);
    if let Some(tenant) = &tenant {
        crate::tenants::store::touch(&mut tx, tenant).await?;
    }
    tx.commit().await?;
    tell(gate, told);
    lasted(gate, call, &reply, tenant.as_ref()).await;
    outcome(reply)
}

/// Takes an idempotency key: nobody else works under it meanwhile.
fn hold<'g>(gate: &'g Gate, call: &Call, text: &str) -> Result<Held<'g>, Problem> {
    idempotency::check(text)?;
    let caller = call.caller.as_ref();
    let tenant = caller.and_then(|c| c.tenant.as_ref()).map(TenantId::to_string).unwrap_or_default();
    let actor = caller.map(|c| c.id().to_string()).unwrap_or_default();
    gate.running.take(Key { tenant, actor, text: text.to_owned() })
}

/// What memory must know once a change lasts: sessions and keys that ended, names of callers, `routed`'s routing.
async fn lasted(gate: &Gate, call: &Call, reply: &Reply, routed: Option<&TenantId>) {
    gate.auth.revoked.add(&reply.ended, call.now_us());
    reply.keys.iter().for_each(|key| gate.auth.api_keys.forget(key));
    reply.nudged.iter().for_each(|webhook| gate.events.news.nudge(webhook));
    if let Some(tenant) = call.caller.as_ref().and_then(|c| c.tenant.as_ref()) {
        let contacts = reply.audit.iter().filter(|line| line.object_type == contacts::api::CONTACTS.name);
        contacts.for_each(|line| gate.routing.names.forget_contact(tenant, [&line.before, &line.after]));
    }
    if let Some(tenant) = routed
        && let Err(error) = gate.routing.memory.reload(tenant).await
    {
        tracing::warn!(%error, tenant.id = %tenant, "routing reads a changed tenant with its next refresh");
    }
}

/// What the client hears of a reply that is on record.
fn outcome(mut reply: Reply) -> Result<Reply, Problem> {
    match reply.refusal.take() {
        Some(problem) => Err(problem),
        None => Ok(reply),
    }
}

/// Wakes who waits for a tenant's events, once they last.
fn tell(gate: &Gate, told: Option<(TenantId, i64)>) {
    if let Some((tenant, position)) = told {
        gate.events.news.tell(&tenant, position);
    }
}

/// Puts a reply's lines into the audit, and what they tell into the tenant's events; returns how far these go.
async fn record(
    gate: &Gate,
    call: &Call,
    tx: &mut Tx,
    reply: &Reply,
) -> Result<Option<(TenantId, i64)>, Problem> {
    let caller = reply.actor.as_ref().or(call.caller.as_ref());
    let address = call.address.to_string();
    let whose = reply.whose.as_ref().or_else(|| caller.and_then(|c| c.tenant.as_ref()));
    let tenant = whose.map_or("", TenantId::as_str);
    for line in &reply.audit {
        let entry = audit::store::Entry {
            tenant,
            at_us: call.now_us(),
            actor_kind: caller.map_or(ActorKind::System, |c| match c.actor {
                Actor::User(_) => ActorKind::User,
                Actor::Key(_) => ActorKind::ApiKey,
            }),
            actor_id: caller.map_or("", |c| c.id().as_str()),
            role: caller.map_or("", |c| c.role.as_str()),
            address: &address,
            user_agent: &call.user_agent,
            request_id: &call.request_id,
            action: &line.action,
            object_type: &line.object_type,
            object_id: &line.object_id,
            before: &line.before,
            after: &line.after,
        };
        audit::store::append(tx, &gate.ids, &entry).await?;
    }
    let Some(tenant) = whose else { return Ok(None) };
    let (when, more) = ((tenant, call.now_us()), reply.tells.clone());
    let position = gate.events.write_after(tx, &gate.ids, when, more, &reply.audit).await?;
    Ok(position.map(|position| (tenant.clone(), position)))
}

fn respond(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let mut response = match reply.body {
        Body::Empty => status.into_response(),
        Body::Json(mut value) => {
            let mut json = serde_json::to_vec(&value).unwrap_or_default();
            // Of what is kept: what goes out but once is no part of the record.
            let tag = reply.tagged.then(|| etag_of(&json));
            if let (Value::Object(object), false) = (&mut value, reply.once.is_empty()) {
                object.extend(reply.once);
                json = serde_json::to_vec(&value).unwrap_or_default();
            }
            let mut response = (status, json).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(Ok(tag)) = tag.map(HeaderValue::try_from) {
                headers.insert(header::ETAG, tag);
            }
            response
        }
        Body::Bytes(kind, name, bytes) => named((status, bytes).into_response(), &kind, name.as_deref()),
        Body::File(kind, name, file) => {
            let length = file.bytes;
            let mut response = named((status, streamed(file)).into_response(), kind, Some(&name));
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            response
        }
    };
    let mut set = |name: header::HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    if let Some(place) = &reply.location {
        set(header::LOCATION, place);
    }
    for (name, value) in &reply.headers {
        set(header::HeaderName::from_static(name), value);
    }
    response
}

/// A download says what it is and how it is called.
fn named(mut response: Response, kind: &str, name: Option<&str>) -> Response {
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    let named = name.map(|name| format!("attachment; filename=\"{name}\""));
    if let Some(Ok(value)) = named.map(|named| HeaderValue::from_str(&named)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// A file piece by piece: as fast as the client takes it, and never whole in memory.
fn streamed(file: OpenFile) -> axum::body::Body {
    let read = |(file, at, until): (Arc<std::fs::File>, u64, u64)| async move {
        if at >= until {
            return None;
        }
        let reading = Arc::clone(&file);
        let piece = tokio::task::spawn_blocking(move || {
            let mut piece =
                vec![0; limits::FILE_PIECE_BYTES.min(usize::try_from(until - at).unwrap_or(usize::MAX))];
            reading.read_exact_at(&mut piece, at).map(|()| piece)
        });
        let piece = piece.await.map_err(std::io::Error::other).and_then(|read| read);
        let (length, next) = match &piece {
            Ok(piece) => (piece.len() as u64, until),
            // The client sees a body that is cut off.
            Err(_) => (0, 0),
        };
        Some((piece.map(Bytes::from), (file, at + length, next)))
    };
    // Compression asks once more after the end.
    axum::body::Body::from_stream(futures_util::stream::unfold((file.file, 0, file.bytes), read).fuse())
}

/// Headers of every answer.
fn finish(response: &mut Response, request_id: &str, left: Option<Left>) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    if let Some(left) = left {
        headers.insert("ratelimit-limit", HeaderValue::from(left.limit));
        headers.insert("ratelimit-remaining", HeaderValue::from(left.remaining));
        headers.insert("ratelimit-reset", HeaderValue::from(left.reset_s));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
