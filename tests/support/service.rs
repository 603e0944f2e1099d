//! The real program as a process of its own: its own data, ports and database, seeded with the demo tenants.
//!
//! A process never outlives its owner: it ends on drop, and by the kernel when the test dies first.

use super::{ports, wait};
use hookswitch::base::ids::Id;
use hookswitch::calls::store::{self, CallRow};
use hookswitch::db::{Db, db_write};
use hookswitch::routing::trace::Trace;
use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Where the databases of the tests lie on a MariaDB server.
pub(crate) const MYSQL: &str = "HOOKSWITCH_TEST_MYSQL_URL";
/// The secret of the demo's route webhook.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_aG9va3N3aXRjaC1kZW1vLXdlYmhvb2stc2VjcmV0LTAx";

/// Which database a service stands on.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    /// A file in its data folder.
    Sqlite,
    /// A database of its own on the server that [`MYSQL`] names.
    MySql,
    /// A database of its own on another server.
    MySqlAt(String),
}

/// What differs between tests.
#[derive(Debug)]
pub(crate) struct ServiceOptions {
    /// Which database.
    pub(crate) database: Database,
    /// Where acme's route webhook is asked.
    pub(crate) webhook_url: String,
    /// Statements that change the demo data before the service starts.
    pub(crate) changes: Vec<&'static str>,
    /// Settings by environment variable, beside those of every test.
    pub(crate) settings: Vec<(&'static str, &'static str)>,
    /// Whether the demo's plugins are loaded.
    pub(crate) plugins: bool,
}

impl ServiceOptions {
    /// The demo data as it is; nobody answers its webhook.
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            webhook_url: "http://127.0.0.1:1/nobody".to_owned(),
            changes: Vec::new(),
            settings: Vec::new(),
            plugins: false,
        }
    }

    /// With the demo's plugins, as `scripts/build-plugins` makes them.
    pub(crate) fn with_plugins(mut self) -> Self {
        self.plugins = true;
        self
    }

    /// Sets an environment variable for the service.
    pub(crate) fn set(mut self, name: &'static str, value: &'static str) -> Self {
        self.settings.push((name, value));
        self
    }

    /// Changes the demo data with a statement before the service starts.
    pub(crate) fn change(mut self, sql: &'static str) -> Self {
        self.changes.push(sql);
        self
    }
}

/// What `scripts/build-plugins` made.
fn built_plugins() -> PathBuf {
    let folder = std::env::var("HOOKSWITCH_TEST_PLUGINS").map(PathBuf::from);
    folder.unwrap_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("plugins/dist"))
}

fn js_engine() -> Option<PathBuf> {
    Some(built_plugins().join("js-engine.wasm")).filter(|file| file.exists())
}

/// A running service; stops on drop and removes its data.
pub(crate) struct Service {
    agi: SocketAddr,
    http: SocketAddr,
    url: String,
    /// Server and name of the database that is dropped at the end.
    drop_database: Option<(String, String)>,
    settings: Vec<(&'static str, &'static str)>,
    child: Option<Child>,
    db: Db,
    runtime: tokio::runtime::Runtime,
    data: TempDir,
}

impl Service {
    /// Makes a database, loads the demo data and starts the service on free ports.
    ///
    /// # Panics
    /// When the database or the service does not come up.
    pub(crate) fn start(options: &ServiceOptions) -> Self {
        let data = tempfile::Builder::new().prefix("hs-data").tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (url, drop_database) = match &options.database {
            Database::Sqlite => (format!("sqlite://{}/hookswitch.db", data.path().display()), None),
            Database::MySql => {
                let server = std::env::var(MYSQL).unwrap_or_else(|_| {
                    panic!("{MYSQL} is not set: run scripts/test, which starts a MariaDB and sets it")
                });
                runtime.block_on(new_database(&server))
            }
            Database::MySqlAt(server) => runtime.block_on(new_database(server)),
        };
        let db = runtime.block_on(Db::connect(&url, 2)).expect("the database does not answer");
        let [agi, http] = ports::free().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let settings = options.settings.clone();
        let mut service = Self { agi, http, url, drop_database, settings, child: None, db, runtime, data };
        let built = if options.plugins { built_plugins() } else { PathBuf::from("/nonexistent") };
        let built = built.to_string_lossy();
        service.run(&["seed", "demo", "--webhook-url", &options.webhook_url, "--plugins", &built]);
        for sql in &options.changes {
            assert!(service.sql(sql) > 0, "changes nothing: {sql}");
        }
        service.start_again();
        service
    }

    /// Where it listens for FastAGI.
    pub(crate) fn agi(&self) -> SocketAddr {
        self.agi
    }

