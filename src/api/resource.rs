//! A collection as data: its table, its fields, who may do what. Everything that is the same for every collection
//! (SQL, checks, paging, schema, roles) is made from this.

use std::future::Future;
use std::pin::Pin;

use serde_json::{Map, Value};

use super::call::{Audited, Call};
use super::field::Field;
use super::problem::{Fault, Problem};
use crate::base::role::Roles;
use crate::db::Tx;

/// A future that a hook or handler returns.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A record as the API shows it.
pub type Record = Map<String, Value>;

/// One collection.
#[derive(Debug)]
pub struct Resource {
    /// Its name in operation ids, scopes of API keys and audit records: `contacts`.
    pub name: &'static str,
    /// One of it, for texts: `contact`.
    pub one: &'static str,
    /// Where it is mounted below `/api/v1`: `/contacts`, or `/queues/{queue_id}/members`.
    pub path: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Its id, where it is another than a row's.
    pub id: &'static Field,
    /// The table that writes go to.
    pub table: &'static str,
    /// What is read: the table, or an SQL query in parentheses that has its columns and more.
    pub source: &'static str,
    /// The index (tenant_id, the field of [`Resource::order`], id) of the table; empty: none, or not the table is read.
    pub index: &'static str,
    /// Fields besides `id`, `tenant_id`, `created_at`, `updated_at`, which every record has.
    pub fields: &'static [Field],
    /// Rows of other tables that are shown and written as lists inside the record.
    pub parts: &'static [Part],
    /// The record this one belongs to, for nested paths.
    pub parent: Option<Parent>,
    /// Whether deletion only marks the row (`deleted_at`).
    pub soft: bool,
    /// Whether rows carry `updated_at`.
    pub updated: bool,
    /// How lists are sorted unless told: a field, `-` in front for descending.
    pub order: &'static str,
    /// Who may do what.
    pub may: May,
    /// Roles that see only what is their own.
    pub own: Option<Own>,
    /// Fields that only the answer to a creation shows: secrets just made ([`Change::once`]).
    pub once: &'static [Field],
    /// Whether a change is seen by routing, which must then read the tenant anew.
    pub routing: bool,
    /// Whether a path may name one by its `number` below the parent instead of its id.
    pub numbered: bool,
    /// Whether reading one record is put on record too: it is somebody's voice.
    pub reads_audited: bool,
    /// What its changes tell whoever listens.
    pub tells: Tells,
    /// The domain's own checks and consequences.
    pub hooks: Hooks,
}

/// The events that changes of a collection tell. Unless told otherwise these are `<noun>.created`, `.updated` and
/// `.deleted`, with the record.
#[derive(Clone, Copy, Debug)]
pub struct Tells {
    /// The noun of its types; empty: what one of it is called.
    pub noun: &'static str,
    /// Whether its changes tell nothing.
    pub silent: bool,
    /// Whether there is only one of it in a tenant: it has no id.
    pub single: bool,
    /// Of which of the usual three there are some although there is no such operation: actions of its own make them.
    pub also: &'static [&'static str],
    /// The noun of the key, and the field that holds its id; an empty noun: the record's own.
    pub key: (&'static str, &'static str),
    /// Types of its own, with what they mean.
    pub kinds: &'static [(&'static str, &'static str)],
    /// Which of these a change tells; `None`: one of the usual three.
    pub which: Option<fn(&Audited) -> Option<&'static str>>,
}

impl Tells {
    /// The usual three.
    pub const USUAL: Self =
        Self { noun: "", silent: false, single: false, also: &[], key: ("", "id"), kinds: &[], which: None };
    /// Nothing.
    pub const NOTHING: Self = Self { silent: true, ..Self::USUAL };

    /// The usual three, under a noun, all made by actions of the collection's own.
    pub const fn by_actions(noun: &'static str) -> Self {
        Self { noun, also: &["created", "updated", "deleted"], ..Self::USUAL }
    }

    /// The usual three, under a noun.
    pub const fn as_noun(noun: &'static str) -> Self {
        Self { noun, ..Self::USUAL }
    }
}

/// Who may do which of the five operations. Nobody: there is no such operation.
#[derive(Clone, Copy, Debug)]
pub struct May {
    /// Lists, and one by id.
    pub read: Roles,
    /// Makes one.
    pub create: Roles,
    /// Changes one.
    pub update: Roles,
    /// Deletes one.
    pub remove: Roles,
}

impl May {
    /// All may read, `roles` may write.
    pub const fn write(roles: Roles) -> Self {
        Self { read: Roles::ALL, create: roles, update: roles, remove: roles }
    }

    /// Only read, by `roles`.
    pub const fn only_read(roles: Roles) -> Self {
        Self { read: roles, create: Roles::NOBODY, update: Roles::NOBODY, remove: Roles::NOBODY }
    }
}

/// Rows of which a role sees only its own.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// Who is limited so.
    pub roles: Roles,
    /// The columns that may hold the user's id; one of them must.
    pub columns: &'static [&'static str],
    /// Whether rows count in which the first of them is NULL: work that nobody has taken.
    pub or_nobody: bool,
}

