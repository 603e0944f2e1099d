//! One request as handlers see it, their answer, and the operation they stand for.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::field::Field;
use super::problem::Problem;
use super::resource::{Doing, Part, Record};
use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource, TenantId};
use crate::base::role::{Role, Roles};
use crate::config::limits::api as limits;
use crate::db::{Db, Tx};

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Which kind.
    pub actor: Actor,
    /// The tenant the request is for; `None`: a superadmin who has not chosen one.
    pub tenant: Option<TenantId>,
    /// What they may do.
    pub role: Role,
    /// The session the token belongs to.
    pub session: Option<Id>,
    /// What a key is limited to; `None`: as the role says.
    pub scopes: Option<super::scope::Scopes>,
}

/// The kinds of who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person.
    User(Id),
    /// A program with an API key.
    Key(Id),
}

impl Caller {
    /// The id of the user or key.
    pub fn id(&self) -> &Id {
        match &self.actor {
            Actor::User(id) | Actor::Key(id) => id,
        }
    }

    /// The user, when it is one.
    pub fn user(&self) -> Option<&Id> {
        match &self.actor {
            Actor::User(id) => Some(id),
            Actor::Key(_) => None,
        }
    }
}

/// One request that has passed every check that does not need the database.
#[derive(Debug)]
pub struct Call {
    /// The database, for reads.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Makes ids.
    pub ids: IdSource,
    /// Signs cursors.
    pub cursors: Arc<super::page::Key>,
    /// Who asks; `None` only where the operation is public.
    pub caller: Option<Caller>,
    /// Its id, for logs and the audit.
    pub request_id: String,
    /// Where it came from.
    pub address: IpAddr,
    /// The client's name for itself, cut short.
    pub user_agent: String,
    /// The path's variable parts.
    pub path: Vec<(String, String)>,
    /// The query, in order.
    pub query: Vec<(String, String)>,
    /// `If-Match`, when given.
    pub if_match: Option<String>,
    /// The checked body.
    pub body: Map<String, Value>,
    /// The body as it came, where an operation takes other things than JSON.
    pub raw: bytes::Bytes,
    /// The body's media type, without parameters.
    pub content_type: String,
    /// What [`Handler::Prepared`] made before the transaction.
    pub prepared: Record,
    /// The folder that holds files of the service's own.
    pub data_dir: Arc<Path>,
}

impl Call {
    /// Who asks.
    ///
    /// # Errors
    /// 401 when nobody is signed in.
    pub fn caller(&self) -> Result<&Caller, Problem> {
        self.caller.as_ref().ok_or_else(|| Problem::unauthenticated("Sign in first."))
    }

    /// The tenant the request is for.
    ///
    /// # Errors
    /// 403 when a superadmin has not chosen one.
    pub fn tenant(&self) -> Result<&TenantId, Problem> {
        self.caller()?.tenant.as_ref().ok_or_else(|| {
            Problem::new(403, "no-tenant", "Choose a tenant first: POST /api/v1/auth/switch-tenant.")
        })
    }