    /// Starts it, as before, once it has stopped; returns when it is ready.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        self.child = Some(self.command(&["serve"]).spawn().unwrap());
        wait::until("the service to be ready", || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the service ended ({ended:?}):\n{}", self.log());
            self.get("/readyz").filter(|(status, _)| *status == 200)
        });
    }

    /// Runs another command of the program on the same data and returns what it prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        let output = command.stdout(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}\n{}", output.status, self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .arg(program())
            .args(arguments)
            .env("HOOKSWITCH_DATABASE_URL", &self.url)
            .env("HOOKSWITCH_DATA_DIR", self.data.path())
            .env("HOOKSWITCH_AGI_LISTEN", self.agi.to_string())
            .env("HOOKSWITCH_HTTP_LISTEN", self.http.to_string())
            .env("HOOKSWITCH_OUTGOING_ALLOW", "127.0.0.0/8")
            .env("HOOKSWITCH_OUTGOING__PUBLIC", "false")
            .env("HOOKSWITCH_ROUTING__REFRESH_MS", "100")
            // Native code is found again by every test: the folder and the key that vouches for it are the same.
            .env("HOOKSWITCH_SECRET", "a secret of tests, which everybody knows")
            .env("HOOKSWITCH_PLUGINS__FOLDER", std::env::temp_dir().join("hookswitch-test-native"))
            .envs(js_engine().map(|file| ("HOOKSWITCH_PLUGINS__JS_ENGINE", file)))
            .envs(self.settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }

    fn log_path(&self) -> PathBuf {
        self.data.path().join("log")
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it does not run").id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    fn wait_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        wait::until("the service to end", || child.try_wait().unwrap())
    }

    /// Asks it to end (SIGTERM), without waiting.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.wait_end()
    }

    /// Waits until it has ended by itself, or because it was asked to before.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.wait_end()
    }

    /// Ends it at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        self.wait_end();
    }

    /// Stops its clockwork (SIGSTOP): its sockets stay open, nothing moves.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
        let stat = format!("/proc/{}/stat", self.child.as_ref().unwrap().id());
        wait::until("the service to stand still", || {
            std::fs::read_to_string(&stat).unwrap().contains(") T ").then_some(())
        });
    }

    /// Lets it go on after [`Service::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Status and body of a page; `None` while nobody listens.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.http).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Where it listens for HTTP.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// Status and body of a POST of JSON; an empty token sends none.
    pub(crate) fn post(&self, path: &str, token: &str, body: &str) -> (u16, String) {
        self.ask("POST", path, token, body)
    }

    /// Status and body of a request; an empty token or body is not sent.
    pub(crate) fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        self.send(method, path, token, ("application/json", body))
    }

    /// As [`Service::ask`], with a body of another kind.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        token: &str,
        (kind, body): (&str, &str),
    ) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let bearer =
            if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let content = match body.len() {
            0 => String::new(),
            length => format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n"),
        };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{bearer}{content}\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Adds up the series whose name, labels included, contains all of `parts`.
    pub(crate) fn metric(&self, parts: &[&str]) -> f64 {
        let (status, text) = self.get("/metrics").expect("the service does not listen");
        assert_eq!(status, 200);
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let values = series.filter_map(|line| line.rsplit_once(' '));
        let wanted = values.filter(|(name, _)| parts.iter().all(|part| name.contains(part)));
        wanted.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    }

    /// Waits until everything written down is in the database. The service must be up.
    pub(crate) fn wait_drained(&self) {
        wait::until("the journal to reach the database", || {
            (self.metric(&["hookswitch_journal_behind"]) == 0.0).then_some(())
        });
    }

    /// Every call in the database, oldest first; with the service up, also what its journal still held.
    pub(crate) fn calls(&self) -> Vec<CallRow> {
        if self.child.is_some() {
            self.wait_drained();
        }
        let db = &self.db;
        let rows = async {
            hookswitch::db::db_read!(db, |p| sqlx::query_as("SELECT * FROM calls ORDER BY id")
                .fetch_all(p)
                .await)
        };
        self.runtime.block_on(rows).unwrap()
    }

    /// The traces of a call, oldest first.
    pub(crate) fn trace(&self, call: &str) -> Vec<Trace> {
        let id = Id::parse(call).unwrap();
        let traces = self.runtime.block_on(store::traces(&self.db, None, &id)).unwrap();
        traces.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    /// Runs a statement; returns how many rows it changed.
    pub(crate) fn sql(&self, sql: &'static str) -> u64 {
        let db = &self.db;
        let run =
            async { db_write!(db, |p| sqlx::query(sql).execute(p).await.map(|done| done.rows_affected())) };
        self.runtime.block_on(run).unwrap()
    }

    /// Its database for Asterisk's call records.
    pub(crate) fn cdr_odbc(&self) -> String {
        if let Some(file) = self.url.strip_prefix("sqlite://") {
            // Asterisk is another user where the tests are root.
            let open =
                |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            open(self.data(), 0o777);
            ["", "-wal", "-shm"].iter().for_each(|end| open(Path::new(&format!("{file}{end}")), 0o666));
        }
        self.url.clone()
    }

    /// Runs something on the service's database.
    pub(crate) fn on_db<T>(&self, run: impl AsyncFnOnce(&Db) -> T) -> T {
        self.runtime.block_on(run(&self.db))
    }

    /// The folder with its journal, log and embedded database.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- the service's log\n{}", self.log());
        }
        if let Some(mut child) = self.child.take() {
            // Already gone is as good as killed.
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some((server, name)) = self.drop_database.take() {
            let dropped = async {
                self.db.close().await;
                let server = Db::connect(&server, 1).await?;
                execute(&server, format!("DROP DATABASE {name}")).await
            };
            // A test's own server may be gone before.
            let limited = async { tokio::time::timeout(Duration::from_secs(5), dropped).await };
            let _ = self.runtime.block_on(limited);
        }
    }
}

/// The program: cargo says where to tests; an example has it two folders up.
fn program() -> PathBuf {
    match option_env!("CARGO_BIN_EXE_hookswitch") {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe().unwrap().parent().unwrap().with_file_name("hookswitch"),
    }
}

/// Makes an empty database beside the one of `server`: its URL, and what to drop in the end.
async fn new_database(server: &str) -> (String, Option<(String, String)>) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("hs_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let db = Db::connect(server, 1).await.expect("the MariaDB server does not answer");
    // Left behind by a test of the same process id that was killed.
    execute(&db, format!("DROP DATABASE IF EXISTS {name}")).await.unwrap();
    execute(&db, format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")).await.unwrap();
    db.close().await;
    let (base, _) = server.rsplit_once('/').unwrap();
    (format!("{base}/{name}"), Some((server.to_owned(), name)))
}

async fn execute(db: &Db, sql: String) -> sqlx::Result<()> {
    db_write!(db, |p| sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(p).await.map(drop))
}
