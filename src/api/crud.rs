//! The five operations that every collection has, made from its description.

use serde_json::json;

use super::call::{Action, Actor, Audited, Call, Handler, Input, Operation, Output, Reply, Who, etag};
use super::list;
use super::problem::{Fault, Problem};
use super::resource::{Change, Doing, Record, Resource, Verb};
use super::store::{self, Scope};
use crate::base::role::Roles;
use crate::db::Tx;

/// The operations of a collection that somebody may call.
pub fn actions(resource: &'static Resource) -> Vec<Action> {
    let (one, all) = (resource.path.to_owned() + "/{id}", resource.path.to_owned());
    let (new, patch) =
        (Input::New(resource.fields, resource.parts), Input::Patch(resource.fields, resource.parts));
    let (may, name) = (resource.may, resource.one);
    let action = |verb: &str, method, path: &str, who, summary: String, (input, output), handler| {
        let is_list = verb == "list";
        let operation = Operation {
            id: format!("{}.{verb}", resource.name).into(),
            method,
            tag: chapter(path),
            path: path.to_owned().into(),
            summary: summary.into(),
            doc: if is_list { resource.doc.into() } else { "".into() },
            who: Who::Roles(who),
            query: if is_list { list::parameters(resource) } else { Vec::new() },
            input,
            output,
            own: resource.own,
            once: if verb == "create" { resource.once } else { &[] },
            problems: &[],
            again: "",
            deadline: Operation::DEADLINE,
        };
        Action { operation, handler }
    };
    let record = |status| Output::Record(resource, status);
    let page = (Input::None, Output::Page(resource));
    let all = [
        action("list", "GET", &all, may.read, format!("List {}", plural(resource)), page, listing(resource)),
        action(
            "create",
            "POST",
            &all,
            may.create,
            format!("Make a {name}"),
            (new, record(201)),
            creating(resource),
        ),
        action(
            "get",
            "GET",
            &one,
            may.read,
            format!("Read a {name}"),
            (Input::None, record(200)),
            getting(resource),
        ),
        action(
            "update",
            "PATCH",
            &one,
            may.update,
            format!("Change a {name}"),
            (patch, record(200)),
            updating(resource),
        ),
        action(
            "delete",
            "DELETE",
            &one,
            may.remove,
            format!("Delete a {name}"),
            (Input::None, Output::Empty),
            removing(resource),
        ),
    ];
    all.into_iter().filter(|action| action.operation.who != Who::Roles(Roles::NOBODY)).collect()
}

fn listing(resource: &'static Resource) -> Handler {
    Handler::read(move |call| Box::pin(list::run(call, resource)))
}

fn getting(resource: &'static Resource) -> Handler {
    Handler::read(move |call| Box::pin(get(call, resource)))
}

fn creating(resource: &'static Resource) -> Handler {
    Handler::write(move |call, tx| create(call, tx, resource))
}

fn updating(resource: &'static Resource) -> Handler {
    Handler::write(move |call, tx| update(call, tx, resource))
}

fn removing(resource: &'static Resource) -> Handler {
    Handler::write(move |call, tx| remove(call, tx, resource))
}

/// The chapter of a path: its first part, which is also what scopes of API keys name.
pub fn chapter(path: &str) -> String {
    path.split('/').find(|part| !part.is_empty()).unwrap_or_default().to_owned()
}

/// The path's variable part that names one record.
pub const ID: &str = "id";

fn plural(resource: &Resource) -> String {
    resource.name.replace(['-', '.'], " ")
}

/// The rows of a collection that a request can see. A parent that it can't see is not there.
///
/// # Errors
/// 404 when the path's parent is nobody's or somebody else's; 403 without a tenant.
pub async fn scope<'a>(call: &'a Call, resource: &'static Resource) -> Result<Scope<'a>, Problem> {
    let mut scope = own_scope(call, resource)?;
    if let Some(parent) = resource.parent {
        let id = call.part(parent.column);
        let above = own_scope(call, parent.of)?;
        if store::get(&call.db, parent.of, &above, id).await?.is_none() {
            return Err(Problem::not_found(parent.of.one));
        }
        scope = scope.below(parent.column, id);
    }
    Ok(scope)
}