    /// A variable part of the path.
    pub fn part(&self, name: &str) -> &str {
        self.path.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A text of the body; empty when it is not given.
    pub fn text(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Now, microseconds since 1970 UTC.
    pub fn now_us(&self) -> i64 {
        self.clock.now_us()
    }
}

/// One line of the audit, told by whoever makes a change.
#[derive(Clone, Debug)]
pub struct Audited {
    /// What was done: `contacts.update`.
    pub action: Cow<'static, str>,
    /// What to: `contacts`.
    pub object_type: Cow<'static, str>,
    /// Which one.
    pub object_id: String,
    /// As it was; empty: it was not there.
    pub before: Record,
    /// As it is; empty: it is gone.
    pub after: Record,
}

/// What goes out.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Nothing (204).
    Empty,
    /// JSON.
    Json(Value),
    /// Anything else, with its media type and, for a download, its file name.
    Bytes(Cow<'static, str>, Option<String>, bytes::Bytes),
    /// A file that is read while it goes out, with its media type and name.
    File(&'static str, String, OpenFile),
}

/// An open file of so many bytes.
#[derive(Clone, Debug)]
pub struct OpenFile {
    /// The file.
    pub file: Arc<std::fs::File>,
    /// Its length.
    pub bytes: u64,
}

impl PartialEq for OpenFile {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }
}

/// A handler's answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// What goes out.
    pub body: Body,
    /// Where the new record is.
    pub location: Option<String>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// Whether the body is one record and goes out with its `ETag`.
    pub tagged: bool,
    /// What is put on record. A handler that writes says at least one thing, or that it wrote nothing.
    pub audit: Vec<Audited>,
    /// Nothing was written: the request repeats one that was served.
    pub unchanged: bool,
    /// Whether routing must read the tenant anew.
    pub routing: bool,
    /// Fields that go out with this answer and are kept nowhere: a secret just made.
    pub once: Record,
    /// The tenant that audit and routing mean, when it is not the caller's.
    pub whose: Option<TenantId>,
    /// Who is put on record where the request came from nobody: a login.
    pub actor: Option<Caller>,
    /// Sessions that ended: their access tokens are refused once the change lasts.
    pub ended: Vec<Id>,
    /// API keys that were made or revoked: what is known of them is read anew once the change lasts.
    pub keys: Vec<Id>,
    /// Endpoints of webhooks that something is sent to once more.
    pub nudged: Vec<Id>,
    /// Events beside those that the lines of the audit make, told before them.
    pub tells: Vec<crate::events::Draft>,
    /// What the client hears instead, after everything is on record: a login that failed.
    pub refusal: Option<Problem>,
}

impl Reply {
    /// 200 with JSON.
    pub fn json(value: impl Into<Value>) -> Self {
        Self {
            status: 200,
            body: Body::Json(value.into()),
            location: None,
            headers: Vec::new(),
            tagged: false,
            audit: Vec::new(),
            unchanged: false,
            routing: false,
            once: Record::new(),
            whose: None,
            actor: None,
            ended: Vec::new(),
            keys: Vec::new(),
            nudged: Vec::new(),
            tells: Vec::new(),
            refusal: None,
        }
    }

    /// A problem that is put on record.
    pub fn refused(problem: Problem) -> Self {
        Self { refusal: Some(problem), ..Self::empty() }
    }

    /// 200 with one record, tagged.
    pub fn record(record: Record) -> Self {
        Self { tagged: true, ..Self::json(Value::Object(record)) }
    }

    /// 201 with the new record and its place.
    pub fn created(record: Record, location: String) -> Self {
        Self { status: 201, location: Some(location), ..Self::record(record) }
    }

    /// 204.
    pub fn empty() -> Self {
        Self { status: 204, body: Body::Empty, ..Self::json(Value::Null) }
    }

    /// With a line for the audit.
    pub fn audited(mut self, line: Audited) -> Self {
        self.audit.push(line);
        self
    }
}

/// The `ETag` of a record: a fingerprint of what is shown of it, so that every change changes it.
pub fn etag(record: &Record) -> String {
    etag_of(&serde_json::to_vec(record).unwrap_or_default())
}

/// As [`etag`], of a record that is JSON already.
pub fn etag_of(json: &[u8]) -> String {
    use sha2::Digest;
    let mut tag = String::from("\"");
    for byte in sha2::Sha256::digest(json).iter().take(12) {
        // Writing to a string can't fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Anyone, without a token.
    Public,
    /// Whoever is signed in, with or without a tenant; no API keys.
    SignedIn,
    /// These roles, in their tenant.
    Roles(Roles),
}

/// What a request's body is.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// None.
    None,
    /// A JSON object with these fields: a new one.
    New(&'static [Field], &'static [Part]),
    /// A JSON object with some of these fields (merge patch, RFC 7396).
    Patch(&'static [Field], &'static [Part]),
    /// Something of these media types, of at most so many bytes.
    Raw(&'static [&'static str], usize),
}

