//! What plugins are answered with: the tenant's own values, contacts and tickets, and the hosts it was granted.
//!
//! Each question carries the tenant, so nothing of another one's can be named. What takes longer than the run may last is
//! dropped by the sandbox; a change is one transaction, which is then undone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};

use super::{HostOf, hosts, kv, store};
use crate::base::clock::Clock;
use crate::base::ids::{Id, Number, TenantId};
use crate::config::limits::plugins as limits;
use crate::contacts::{Card, Names};
use crate::db::Db;
use crate::outgoing::{self, Client, Longer, OutgoingUrl};
use crate::sandbox::types::{Contact, Failure, Field, Request, Response};
use crate::sandbox::{Answer, Answering, Ask, Host};
use crate::tickets::{Author, Desk};

/// How far plugins reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// They may do what they are granted.
    Everything,
    /// A simulation or a replay: nothing changes, and nothing leaves the house.
    Reads,
}

/// Answers all plugins.
#[derive(Clone, Debug)]
pub struct Hosts {
    db: Db,
    names: Names,
    client: Client,
    clock: Clock,
    tickets: Arc<Desk>,
    reach: Reach,
}

impl Hosts {
    /// With these.
    pub fn new(db: Db, names: Names, client: Client, clock: Clock, tickets: Arc<Desk>, reach: Reach) -> Self {
        Self { db, names, client, clock, tickets, reach }
    }
}

impl HostOf for Hosts {
    fn of(&self, tenant: &TenantId, plugin: &Id, http_hosts: &[String]) -> Arc<dyn Host> {
        Arc::new(One {
            all: self.clone(),
            tenant: tenant.clone(),
            plugin: plugin.clone(),
            http_hosts: http_hosts.to_vec(),
        })
    }
}

/// Answers one plugin.
struct One {
    all: Hosts,
    tenant: TenantId,
    plugin: Id,
    http_hosts: Vec<String>,
}

impl Host for One {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Answering<'a> {
        Box::pin(async move {
            if self.all.reach == Reach::Reads && changes(ask) {
                let text = "in a simulation nothing changes and nothing leaves the house";
                return Err(Failure::Other(("simulated".into(), text.into())));
            }
            self.answer(ask, "").await
        })
    }

    fn ask_about<'a>(&'a self, ask: &'a Ask, subject: &'a str) -> Answering<'a> {
        match ask {
            Ask::TicketComment { .. } if self.all.reach == Reach::Everything => {
                Box::pin(self.answer(ask, subject))
            }
            _ => self.ask(ask),
        }
    }
}

/// Whether a question is more than one.
fn changes(ask: &Ask) -> bool {
    matches!(
        ask,
        Ask::KvSet { .. }
            | Ask::KvDelete { .. }
            | Ask::KvIncrement { .. }
            | Ask::HttpSend(_)
            | Ask::TicketComment { .. }
    )
}

impl One {
    async fn answer(&self, ask: &Ask, subject: &str) -> Result<Answer, Failure> {
        let (db, now_us) = (&self.all.db, self.all.clock.now_us());
        let keys = kv::Keys { db, tenant: &self.tenant, plugin: &self.plugin, now_us };
        match ask {
            Ask::KvGet { key } => keys.get(key).await.map(Answer::Text),
            Ask::KvSet { key, value, ttl } => keys.set(key, value, *ttl).await.map(|()| Answer::Nothing),
            Ask::KvDelete { key } => keys.delete(key).await.map(Answer::Flag),
            Ask::KvIncrement { key, by, ttl } => keys.increment(key, *by, *ttl).await.map(Answer::Number),
            Ask::ContactByNumber { number } => self.contact(number).await.map(Answer::Contact),
            Ask::HttpSend(request) => self.http(request).await.map(Answer::Response),
            Ask::TicketsOpenFor { number } => {
                let number = self.number(number)?;
                self.all.tickets.open_for(&self.tenant, &number).await.map(Answer::Tickets)
            }
            Ask::TicketComment { id, text } => {
                let name = store::name(db, &self.tenant, &self.plugin).await.map_err(|error| away(&error))?;
                let by = Author { plugin: &self.plugin, name: &name, subject };
                self.all.tickets.comment(&self.tenant, by, id, text).await.map(|()| Answer::Nothing)
            }
            _ => Err(Failure::HungUp),
        }
    }

