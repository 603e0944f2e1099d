//! What changes over the API tell. Each change is put on record as a line of the audit; the same line, with what its
//! collection says in [`crate::api::Tells`], makes the event.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Catalogue, Data, Draft, Kind, News, outbox};
use crate::api::store::{self, Scope};
use crate::api::{Audited, Own, Record, Resource};
use crate::base::ids::{IdSource, TenantId};
use crate::db::Tx;

/// What is needed to tell: the collections, the types, who is woken.
#[derive(Debug)]
pub struct Events {
    /// Every type.
    pub catalogue: Catalogue,
    /// Who waits.
    pub news: News,
    /// Collections by the name that audit lines carry.
    resources: HashMap<&'static str, &'static Resource>,
}

impl Events {
    /// Of the changes of these collections, and of further types.
    pub fn new(
        resources: impl IntoIterator<Item = &'static Resource>,
        more: impl IntoIterator<Item = Kind>,
        news: News,
    ) -> Arc<Self> {
        let resources: Vec<&'static Resource> = resources.into_iter().collect();
        let changes = resources.iter().flat_map(|resource| kinds(resource));
        Arc::new(Self {
            catalogue: Catalogue::new(more.into_iter().chain(changes)),
            news,
            resources: resources.iter().map(|resource| (resource.name, *resource)).collect(),
        })
    }

    /// Writes the events of some changes of a tenant's, and returns the position of the last; `None`: they tell nothing.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn write(
        &self,
        tx: &mut Tx,
        ids: &IdSource,
        (tenant, now_us): (&TenantId, i64),
        changes: &[Audited],
    ) -> sqlx::Result<Option<i64>> {
        self.write_after(tx, ids, (tenant, now_us), Vec::new(), changes).await
    }

    /// As [`Events::write`], with further events before those of the changes.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn write_after(
        &self,
        tx: &mut Tx,
        ids: &IdSource,
        (tenant, now_us): (&TenantId, i64),
        mut drafts: Vec<Draft>,
        changes: &[Audited],
    ) -> sqlx::Result<Option<i64>> {
        for line in changes {
            drafts.extend(self.draft(tx, tenant, now_us, line).await?);
        }
        if drafts.is_empty() {
            return Ok(None);
        }
        outbox::append(tx, ids, (tenant, now_us), &drafts).await.map(Some)
    }

    async fn draft(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        at_us: i64,
        line: &Audited,
    ) -> sqlx::Result<Option<Draft>> {
        let Some(resource) = self.resources.get(&*line.object_type) else { return Ok(None) };
        let Some(kind) = kind_of(resource, line) else { return Ok(None) };
        debug_assert!(self.catalogue.kind(&kind).is_some(), "{kind} is told and in no catalogue");
        let data = if line.after.is_empty() { &line.before } else { &line.after };
        let (noun, field) = resource.tells.key;
        let key = match noun {
            "" if resource.tells.single => noun_of(resource),
            "" => format!("{}:{}", noun_of(resource), line.object_id),
            _ => format!("{noun}:{}", data.get(field).and_then(Value::as_str).unwrap_or(&line.object_id)),
        };
        let owners = match (resource.own, resource.parent) {
            (Some(own), _) => Some(owners(resource, own, data)),
            (None, Some(parent)) => match parent.of.own {
                Some(own) => {
                    let id = data.get(parent.column).and_then(Value::as_str).unwrap_or_default();
                    let above = store::get_locked(tx, parent.of, &Scope::tenant(tenant), id).await?;
                    Some(owners(parent.of, own, &above.unwrap_or_default()))
                }
                None => None,
            },
            _ => None,
        };
        let shown = resource.fields.iter().filter(|f| f.secret).fold(data.clone(), |mut shown, field| {
            shown.remove(field.name);
            shown
        });
        Ok(Some(Draft { kind, key, at_us, owners, data: shown }))
    }
}

/// Whose own a record is.
fn owners(resource: &Resource, own: Own, record: &Record) -> Vec<String> {
    let fields = own.columns.iter().filter_map(|column| resource.fields.iter().find(|f| f.column == *column));
    fields.filter_map(|field| record.get(field.name)?.as_str().map(str::to_owned)).collect()
}

/// The noun of a collection's types: its own, or what one of it is called.
fn noun_of(resource: &Resource) -> String {
    match resource.tells.noun {
        "" => resource.one.to_ascii_lowercase().replace(' ', "_"),
        noun => noun.to_owned(),
    }
}

/// The type of event that a change tells; `None`: none. A line that is not about one record (an export, a look) tells
/// nothing.
fn kind_of(resource: &Resource, line: &Audited) -> Option<String> {
    let (is_new, is_gone) = (line.before.is_empty(), line.after.is_empty());
    let data = if is_gone { &line.before } else { &line.after };
    let is_record = data.get("id").and_then(Value::as_str) == Some(line.object_id.as_str());
    if !(is_record || resource.tells.single) || resource.tells.silent {
        return None;
    }
    let own = resource.tells.which.and_then(|which| which(line));
    Some(own.map_or_else(
        || {
            let verb = match (is_new, is_gone) {
                (true, _) => "created",
                (_, true) => "deleted",
                _ => "updated",
            };
            format!("{}.{verb}", noun_of(resource))
        },
        str::to_owned,
    ))
}

/// The types that changes of a collection tell.
fn kinds(resource: &'static Resource) -> Vec<Kind> {
    if resource.tells.silent {
        return Vec::new();
    }
    let (noun, may) = (noun_of(resource), resource.may);
    let key = match resource.tells.key {
        ("", _) if resource.tells.single => noun.clone(),
        ("", _) => format!("{noun}:<id>"),
        (noun, field) => format!("{noun}:<{field}>"),
    };
    let kind = |name: String, doc: String| Kind {
        name: name.into(),
        doc: doc.into(),
        key: key.clone().into(),
        data: match resource.tells.single {
            true => Data::Fields("RoutingDefaults", resource.fields),
            false => Data::Record(resource),
        },
        readers: may.read,
        own: resource.own.or(resource.parent.and_then(|parent| parent.of.own)),
        chapter: crate::api::crud::chapter(resource.path),
    };
    let own = resource.tells.kinds.iter().map(|(name, doc)| kind((*name).to_owned(), (*doc).to_owned()));
    let usual = [
        (may.create, "created", "made"),
        (may.update, "updated", "changed"),
        (may.remove, "deleted", "deleted"),
    ]
    .into_iter()
    .filter(|(roles, verb, _)| !roles.is_empty() || resource.tells.also.contains(verb))
    .map(|(_, verb, done)| {
        kind(
            format!("{noun}.{verb}"),
            match resource.tells.single {
                true => format!("The {} were {done}.", resource.one),
                false => format!("A {} was {done}.", resource.one),
            },
        )
    });
    own.chain(usual).collect()
}