/// The record that nested records belong to.
#[derive(Clone, Copy, Debug)]
pub struct Parent {
    /// The column that holds its id, and the name of the path's part.
    pub column: &'static str,
    /// Its collection.
    pub of: &'static Resource,
}

/// A list inside a record, kept in a table of its own. Written as a whole.
#[derive(Debug)]
pub struct Part {
    /// Its name in JSON.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Its table. It has `tenant_id`.
    pub table: &'static str,
    /// The column that holds the record's id.
    pub parent: &'static str,
    /// Columns with one value in all of these rows: name and value.
    pub fixed: &'static [(&'static str, &'static str)],
    /// The column that counts the items in their order; empty: none.
    pub position: &'static str,
    /// The items' fields.
    pub fields: &'static [Field],
    /// Whether items are the one field's values instead of objects.
    pub flat: bool,
    /// Whether the rows carry `created_at`.
    pub stamped: bool,
    /// Items at most.
    pub items: usize,
    /// Fields that no two items share, by name; empty: none.
    pub unique: &'static [&'static str],
}

/// What happens to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Remove,
}

/// A change while it happens.
#[derive(Debug)]
pub struct Change {
    /// What happens.
    pub verb: Verb,
    /// To which row.
    pub id: String,
    /// The record before, as the API shows it; empty for a new one.
    pub before: Record,
    /// The checked values of the body, as JSON; a hook may add to them, server-written fields included.
    pub given: Record,
    /// The record after, in [`Hooks::after`]; empty when deleted.
    pub after: Record,
    /// Shown in this answer only, and kept nowhere: a secret just made.
    pub once: Record,
    /// What is wrong with the values, found by a hook.
    pub faults: Vec<Fault>,
    /// Set by a hook: this one is seen by routing or by Asterisk, though not every change of its kind is.
    pub routing: bool,
    /// Set by a hook: what else has changed with it, on record and told before it.
    pub also: Vec<Audited>,
}

impl Change {
    /// One that nothing is known of yet but these.
    pub fn new(verb: Verb, id: String, before: Record, given: Record) -> Self {
        let (after, once, faults) = (Record::new(), Record::new(), Vec::new());
        Self { verb, id, before, given, after, once, faults, routing: false, also: Vec::new() }
    }

    /// The value a field will have: as given, else as it was.
    pub fn value(&self, name: &str) -> &Value {
        self.given.get(name).or_else(|| self.before.get(name)).unwrap_or(&Value::Null)
    }

    /// The text a field will have; empty when it has none.
    pub fn text(&self, name: &str) -> &str {
        self.value(name).as_str().unwrap_or_default()
    }

    /// Says what is wrong with a field.
    pub fn fault(&mut self, field: &str, detail: impl Into<String>) {
        self.faults.push(Fault::at(field, detail));
    }
}

/// A step of a domain's own inside the transaction of a change.
pub type Hook = for<'a> fn(&'a Call, &'a mut Tx, &'a mut Change) -> Doing<'a, Result<(), Problem>>;

/// The domain's steps.
#[derive(Clone, Copy, Debug)]
pub struct Hooks {
    /// Before the row is written or deleted.
    pub before: Option<Hook>,
    /// After it.
    pub after: Option<Hook>,
}

impl Hooks {
    /// No steps.
    pub const NONE: Self = Self { before: None, after: None };

    /// A step before only.
    pub const fn before(hook: Hook) -> Self {
        Self { before: Some(hook), after: None }
    }
}

impl Resource {
    /// A collection that all may read and admins write, with nothing special: the others are told by what differs.
    pub const PLAIN: Self = Self {
        name: "",
        one: "",
        path: "",
        doc: "",
        id: &ID,
        table: "",
        source: "",
        index: "",
        fields: &[],
        parts: &[],
        parent: None,
        soft: false,
        updated: true,
        order: "-created_at",
        may: May::write(Roles::ADMINS),
        own: None,
        once: &[],
        routing: false,
        numbered: false,
        reads_audited: false,
        tells: Tells::USUAL,
        hooks: Hooks::NONE,
    };

    /// A field by its name in JSON, `id`, `tenant_id`, `created_at` and `updated_at` included.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.all_fields().find(|f| f.name == name)
    }

    /// Every field in the order of the columns that are read.
    pub fn all_fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        let last: &'static [Field] = if self.updated { &STAMPS } else { &STAMPS[..1] };
        [self.id, &TENANT].into_iter().chain(self.fields).chain(last)
    }

    /// What is read.
    pub fn from(&self) -> &'static str {
        if self.source.is_empty() { self.table } else { self.source }
    }
}

static ID: Field = Field::id("id", "Its id.").server();
static TENANT: Field = Field::rule("tenant_id", &super::rules::TENANT, "Whose it is.").server();
static STAMPS: [Field; 2] = [
    Field::time("created_at", "When it was made.").server().sort().filter(),
    Field::time("updated_at", "When it was changed last.").server().sort().filter(),
];
