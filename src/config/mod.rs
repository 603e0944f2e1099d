//! Settings: built-in defaults, then a file, then the environment; checked as a whole, every problem told at once.
//!
//! Invariant: a [`Config`] that exists is valid. [`limits`] holds the numbers nobody needs to set.

mod layers;
pub mod limits;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use crate::base::secret::Secret;
use crate::base::telemetry::LogFormat;
use crate::mail::MailSettings;
use crate::sandbox::{Grant, Grants};
use crate::storage::StorageSettings;

/// The defaults with a comment on each setting; also what `check-config` shows as the full list.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Everything an operator can set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Create or upgrade the schema when `serve` starts.
    pub auto_migrate: bool,
    /// `sqlite://…` or `mysql://…`.
    pub database_url: Secret,
    /// Open connections at most, 1 to 1,000.
    pub database_connections: u32,
    /// Journal, secret, embedded database.
    pub data_dir: PathBuf,
    /// REST, WebSocket, chat, health.
    pub http_listen: SocketAddr,
    /// Origins of web pages that may use the API.
    pub http_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` counts.
    pub http_proxies: Vec<IpNet>,
    /// Requests per second from one address; 0: no limit.
    pub rate_address: u32,
    /// Requests per second by one user or key; 0: no limit.
    pub rate_actor: u32,
    /// Requests per second for one tenant; 0: no limit.
    pub rate_tenant: u32,
    /// Logins, registrations and resets per minute from one address; 0: no limit.
    pub rate_logins: u32,
    /// Whether strangers may make a trial tenant.
    pub registration: bool,
    /// A listener of its own for `/metrics`.
    pub metrics_listen: Option<SocketAddr>,
    /// FastAGI.
    pub agi_listen: SocketAddr,
    /// Networks that may ask over FastAGI; empty: loopback only.
    pub agi_allow: Vec<IpNet>,
    /// FastAGI connections open at once.
    pub agi_connections: usize,
    /// The operator's secret; `None`: the one kept in the data directory.
    pub secret: Option<Secret>,
    /// A tracing filter.
    pub log_filter: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Private networks that tenants' URLs may reach.
    pub outgoing_allow: Vec<IpNet>,
    /// Whether tenants' URLs may reach public addresses.
    pub outgoing_public: bool,
    /// Where the service is reached; empty: unknown.
    pub public_url: String,
    /// Asterisk's spool; `None`: there are no sounds.
    pub spool: Option<PathBuf>,
    /// Where sounds are kept.
    pub storage: StorageSettings,
    /// How mail leaves.
    pub mail: MailSettings,
    /// Password of Asterisk's realtime requests over HTTP; `None`: off.
    pub realtime_token: Option<Secret>,
    /// Bytes of the journal on disk at most.
    pub journal_bytes: u64,
    /// Longest time between a record and its sync.
    pub journal_sync: Duration,
    /// How long a caller waits for the record's write.
    pub journal_deadline: Duration,
    /// How long a call waits for the database when memory does not know its DID.
    pub lookup_deadline: Duration,
    /// DIDs kept in memory at most.
    pub cached_dids: u64,
    /// Where calls to numbers go that nobody owns, as `action:target`; empty: the end.
    pub unknown_did: String,
    /// How often changes made by other processes are looked for.
    pub refresh: Duration,
    /// A call without an end is closed after this time.
    pub lost_call: Duration,
    /// How long a caller is parked, in seconds.
    pub parked_s: i64,
    /// How long events are kept.
    pub events_kept: Duration,
    /// Tenants' plugins.
    pub plugins: PluginSettings,
    /// One for each Asterisk that is watched over ARI.
    pub ari: BTreeMap<String, Ari>,
}

/// What an operator says about tenants' plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSettings {
    /// Where native code is kept.
    pub folder: PathBuf,
    /// The JavaScript engine's component; `None`: the one that was built in, if any.
    pub js_engine: Option<PathBuf>,
    /// What tenants may allow them.
    pub grants: Grants,
    /// Hosts that they may ask: names, `*.name`, or `*`.
    pub http_hosts: Vec<String>,
    /// Whether routers may be large components, which start slowly.
    pub slow_routers: bool,
    /// Threads for runs that take long.
    pub threads: usize,
}

/// How to watch one Asterisk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ari {
    /// Where to dial; `None`: wait for that Asterisk to connect.
    pub url: Option<String>,
    /// User of both directions.
    pub username: String,
    /// Password of both directions.
    pub password: Secret,
    /// Application name.
    pub app: String,
}

/// Every problem found in file and environment together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} problem(s) in the settings:\n  {}", .0.len(), .0.join("\n  "))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Reads defaults, `file` (when given) and the environment variables `env`.
    ///
    /// # Errors
    /// Every problem at once: unknown keys, wrong types, values out of range, a file that can't be read.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let (config, problems) = Self::load_all(file, env);
        if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
    }

    /// As [`Config::load`], for whoever has further checks: what was wrong is replaced by a stand-in, and told.
    pub fn load_all(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let table = layers::merge(file, env, &mut problems);
        let mut reader = layers::Reader::new(&table, &mut problems);
        (Self::read(&mut reader), problems)
    }

    fn read(r: &mut layers::Reader<'_>) -> Self {
        let data_dir = PathBuf::from(r.text("data.dir"));
        let url = match r.text("database.url") {
            "" => format!("sqlite://{}", data_dir.join("hookswitch.db").display()),
            given => given.to_owned(),
        };
        if !(url.starts_with("sqlite:") || url.starts_with("mysql:") || url.starts_with("mariadb:")) {
            r.problem("database.url", "starts with neither sqlite: nor mysql:");
        }
        let secret = Some(r.text("secret.value")).filter(|s| !s.is_empty()).map(Secret::new);
        if secret.as_ref().is_some_and(|s| s.expose().len() < 32) {
            r.problem("secret.value", "shorter than 32 bytes; `openssl rand -hex 32` makes a good one");
        }
        let log_format = match r.text("log.format") {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => {
                let what = format!("{other:?} is neither text nor json");
                r.problem("log.format", &what);
                LogFormat::Text
            }
        };
        let (shortest, _, longest) = limits::events::KEPT_DAYS;
        Self {
            auto_migrate: r.flag("auto_migrate"),
            database_url: Secret::new(url),
            database_connections: r.number("database.max_connections", 1, 1_000) as u32,
            data_dir,
            http_listen: r.address("http.listen"),
            http_origins: r.texts("http.origins"),
            http_proxies: r.networks("http.trusted_proxies"),
            rate_address: r.number("http.requests_per_second_address", 0, 1_000_000) as u32,
            rate_actor: r.number("http.requests_per_second_actor", 0, 1_000_000) as u32,
            rate_tenant: r.number("http.requests_per_second_tenant", 0, 1_000_000) as u32,
            rate_logins: r.number("http.logins_per_minute", 0, 1_000_000) as u32,
            registration: r.flag("auth.registration"),
            metrics_listen: if r.text("metrics.listen").is_empty() {
                None
            } else {
                Some(r.address("metrics.listen"))
            },
            agi_listen: r.address("agi.listen"),
            agi_allow: r.networks("agi.allow"),
            agi_connections: r.number("agi.max_connections", 1, 100_000) as usize,
            secret,
            log_filter: r.text("log.filter").to_owned(),
            log_format,
            outgoing_allow: r.networks("outgoing.allow"),
            outgoing_public: r.flag("outgoing.public"),
            public_url: public_url(r),
            spool: Some(r.text("asterisk.spool")).filter(|folder| !folder.is_empty()).map(PathBuf::from),
            storage: storage(r),
            mail: mail(r),
            realtime_token: Some(r.text("realtime.token")).filter(|s| !s.is_empty()).map(Secret::new),
            journal_bytes: r.number("journal.max_mib", 1, 1 << 20) * 1024 * 1024,
            journal_sync: Duration::from_millis(r.number("journal.sync_ms", 1, 10_000)),
            journal_deadline: Duration::from_millis(r.number("journal.write_deadline_ms", 1, 5_000)),
            lookup_deadline: Duration::from_millis(r.number("routing.lookup_deadline_ms", 10, 2_000)),
            unknown_did: r.text("routing.unknown_did").to_owned(),
            cached_dids: r.number("routing.cached_dids", 1, 100_000_000),
            refresh: Duration::from_millis(r.number("routing.refresh_ms", 50, 3_600_000)),
            lost_call: Duration::from_secs(3_600 * r.number("routing.lost_call_hours", 1, 720)),
            parked_s: i64::try_from(r.number("routing.parked_s", 1, 86_400)).unwrap_or(0),
            events_kept: limits::events::DAY * r.number("events.kept_days", shortest, longest) as u32,
            plugins: plugins(r),
            ari: r.ari(),
        }
    }

    /// The secret of this installation: the operator's, or the one in the data directory, which is made on first use
    /// with mode 0600.
    ///
    /// # Errors
    /// When the file can't be read or made.
    pub fn secret(&self) -> std::io::Result<Secret> {
        if let Some(secret) = &self.secret {
            return Ok(secret.clone());
        }
        std::fs::create_dir_all(&self.data_dir)?;
        let path = self.data_dir.join("secret");
        if !path.exists() {
            write_new_private(&path, Secret::random().map_err(std::io::Error::other)?.expose())?;
        }
        let text = std::fs::read_to_string(&path)?;
        if text.trim().len() < 32 {
            return Err(std::io::Error::other(format!(
                "{} holds fewer than 32 bytes; remove it to have a new one made",
                path.display()
            )));
        }
        Ok(Secret::new(text.trim()))
    }
}

fn plugins(r: &mut layers::Reader<'_>) -> PluginSettings {
    let mut grants = Grants::default();
    for name in r.texts("plugins.grants") {
        match Grant::parse(&name) {
            Some(grant) => grants = grants.with(grant),
            None => r.problem("plugins.grants", &format!("{name:?} is none of {}", Grants::all())),
        }
    }
    PluginSettings {
        folder: match r.text("plugins.folder") {
            "" => Path::new(r.text("data.dir")).join("plugins"),
            given => PathBuf::from(given),
        },
        js_engine: Some(r.text("plugins.js_engine")).filter(|path| !path.is_empty()).map(PathBuf::from),
        grants,
        http_hosts: r.texts("plugins.http_hosts"),
        slow_routers: r.flag("plugins.slow_routers"),
        threads: r.number("plugins.threads", 1, 64) as usize,
    }
}

fn public_url(r: &mut layers::Reader<'_>) -> String {
    let text = r.text("http.public_url");
    if !text.is_empty() && !text.starts_with("https://") && !text.starts_with("http://") {
        r.problem("http.public_url", "starts with neither https:// nor http://");
    }
    text.to_owned()
}

fn mail(r: &mut layers::Reader<'_>) -> MailSettings {
    let (least, most) = limits::sound::GIVE_UP_DAYS;
    let settings = MailSettings {
        url: Secret::new(r.text("mail.url")),
        from: r.text("mail.from").to_owned(),
        give_up: limits::events::DAY * r.number("mail.give_up_days", least, most) as u32,
    };
    if !settings.url.expose().is_empty() && settings.from.is_empty() {
        r.problem("mail.from", "is missing, and mail.url is given");
    }
    settings
}

fn storage(r: &mut layers::Reader<'_>) -> StorageSettings {
    StorageSettings {
        url: r.text("storage.url").to_owned(),
        folder: Path::new(r.text("data.dir")).join("sounds"),
        endpoint: r.text("storage.endpoint").to_owned(),
        region: r.text("storage.region").to_owned(),
        access_key: r.text("storage.access_key").to_owned(),
        secret_key: Secret::new(r.text("storage.secret_key")),
    }
}

/// Writes a file that only its owner may read, in one step: two processes that start together see one content.
fn write_new_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&part, path);
    std::fs::remove_file(&part)?;
    match linked {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn defaults_are_valid_and_listen_on_loopback() {
        let config = Config::load(None, env(&[])).unwrap();
        assert!(config.http_listen.ip().is_loopback() && config.agi_listen.ip().is_loopback());
        assert_eq!(config.database_url.expose(), "sqlite://./data/hookswitch.db");
        assert_eq!(config.agi_listen.port(), 4573);
    }

    #[test]
    fn environment_beats_file_beats_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hookswitch.toml");
        std::fs::write(
            &file,
            "[agi]\nlisten = \"127.0.0.1:1\"\nallow = [\"10.0.0.0/8\"]\n[journal]\nsync_ms = 7\n",
        )
        .unwrap();
        let set = env(&[
            ("HOOKSWITCH_AGI_LISTEN", "127.0.0.1:2"),
            ("HOOKSWITCH_OUTGOING_ALLOW", "127.0.0.0/8, ::1"),
            ("HOOKSWITCH_ARI__PBX1__URL", "http://127.0.0.1:8088"),
            ("HOOKSWITCH_ARI__PBX1__USERNAME", "u"),
            ("HOOKSWITCH_ARI__PBX1__PASSWORD", "p"),
            ("HOOKSWITCH_ARI__PBX1__APP", "hs"),
        ]);
        let config = Config::load(Some(&file), set).unwrap();
        assert_eq!(config.agi_listen.port(), 2);
        assert_eq!(config.agi_allow.len(), 1);
        assert_eq!(config.outgoing_allow.len(), 2);
        assert_eq!(config.journal_sync, Duration::from_millis(7));
        assert_eq!(config.ari["pbx1"].app, "hs");
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let set = env(&[
            ("HOOKSWITCH_AGI_LISTEN", "nowhere"),
            ("HOOKSWITCH_JOURNAL__SYNC_MS", "soon"),
            ("HOOKSWITCH_JOURNAL__SINK_MS", "1"),
            ("HOOKSWITCH_DATABASE_URL", "postgres://x"),
            ("HOOKSWITCH_SECRET", "short"),
            ("HOOKSWITCH_AGI_ALLOW", "10.0.0.0/40"),
            ("HOOKSWITCH_LOG_FORMAT", "xml"),
            ("HOOKSWITCH_ARI__PBX1__APP", "hs"),
            ("HOOKSWITCH_AGI_LISEN", "127.0.0.1:1"),
        ]);
        let ConfigError(problems) = Config::load(None, set).unwrap_err();
        for part in [
            "agi.listen",
            "sync_ms",
            "sink_ms",
            "database.url",
            "secret.value",
            "10.0.0.0/40",
            "log.format",
            "ari.pbx1",
            "AGI_LISEN",
        ] {
            assert!(problems.iter().any(|p| p.contains(part)), "{part} missing in {problems:#?}");
        }
    }

    #[test]
    fn a_file_that_is_no_toml_shows_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hookswitch.toml");
        std::fs::write(&file, "[secret]\nvalue = \"hunter2hunter2\n").unwrap();
        let ConfigError(problems) = Config::load(Some(&file), env(&[])).unwrap_err();
        assert!(problems[0].contains("line 2") && !problems[0].contains("hunter2"), "{problems:?}");
    }

    #[test]
    fn the_made_secret_stays_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let set = env(&[("HOOKSWITCH_DATA_DIR", dir.path().to_str().unwrap())]);
        let config = Config::load(None, set).unwrap();
        let first = config.secret().unwrap();
        assert_eq!(config.secret().unwrap(), first);
        let mode = std::fs::metadata(dir.path().join("secret")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
