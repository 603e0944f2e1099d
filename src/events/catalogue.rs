//! Every type of events with its meaning, its data and who may see it: what the document shows, what filters are made
//! from, and what decides whether somebody sees an event.

use std::borrow::Cow;
use std::collections::HashMap;

use super::Event;
use crate::api::openapi::{Data, Told};
use crate::api::{Access, Own, Scopes};
use crate::base::role::{Role, Roles};

/// One type of events.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its name: `call.ended`.
    pub name: Cow<'static, str>,
    /// What happened.
    pub doc: Cow<'static, str>,
    /// The form of its key: `call:<id>`.
    pub key: Cow<'static, str>,
    /// What comes with it.
    pub data: Data,
    /// Who sees it.
    pub readers: Roles,
    /// Roles that see it only when it is their own.
    pub own: Option<Own>,
    /// The chapter of the API whose scope an API key needs.
    pub chapter: String,
}

impl Kind {
    /// As the document shows it.
    pub fn told(&self) -> Told<'_> {
        Told {
            name: &self.name,
            doc: &self.doc,
            key: &self.key,
            data: self.data,
            readers: self.readers.names(),
        }
    }
}

/// Whoever wants to see events: a person or a key, in one role.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'v> {
    /// The role.
    pub role: Role,
    /// The id of the user or key.
    pub id: &'v str,
    /// What a key is limited to.
    pub scopes: Option<&'v Scopes>,
}

/// All types.
#[derive(Debug, Default)]
pub struct Catalogue {
    kinds: Vec<Kind>,
    by_name: HashMap<String, usize>,
}

impl Catalogue {
    /// Of these types, in the order in which they are shown. Of two with one name the first counts.
    pub fn new(all: impl IntoIterator<Item = Kind>) -> Self {
        let mut catalogue = Self::default();
        for kind in all {
            if !catalogue.by_name.contains_key(&*kind.name) {
                catalogue.by_name.insert(kind.name.to_string(), catalogue.kinds.len());
                catalogue.kinds.push(kind);
            }
        }
        catalogue
    }

    /// Each of them.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// One by its name.
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.by_name.get(name).and_then(|n| self.kinds.get(*n))
    }

    /// Whether somebody sees an event: who would be shown the record over REST. A type that this version does not know
    /// is for those who run the tenant.
    pub fn sees(&self, viewer: &Viewer<'_>, event: &Event) -> bool {
        let Some(kind) = self.kind(&event.kind) else {
            return Roles::ADMINS.has(viewer.role) && viewer.scopes.is_none();
        };
        if !kind.readers.has(viewer.role) {
            return false;
        }
        if viewer.scopes.is_some_and(|scopes| !scopes.allow(&kind.chapter, Access::Read)) {
            return false;
        }
        match (kind.own, &event.owners) {
            (Some(own), owners) if own.roles.has(viewer.role) => {
                let owners = owners.as_deref().unwrap_or_default();
                owners.iter().any(|owner| owner == viewer.id) || own.or_nobody && owners.is_empty()
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::TenantId;

    fn event(kind: &str, owners: Option<&[&str]>) -> Event {
        Event {
            tenant: TenantId::parse("acme").unwrap(),
            position: 1,
            id: "evt_1".into(),
            kind: kind.into(),
            key: "x:1".into(),
            sequence: 1,
            at_us: 0,
            owners: owners.map(|all| all.iter().map(|one| (*one).to_owned()).collect()),
            data: serde_json::value::RawValue::from_string("{}".into()).unwrap(),
        }
    }

    #[test]
    fn an_event_is_seen_by_who_would_see_the_record() {
        let own = Own { roles: Roles::ONLY_AGENTS, columns: &["assigned_to"], or_nobody: true };
        let kind = |name: &'static str, readers, own| Kind {
            name: name.into(),
            doc: "".into(),
            key: "".into(),
            data: Data::Fields("X", &[]),
            readers,
            own,
            chapter: "tickets".into(),
        };
        let all = Catalogue::new([
            kind("ticket.updated", Roles::ALL, Some(own)),
            kind("user.updated", Roles::ADMINS, None),
        ]);
        let see = |role, id, event: &Event| all.sees(&Viewer { role, id, scopes: None }, event);
        for (owners, role, id, yes) in [
            (&["ann"][..], Role::Agent, "ann", true),
            (&["ann"], Role::Agent, "bob", false),
            (&["ann"], Role::Supervisor, "bob", true),
            (&["ann"], Role::Viewer, "bob", true),
            (&[], Role::Agent, "bob", true),
        ] {
            assert_eq!(see(role, id, &event("ticket.updated", Some(owners))), yes, "{owners:?} {role} {id}");
        }
        assert!(!see(Role::Supervisor, "x", &event("user.updated", None)));
        assert!(see(Role::TenantAdmin, "x", &event("user.updated", None)));
        assert!(!see(Role::Viewer, "x", &event("of.tomorrow", None)));
        assert!(see(Role::TenantAdmin, "x", &event("of.tomorrow", None)));
        let scopes = Scopes::parse(&["contacts:read"]).unwrap();
        let key = Viewer { role: Role::TenantAdmin, id: "k", scopes: Some(&scopes) };
        assert!(!all.sees(&key, &event("ticket.updated", None)));
        let scopes = Scopes::parse(&["tickets:read"]).unwrap();
        let key = Viewer { role: Role::TenantAdmin, id: "k", scopes: Some(&scopes) };
        assert!(all.sees(&key, &event("ticket.updated", None)));
    }
}
