//! Asterisk's realtime over HTTP (`res_config_curl`): what Asterisk would ask a database, it asks us, with every
//! registration and every call. An operator then edits no `pjsip.conf`, `queues.conf` or `voicemail.conf`; what the API
//! writes counts from the next question on.
//!
//! `POST /asterisk/realtime/<table>/<single|multi|store|update|destroy|require>`, Basic, user `asterisk`, password
//! `HOOKSWITCH_REALTIME_TOKEN`. One token is one Asterisk's, which serves all tenants; names in Asterisk carry the tenant
//! (`acme-101`), and every query does. An answer comes from memory when it is as new as the tenant's data, and while the
//! database is away.
//!
//! The other way is over `res_odbc`: Asterisk reads the same rows from views of the database itself, and what it writes there
//! is taken from an inbox.

mod answer;
mod contacts;
pub mod form;
mod inbox;
mod kept;
mod queue_log;
mod table;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use tokio::task::JoinHandle;

use crate::base::clock::Clock;
use crate::base::secret::Secret;
use crate::base::shutdown::Stopping;
use crate::config::limits::realtime as limits;
use crate::db::Db;
use crate::endpoints::registrations::{self, With};
use crate::events::Events;
use crate::journal::{self, Journal};
use answer::{Answers, Away};
use contacts::Contacts;
use form::FormError;
use queue_log::QueueLog;

/// Who signs in.
const USER: &str = "asterisk";

/// What realtime needs.
#[derive(Clone)]
pub struct Parts {
    /// The database.
    pub db: Db,
    /// Knows tenants and the versions of their data.
    pub router: Arc<crate::routing::Router>,
    /// The time.
    pub clock: Clock,
    /// What changes tell.
    pub events: Arc<Events>,
    /// The password; `None`: nobody may ask.
    pub token: Option<Secret>,
    /// Keeps what Asterisk delivers while the database is away; `None`: it is lost then.
    pub kept: Option<Journal>,
}

/// Answers Asterisk.
pub struct Realtime {
    parts: Parts,
    answers: Answers,
    contacts: Contacts,
    queue_log: QueueLog,
}

impl std::fmt::Debug for Realtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Realtime").finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("there is no table {0:?} here, or it can't be asked so")]
    Table(String),
    #[error(transparent)]
    Form(#[from] FormError),
    #[error("{0}")]
    Value(String),
    #[error("the database is away")]
    Away,
    #[error("the answer would be longer than {} bytes", limits::ANSWER_BYTES)]
    Long,
}

impl From<Away> for Wrong {
    fn from(_: Away) -> Self {
        Self::Away
    }
}

impl From<sqlx::Error> for Wrong {
    fn from(error: sqlx::Error) -> Self {
        match crate::db::is_unavailable(&error) {
            true => Self::Away,
            false => Self::Value(error.to_string()),
        }
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Table(_) => StatusCode::NOT_FOUND,
            Self::Form(_) | Self::Value(_) => StatusCode::BAD_REQUEST,
            Self::Away => StatusCode::SERVICE_UNAVAILABLE,
            Self::Long => StatusCode::PAYLOAD_TOO_LARGE,
        };
        if status != StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(error = %self, "Asterisk asked what can't be answered");
        }
        (status, format!("{self}\n")).into_response()
    }
}

impl Realtime {
    /// Without anything in memory.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            answers: Answers::new(),
            contacts: Contacts::new(),
            queue_log: QueueLog::default(),
        })
    }

    /// Starts what runs beside questions.
    pub fn start(self: &Arc<Self>, keep: &Stopping) -> Vec<JoinHandle<()>> {
        let (this, stopping) = (Arc::clone(self), keep.clone());
        let moving = tokio::spawn(async move {
            let deliveries = this.move_kept(stopping).await;
            if deliveries > 0 {
                tracing::warn!(deliveries, "what Asterisk delivered stays in a file until the next start");
            }
        });
        let (this, mut stopping) = (Arc::clone(self), keep.clone());
        let expire = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(limits::EXPIRE_TIME) => {}
                    () = stopping.stopped() => return,
                }
                this.expire().await;
            }
        });
        let (this, stopping) = (Arc::clone(self), keep.clone());
        let inbox =
            tokio::spawn(async move { inbox::run(&this.parts, &this.queue_log.skew, stopping).await });
        vec![moving, expire, inbox]
    }

    /// Moves what was kept into the database, until `stopping` and what is there then. Returns how much is left.
    pub async fn move_kept(&self, stopping: Stopping) -> u64 {
        let Some(journal) = self.parts.kept.clone() else { return 0 };
        journal::drain::run(journal, kept::Database(self.parts.clone()), stopping).await
    }

    /// Takes what Asterisk wrote into the database itself.
    pub async fn take_notes(&self) {
        inbox::drain(&self.parts, &self.queue_log.skew, &mut inbox::Stuck::default()).await;
    }

    /// Ends the state of endpoints whose registrations have run out.
    pub async fn expire(&self) {
        let parts = &self.parts;
        if kept::has_some(parts) {
            // Who renewed meanwhile is not in the database yet.
            return;
        }
        let with = With { ids: &parts.router.ids, events: &parts.events, now_us: parts.clock.now_us() };
        match registrations::expire(&parts.db, with).await {
            Ok(told) => told.iter().for_each(|(tenant, position)| parts.events.news.tell(tenant, *position)),
            Err(error) => tracing::debug!(%error, "registrations that ran out can't be looked for"),
        }
    }

    fn may(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.parts.token else { return false };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given =
            given.and_then(|text| text.strip_prefix("Basic ")).and_then(|text| STANDARD.decode(text).ok());
        let wanted = format!("{USER}:{}", token.expose());
        given.is_some_and(|given| given.ct_eq(wanted.as_bytes()).into())
    }
}

/// Where Asterisk asks.
pub fn routes(realtime: Arc<Realtime>) -> Router {
    Router::new()
        .route("/asterisk/realtime/{table}/{verb}", post(ask))
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES))
        .with_state(realtime)
}

async fn ask(
    State(realtime): State<Arc<Realtime>>,
    Path((table, verb)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !realtime.may(&headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"hookswitch realtime\"")];
        return (StatusCode::UNAUTHORIZED, challenge, "user asterisk and HOOKSWITCH_REALTIME_TOKEN\n")
            .into_response();
    }
    match table::ask(&realtime, (&table, &verb), query.as_deref().unwrap_or_default(), &body).await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response(),
        Err(wrong) => wrong.into_response(),
    }
}