/// As [`scope`], without looking at the parent.
fn own_scope<'a>(call: &'a Call, resource: &Resource) -> Result<Scope<'a>, Problem> {
    let caller = call.caller()?;
    let scope = Scope::tenant(call.tenant()?);
    Ok(match (resource.own, &caller.actor) {
        (Some(own), Actor::User(user) | Actor::Key(user)) if own.roles.has(caller.role) => {
            scope.own(own, user.as_str())
        }
        _ => scope,
    })
}

async fn get(call: &Call, resource: &'static Resource) -> Result<Reply, Problem> {
    let scope = scope(call, resource).await?;
    let found = find(call, resource, &scope).await?;
    let reply = found.map(Reply::record).ok_or_else(|| Problem::not_found(resource.one))?;
    if !resource.reads_audited {
        return Ok(reply);
    }
    Ok(reply.audited(Audited {
        action: format!("{}.read", resource.name).into(),
        object_type: resource.name.into(),
        object_id: call.part(ID).to_owned(),
        before: Record::new(),
        after: Record::new(),
    }))
}

/// The record of the path, when the scope has it.
///
/// # Errors
/// When the database is away.
pub async fn find(
    call: &Call,
    resource: &'static Resource,
    scope: &Scope<'_>,
) -> Result<Option<Record>, Problem> {
    let part = call.part(ID);
    match part.parse::<u32>() {
        Ok(number) if resource.numbered => Ok(store::by_number(&call.db, resource, scope, number).await?),
        _ => Ok(store::get(&call.db, resource, scope, part).await?),
    }
}

/// The record of the path as it is now, locked, when `If-Match` holds.
///
/// # Errors
/// 404 when the scope does not have it, 412 when it has changed.
pub async fn current(
    call: &Call,
    tx: &mut Tx,
    resource: &'static Resource,
    scope: &Scope<'_>,
) -> Result<Record, Problem> {
    let found = store::get_locked(tx, resource, scope, call.part(ID)).await?;
    let Some(found) = found else { return Err(Problem::not_found(resource.one)) };
    if let Some(wanted) = &call.if_match {
        let tag = etag(&found);
        if wanted.trim() != "*" && !wanted.split(',').any(|one| one.trim() == tag) {
            return Err(Problem::new(412, "stale", "It has changed since; read it again and change that."));
        }
    }
    Ok(found)
}

fn create<'a>(
    call: &'a Call,
    tx: &'a mut Tx,
    resource: &'static Resource,
) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let scope = scope(call, resource).await?;
        let id = call.ids.next().to_string();
        let mut change = Change::new(Verb::Create, id, Record::new(), call.body.clone());
        apply(call, tx, resource, &scope, &mut change).await?;
        let place = call.path.iter().fold(resource.path.to_owned(), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), value)
        });
        let location = format!("/api/v1{place}/{}", change.id);
        Ok(reply(Reply::created(change.after.clone(), location), resource, change))
    })
}

fn update<'a>(
    call: &'a Call,
    tx: &'a mut Tx,
    resource: &'static Resource,
) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let scope = scope(call, resource).await?;
        let before = current(call, tx, resource, &scope).await?;
        let mut change = Change::new(Verb::Update, call.part(ID).to_owned(), before, call.body.clone());
        apply(call, tx, resource, &scope, &mut change).await?;
        Ok(reply(Reply::record(change.after.clone()), resource, change))
    })
}

fn remove<'a>(
    call: &'a Call,
    tx: &'a mut Tx,
    resource: &'static Resource,
) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let scope = scope(call, resource).await?;
        let before = current(call, tx, resource, &scope).await?;
        let mut change = Change::new(Verb::Remove, call.part(ID).to_owned(), before, Record::new());
        apply(call, tx, resource, &scope, &mut change).await?;
        Ok(reply(Reply::empty(), resource, change))
    })
}

