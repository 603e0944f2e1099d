//! `hookswitch seed demo`: the demo tenants, loaded once; a second run changes nothing but the webhook's address.

use clap::Subcommand;

use super::connect;
use super::demo::{self, Options};
use crate::app::Error;
use crate::base::clock::Clock;
use crate::base::secret::Secret;
use crate::config::Config;

/// What can be loaded.
#[derive(Debug, Subcommand)]
pub(super) enum Seed {
    /// The demo tenants acme and globex.
    Demo {
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
        /// Where acme's route webhook is asked.
        #[arg(long, value_name = "URL", default_value = demo::WEBHOOK_URL)]
        webhook_url: String,
        /// Folder of built plugins.
        #[arg(long, value_name = "DIR", default_value = "plugins/dist")]
        plugins: std::path::PathBuf,
    },
}

pub(super) async fn run(config: &Config, seed: Seed) -> Result<(), Error> {
    let Seed::Demo { json, webhook_url, plugins } = seed;
    if !config.http_listen.ip().is_loopback() {
        return Err(Error::Said(format!(
            "the demo's passwords are public: refused while http.listen is {}, which is not loopback",
            config.http_listen
        )));
    }
    let db = connect(config).await?;
    db.migrate().await?;
    let result = demo::load(&db, &Clock::system(), &Options { webhook_url, plugins }).await?;
    db.close().await;
    if json {
        println!("{}", serde_json::to_string_pretty(&result).map_err(|e| Error::Said(e.to_string()))?);
        return Ok(());
    }
    for tenant in &result.tenants {
        println!("tenant {}: {}", tenant.id, if tenant.created { "created" } else { "was there already" });
    }
    for note in &result.notes {
        println!("note: {note}");
    }
    println!("\n{:<14} {:<8} does", "number", "tenant");
    for number in &result.numbers {
        println!("{:<14} {:<8} {}", number.number, number.tenant, number.does);
    }
    println!("\n{:<22} {:<18} {:<8} role", "login", "password", "tenant");
    for login in &result.logins {
        let tenant = login.tenant.unwrap_or("-");
        println!("{:<22} {:<18} {tenant:<8} {}", login.email, login.password, login.role);
    }
    println!("\n{:<22} {:<32} tenant", "phone", "SIP password");
    for phone in &result.phones {
        let password = phone.password.as_ref().map_or("(told when it was made)", Secret::expose);
        println!("{:<22} {password:<32} {}", phone.username, phone.tenant);
    }
    Ok(())
}
