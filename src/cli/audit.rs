//! `hookswitch audit verify`: whether the audit's chains are whole.

use clap::Subcommand;

use super::connect_current;
use crate::app::Error;
use crate::audit::store::{Verdict, chains, verify};
use crate::base::ids::TenantId;
use crate::config::Config;

/// What can be done with the audit.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Walk along every chain; exit 1 when one is broken.
    Verify {
        /// Only this tenant's chain.
        #[arg(long, value_name = "ID")]
        tenant: Option<TenantId>,
    },
}

pub(super) async fn run(config: &Config, audit: Audit) -> Result<(), Error> {
    let Audit::Verify { tenant } = audit;
    let db = connect_current(config).await?;
    let all = match tenant {
        Some(tenant) => vec![tenant.to_string()],
        None => chains(&db).await?,
    };
    let mut broken = 0;
    for chain in &all {
        let name = if chain.is_empty() { "(platform)" } else { chain };
        match verify(&db, chain).await? {
            Verdict::Whole(lines) => println!("{name}: whole, {lines} line(s)"),
            Verdict::Broken(line) => {
                broken += 1;
                println!("{name}: BROKEN at line {line}");
            }
        }
    }
    db.close().await;
    match broken {
        0 => Ok(()),
        n => Err(Error::Said(format!("{n} of {} audit chain(s) are not as they were written", all.len()))),
    }
}