/// Makes a change: the domain's checks, references, the row, the domain's consequences.
///
/// # Errors
/// What the checks say; 409 when a unique value is taken.
pub async fn apply(
    call: &Call,
    tx: &mut Tx,
    resource: &'static Resource,
    scope: &Scope<'_>,
    change: &mut Change,
) -> Result<(), Problem> {
    if let Some(hook) = resource.hooks.before {
        hook(call, tx, change).await?;
    }
    change.faults.extend(store::dangling(tx, resource, call.tenant()?, &change.given).await?);
    if !change.faults.is_empty() {
        return Err(Problem::invalid(std::mem::take(&mut change.faults)));
    }
    let now_us = call.now_us();
    match change.verb {
        Verb::Create => store::insert(tx, resource, scope, &change.id, &change.given, now_us)
            .await
            .map_err(|e| taken(e, resource))?,
        Verb::Update => {
            store::update(tx, resource, scope, &change.id, &change.given, now_us)
                .await
                .map_err(|e| taken(e, resource))?;
        }
        Verb::Remove => {
            store::remove(tx, resource, scope, &change.id, now_us).await?;
        }
    }
    if change.verb != Verb::Remove {
        let after = store::get_locked(tx, resource, scope, &change.id).await?;
        // Who may write it may lose sight of it by that: an agent who hands a ticket on.
        change.after = match after {
            Some(after) => after,
            None => store::get_locked(tx, resource, &Scope::tenant(call.tenant()?), &change.id)
                .await?
                .ok_or_else(|| Problem::not_found(resource.one))?,
        };
    }
    if let Some(hook) = resource.hooks.after {
        hook(call, tx, change).await?;
    }
    Ok(())
}

/// Changes the record of the path as an action of its own does: the new values are made of the record as it is.
///
/// # Errors
/// 404 when the request does not see it, 412 when it has changed; what `make` says.
pub async fn act(
    call: &Call,
    tx: &mut Tx,
    resource: &'static Resource,
    word: &str,
    make: impl FnOnce(&Record) -> Result<Record, Problem> + Send,
) -> Result<Reply, Problem> {
    let scope = scope(call, resource).await?;
    let before = current(call, tx, resource, &scope).await?;
    let (given, id) = (make(&before)?, call.part(ID).to_owned());
    none(store::dangling(tx, resource, call.tenant()?, &given).await?)?;
    store::update(tx, resource, &scope, &id, &given, call.now_us()).await.map_err(|e| taken(e, resource))?;
    // Whoever acts on it may lose sight of it by that.
    let after = store::get_locked(tx, resource, &Scope::tenant(call.tenant()?), &id).await?;
    let after = after.ok_or_else(|| Problem::not_found(resource.one))?;
    Ok(Reply::record(after.clone()).audited(line(resource, word, id, before, after)))
}

/// A line for the audit.
pub fn line(resource: &Resource, word: &str, id: String, before: Record, after: Record) -> Audited {
    Audited {
        action: format!("{}.{word}", resource.name).into(),
        object_type: resource.name.into(),
        object_id: id,
        before,
        after,
    }
}

fn taken(error: sqlx::Error, resource: &Resource) -> Problem {
    if crate::db::is_unique_violation(&error) {
        return Problem::conflict("taken", format!("There is a {} with these values already.", resource.one));
    }
    error.into()
}

/// The answer to a change, with its line for the audit.
fn reply(mut reply: Reply, resource: &'static Resource, mut change: Change) -> Reply {
    let word = match change.verb {
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Remove => "delete",
    };
    reply.once = change.once;
    let mut after = change.after;
    for field in resource.fields.iter().filter(|f| f.secret && change.given.contains_key(f.name)) {
        after.insert(field.name.to_owned(), json!("[secret]"));
    }
    reply.routing |= resource.routing || change.routing;
    reply.audit.append(&mut change.also);
    reply.audited(line(resource, word, change.id, change.before, after))
}

/// Says that a list of faults is one problem, or that there is none.
///
/// # Errors
/// 422 with all of them.
pub fn none(faults: Vec<Fault>) -> Result<(), Problem> {
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
}