/// What an operation answers.
#[derive(Clone, Copy, Debug)]
pub enum Output {
    /// 204.
    Empty,
    /// A record of a collection, with status.
    Record(&'static super::resource::Resource, u16),
    /// A page of records.
    Page(&'static super::resource::Resource),
    /// An object of these fields, with status: its name in the document, and they.
    Object(&'static str, &'static [Field], u16),
    /// A list of such objects under `data`.
    Objects(&'static str, &'static [Field]),
    /// A page of a stream that is read by cursor: objects of these fields, under a name.
    Stream(&'static str, &'static [Field]),
    /// Bytes of a media type.
    Bytes(&'static str),
}

/// A parameter of the query beside those that every list has.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name, kind and meaning.
    pub field: Field,
    /// Whether it must be given.
    pub required: bool,
}

/// One operation, as data: what the router mounts, the document shows and the role table holds.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its stable id: `contacts.list`.
    pub id: Cow<'static, str>,
    /// `GET`, `POST`, `PATCH`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// The path below `/api/v1`, its variable parts in braces.
    pub path: Cow<'static, str>,
    /// The chapter of the document, which is also what scopes of API keys name.
    pub tag: String,
    /// One line.
    pub summary: Cow<'static, str>,
    /// More than that; may be empty.
    pub doc: Cow<'static, str>,
    /// Who may.
    pub who: Who,
    /// Parameters of the query.
    pub query: Vec<Parameter>,
    /// The body.
    pub input: Input,
    /// The answer.
    pub output: Output,
    /// Roles that see only what is their own.
    pub own: Option<super::resource::Own>,
    /// Fields that only this answer shows: secrets just made.
    pub once: &'static [Field],
    /// Codes of problems beside those that any operation can have: status, code, when.
    pub problems: &'static [(u16, &'static str, &'static str)],
    /// When it answers 200 instead of 201: the record is there already. Empty: never.
    pub again: &'static str,
    /// When it is ended unless it is done, body included.
    pub deadline: Duration,
}

impl Operation {
    /// When an operation is ended that says nothing else.
    pub const DEADLINE: Duration = limits::REQUEST_TIME;

    /// An operation without query, body and answer; what it has of them is added.
    pub fn new(
        id: &'static str,
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        who: Roles,
    ) -> Self {
        Self {
            id: id.into(),
            method,
            path: path.into(),
            tag: super::crud::chapter(path),
            summary: summary.into(),
            doc: "".into(),
            who: Who::Roles(who),
            query: Vec::new(),
            input: Input::None,
            output: Output::Empty,
            own: None,
            once: &[],
            problems: &[],
            again: "",
            deadline: Self::DEADLINE,
        }
    }
}

/// What reads, or manages what it writes by itself.
pub type ReadFn = dyn for<'a> Fn(&'a Call) -> Doing<'a, Result<Reply, Problem>> + Send + Sync;
/// What writes inside the request's transaction.
pub type WriteFn = dyn for<'a> Fn(&'a Call, &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> + Send + Sync;

/// What makes values before the transaction begins.
pub type PrepareFn = dyn for<'a> Fn(&'a Call) -> Doing<'a, Result<Record, Problem>> + Send + Sync;

/// The code of an operation.
#[derive(Clone)]
pub enum Handler {
    /// Reads only; or writes in transactions of its own, where a failed request must leave a trace (logins).
    Read(Arc<ReadFn>),
    /// Writes in the transaction that also holds audit and idempotency.
    Write(Arc<WriteFn>),
    /// As [`Handler::Write`], after something that takes too long for a transaction: the hash of a password.
    Prepared(Arc<PrepareFn>, Arc<WriteFn>),
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Read(_)) { "Read" } else { "Write" })
    }
}

impl Handler {
    /// From a function that reads.
    pub fn read<F>(run: F) -> Self
    where
        F: for<'a> Fn(&'a Call) -> Doing<'a, Result<Reply, Problem>> + Send + Sync + 'static,
    {
        Self::Read(Arc::new(run))
    }

    /// From a function that writes.
    pub fn write<F>(run: F) -> Self
    where
        F: for<'a> Fn(&'a Call, &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> + Send + Sync + 'static,
    {
        Self::Write(Arc::new(run))
    }

    /// From a function that makes values, and one that writes.
    pub fn prepared<P, F>(prepare: P, run: F) -> Self
    where
        P: for<'a> Fn(&'a Call) -> Doing<'a, Result<Record, Problem>> + Send + Sync + 'static,
        F: for<'a> Fn(&'a Call, &'a mut Tx) -> Doing<'a, Result<Reply, Problem>> + Send + Sync + 'static,
    {
        Self::Prepared(Arc::new(prepare), Arc::new(run))
    }
}

/// An operation with its code.
#[derive(Clone, Debug)]
pub struct Action {
    /// What it is.
    pub operation: Operation,
    /// What it does.
    pub handler: Handler,
}
