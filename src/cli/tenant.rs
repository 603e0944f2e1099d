//! `hookswitch tenant purge`: destroys the data of a deleted tenant, with proof in the platform's audit.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::connect_current;
use crate::app::{Error, keep};
use crate::audit;
use crate::base::clock::Clock;
use crate::base::ids::{IdSource, TenantId};
use crate::config::Config;
use crate::tenants::whole;

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Destroy every row of a tenant that was deleted before, but its audit. This can't be undone.
    Purge {
        /// The tenant.
        id: TenantId,
        /// Its id once more.
        #[arg(long, value_name = "ID")]
        confirm: TenantId,
    },
}

pub(super) async fn run(config: &Config, tenant: Tenant) -> Result<(), Error> {
    let Tenant::Purge { id, confirm } = tenant;
    if id != confirm {
        return Err(Error::Said(format!("--confirm {confirm} is not {id}; nothing was changed")));
    }
    let db = connect_current(config).await?;
    let clock = Clock::system();
    let (ids, now_us) = (IdSource::new(clock.clone()), clock.now_us());
    let tables = whole::purged_tables(&db).await?;
    let mut tx = db.begin().await?;
    let rows = whole::purge(&mut tx, &tables, &id).await.map_err(|problem| Error::Said(problem.detail))?;
    let total: i64 = rows.values().filter_map(Value::as_i64).sum();
    let after = Map::from_iter([("total".to_owned(), json!(total)), ("rows".to_owned(), json!(rows))]);
    let before = Map::new();
    let line = keep::system("", now_us, "tenants.purge", (id.as_str(), &before, &after));
    audit::store::append(&mut tx, &ids, &line).await?;
    tx.commit().await?;
    db.close().await;
    for (table, count) in rows.iter().filter(|(_, count)| **count != json!(0)) {
        println!("{table:<24} {count:>10}");
    }
    println!("{id}: {total} row(s) destroyed");
    Ok(())
}
