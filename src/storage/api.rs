//! The operation that gives a signed URL for one record's sound.

use std::sync::Arc;

use serde_json::json;

use super::Stored;
use super::sign::{Grant, Signer};
use crate::api::{
    Action, Call, Doing, Field, Handler, Operation, Output, Parameter, Problem, Record, Reply, Resource,
    check, crud,
};
use crate::base::ids::{Id, TenantId};
use crate::config::limits::sound as limits;
use crate::db::Db;

/// Finds a record's sound; `None`: there is no such record.
pub type Lookup = for<'a> fn(&'a Db, &'a TenantId, &'a Id) -> Doing<'a, sqlx::Result<Option<Stored>>>;

static URL: [Field; 2] = [
    Field::text("url", 1, 2_000, "Where the sound can be had without a token, in whole or in ranges; a path when the operator named no public URL.")
        .example("\"/media/acme/recordings/01arz3ndektsv4rrffq69g5fav?expires=1795347424&signature=x\""),
    Field::time("expires_at", "Until when."),
];

/// `GET <collection>/{id}/url`, for those who may read the record.
pub fn action(resource: &'static Resource, signer: &Arc<Signer>, lookup: Lookup) -> Action {
    let operation = Operation {
        id: format!("{}.url", resource.name).into(),
        method: "GET",
        path: format!("{}/{{id}}/url", resource.path).into(),
        tag: crud::chapter(resource.path),
        summary: format!("Get a URL for the sound of a {}", resource.one).into(),
        doc: "The URL holds for 15 minutes, for everybody who has it. What it leads to must still be there then.".into(),
        query: vec![Parameter {
            field: Field::flag("download", "Whether a browser saves the file instead of playing it."),
            required: false,
        }],
        output: Output::Object("SoundUrl", &URL, 200),
        own: resource.own,
        problems: &[(409, "no-sound", "The sound is not in the store: not yet, or no more.")],
        ..Operation::new("", "GET", "", "", resource.may.read)
    };
    let signer = Arc::clone(signer);
    let handler = Handler::read(move |call| {
        let signer = Arc::clone(&signer);
        Box::pin(async move { url(call, resource, &signer, lookup).await })
    });
    Action { operation, handler }
}

async fn url(
    call: &Call,
    resource: &'static Resource,
    signer: &Signer,
    lookup: Lookup,
) -> Result<Reply, Problem> {
    let scope = crud::scope(call, resource).await?;
    let missing = || Problem::not_found(resource.one);
    let found = crud::find(call, resource, &scope).await?.ok_or_else(missing)?;
    let id =
        found.get("id").and_then(|id| id.as_str()).and_then(|id| Id::parse(id).ok()).ok_or_else(missing)?;
    let tenant = call.tenant()?;
    let stored = lookup(&call.db, tenant, &id).await?.ok_or_else(missing)?;
    if stored.key.is_empty() {
        return Err(Problem::conflict("no-sound", "The sound is not in the store: not yet, or no more."));
    }
    let expires_s = call.now_us() / 1_000_000 + limits::URL_S;
    let kind = resource.name.to_owned();
    let download = call.parameter("download") == Some("true");
    let grant = Grant { tenant: tenant.clone(), kind, id: id.clone(), expires_s, download };
    let shown = json!({"url": signer.url(&grant), "expires_at": check::show_time(expires_s * 1_000_000)});
    // Whoever has the URL hears it: that is put on record, as a look at the record is.
    Ok(Reply::json(shown).audited(crud::line(
        resource,
        "listen",
        id.to_string(),
        Record::new(),
        Record::new(),
    )))
}