    fn number(&self, text: &str) -> Result<Number, Failure> {
        Number::from_dialled(text).map_err(|error| Failure::Invalid(error.to_string()))
    }

    async fn contact(&self, number: &str) -> Result<Option<Contact>, Failure> {
        let card = self.all.names.card(&self.tenant, number).await.map_err(|error| away(&error))?;
        Ok(card.map(|card| shown(&card)))
    }

    async fn http(&self, request: &Request) -> Result<Response, Failure> {
        let url: OutgoingUrl =
            request.url.parse().map_err(|error: outgoing::UrlError| Failure::Invalid(error.to_string()))?;
        let host = url.uri().host().unwrap_or_default().to_owned();
        if !self.http_hosts.iter().any(|pattern| hosts::covers(pattern, &host)) {
            return Err(Failure::Denied(format!("{host} is none of the hosts that this plugin was granted")));
        }
        let method = match request.method.as_str() {
            "GET" => Method::GET,
            "HEAD" => Method::HEAD,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            other => {
                let other: String = other.chars().take(20).collect();
                return Err(Failure::Invalid(format!(
                    "{other:?} is no method; GET, HEAD, POST, PUT, PATCH or DELETE"
                )));
            }
        };
        let most = Duration::from_millis(u64::from(request.timeout.unwrap_or(u32::MAX)));
        let ask = outgoing::Ask {
            method,
            url: &url,
            headers: headers(&request.headers)?,
            body: Bytes::from(request.body.clone().unwrap_or_default()),
            time: most.min(crate::config::limits::outgoing::TOTAL_TIME),
            answer_bytes: limits::HTTP_BODY_BYTES,
            longer: Longer::Refuse,
        };
        let answer = self.all.client.send(ask).await.map_err(|error| match error {
            outgoing::Error::Deadline => Failure::Timeout,
            outgoing::Error::Refused(refusal) => Failure::Denied(refusal.to_string()),
            other => Failure::Other((other.code().to_owned(), other.to_string())),
        })?;
        let body = String::from_utf8(answer.body.to_vec())
            .map_err(|_| Failure::Other(("not-utf8".into(), "the answer's body is not UTF-8".into())))?;
        let shown = answer.headers.iter().filter_map(|(name, value)| {
            Some(Field { name: name.as_str().to_owned(), value: value.to_str().ok()?.to_owned() })
        });
        Ok(Response { status: answer.status.as_u16(), headers: shown.collect(), body })
    }
}

/// Headers of a plugin's own; those that say where a message ends or goes are the client's.
fn headers(fields: &[Field]) -> Result<HeaderMap, Failure> {
    const OURS: [&str; 8] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "proxy-authorization",
    ];
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields.iter().take(crate::config::limits::outgoing::HEADERS) {
        let name = HeaderName::try_from(&field.name)
            .map_err(|_| Failure::Invalid(format!("{:?} is no name of a header", field.name)))?;
        if OURS.contains(&name.as_str()) {
            return Err(Failure::Invalid(format!("the header {name} is set by the service")));
        }
        let value = HeaderValue::try_from(&field.value)
            .map_err(|_| Failure::Invalid(format!("the value of {name} can't be sent")))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn shown(card: &Card) -> Contact {
    Contact {
        id: card.id.clone(),
        name: card.name.clone(),
        company: Some(card.company.clone()).filter(|company| !company.is_empty()),
        numbers: card.numbers.clone(),
        tags: card.tags.clone(),
        fields: card
            .fields
            .iter()
            .map(|(name, value)| Field { name: name.clone(), value: value.clone() })
            .collect(),
    }
}

/// The database did not answer; the cause is for the operator alone.
pub(super) fn away(error: &sqlx::Error) -> Failure {
    tracing::warn!(%error, "a plugin's question can't be answered");
    Failure::Other(("unavailable".into(), "the service can't look this up now".into()))
}
