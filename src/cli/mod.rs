//! The command line: one file per subcommand. The only place that prints.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's result goes to standard output")]

mod audit;
mod demo;
mod demo_people;
mod demo_phones;
mod demo_plugins;
mod plugin;
mod replay;
mod seed;
mod show;
mod simulate;
mod tenant;
mod user;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::{App, Error};
use crate::base::clock::Clock;
use crate::base::{priority, telemetry};
use crate::config::{Config, ConfigError};
use crate::db::Db;

/// Decides what happens to every call, beside Asterisk.
#[derive(Debug, Parser)]
#[command(name = "hookswitch", version)]
struct Arguments {
    /// Settings file; without it only defaults and the environment count.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve FastAGI and HTTP until SIGTERM or SIGINT, then drain.
    Serve,
    /// Create or upgrade the schema of the configured database.
    Migrate,
    /// Check file and environment; print every problem; exit 78 on any.
    CheckConfig {
        /// Print every setting with its default and meaning.
        #[arg(long)]
        defaults: bool,
    },
    /// Print the OpenAPI 3.1 document, the same as GET /api/openapi.json.
    Openapi,
    /// Load data.
    #[command(subcommand)]
    Seed(seed::Seed),
    /// Make users.
    #[command(subcommand)]
    User(user::User),
    /// Destroy tenants.
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Check the audit.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Decide a call that does not exist, with the real code, and print every step.
    Simulate(simulate::Arguments),
    /// Decide a recorded call again and say whether the outcome differs.
    Replay(replay::Arguments),
    /// Write plugins.
    #[command(subcommand)]
    Plugin(plugin::Plugin),
}

/// Exit status for wrong settings (sysexits' EX_CONFIG).
const EX_CONFIG: u8 = 78;

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        // Whoever writes a plugin needs no settings of a service.
        Command::Plugin(plugin) => plugin::run(plugin),
        _ => run(arguments).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(status) => status,
        Err(error @ Error::Config(_)) => {
            eprintln!("{error}");
            ExitCode::from(EX_CONFIG)
        }
        Err(error) => {
            eprintln!("hookswitch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Error> {
    let (config, mut problems) = Config::load_all(arguments.config.as_deref(), environment());
    // The parts check what only they know: every problem at once.
    problems.extend(crate::app::check(&config).err().unwrap_or_default());
    if !problems.is_empty() {
        return Err(Error::Config(ConfigError(problems)));
    }
    // HTTP, the journal's way into the database, look-ups: all but FastAGI, which has a thread of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_start(priority::give_way)
        .build()?;
    if let Command::CheckConfig { defaults } = arguments.command {
        if defaults {
            print!("{}", crate::config::DEFAULTS);
        } else {
            println!("The settings are valid.");
        }
        return Ok(());
    }
    if let Command::Openapi = arguments.command {
        let document = crate::app::api::document()?;
        let mut text = serde_json::to_string_pretty(&document).map_err(|e| Error::Said(e.to_string()))?;
        text.push('\n');
        return match std::io::stdout().write_all(text.as_bytes()) {
            // A reader that has seen enough, such as `head`.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        };
    }
    telemetry::init(&config.log_filter, config.log_format)
        .map_err(|problem| Error::Config(ConfigError(vec![format!("log.filter: {problem}")])))?;
    runtime.block_on(async {
        match arguments.command {
            Command::Serve => App::build(config, Clock::system()).await?.serve().await,
            Command::Migrate => {
                let db = connect(&config).await?;
                db.migrate().await?;
                println!("The schema is up to date ({}).", db.kind());
                db.close().await;
                Ok(())
            }
            Command::CheckConfig { .. } | Command::Openapi | Command::Plugin(_) => Ok(()),
            Command::Seed(seed) => seed::run(&config, seed).await,
            Command::User(user) => user::run(&config, user).await,
            Command::Tenant(tenant) => tenant::run(&config, tenant).await,
            Command::Audit(audit) => audit::run(&config, audit).await,
            Command::Simulate(arguments) => simulate::run(&config, arguments).await,
            Command::Replay(arguments) => replay::run(&config, arguments).await,
        }
    })
}

/// The environment as text. A variable that is none is not one of ours to fail over; one of ours says so by its value.
fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}

/// The configured database, without touching its schema.
async fn connect(config: &Config) -> Result<Db, Error> {
    Ok(Db::connect(config.database_url.expose(), config.database_connections).await?)
}

/// The configured database, which must have the schema of this program.
async fn connect_current(config: &Config) -> Result<Db, Error> {
    let db = connect(config).await?;
    match db.schema().await? {
        crate::db::Schema::Current => Ok(db),
        crate::db::Schema::Behind(_) => {
            Err(Error::Said("the schema is old; run `hookswitch migrate` first".into()))
        }
        crate::db::Schema::Ahead => {
            Err(Error::Said("the schema was made by a newer hookswitch; run that one".into()))
        }
    }
}
