//! The real service as a child process: release binary, SQLite with the demo data, journal on disk.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{now, thread_seconds};

/// A running `hookswitch serve`; ends on drop.
pub(crate) struct Service {
    child: Child,
    folder: tempfile::TempDir,
    url: String,
    more: Vec<(&'static str, &'static str)>,
    /// Where FastAGI listens.
    pub(crate) agi: SocketAddr,
    /// Where HTTP listens.
    pub(crate) http: SocketAddr,
}

/// A command that may open as many files as the system lets it.
pub(crate) fn with_files(program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\"", program]);
    command
}

fn settings(command: &mut Command, folder: &std::path::Path, url: &str) {
    command
        .env("HOOKSWITCH_DATA_DIR", folder)
        .env("HOOKSWITCH_DATABASE_URL", url)
        .env("HOOKSWITCH_AGI_LISTEN", "127.0.0.1:0")
        .env("HOOKSWITCH_HTTP_LISTEN", "127.0.0.1:0")
        // Counted as always, and never reached.
        .env("HOOKSWITCH_HTTP__REQUESTS_PER_SECOND_ADDRESS", "1000000")
        .env("HOOKSWITCH_HTTP__REQUESTS_PER_SECOND_ACTOR", "1000000")
        .env("HOOKSWITCH_HTTP__REQUESTS_PER_SECOND_TENANT", "1000000")
        .env("HOOKSWITCH_LOG_FORMAT", "json")
        .env("HOOKSWITCH_LOG", "info")
        .stdin(Stdio::null());
}

/// Starts the service and waits until it is ready: the process, where FastAGI and where HTTP listens.
fn serve(
    folder: &std::path::Path,
    url: &str,
    more: &[(&'static str, &'static str)],
) -> (Child, SocketAddr, SocketAddr) {
    let mut serve = with_files(env!("CARGO_BIN_EXE_hookswitch"));
    settings(&mut serve, folder, url);
    serve.envs(more.iter().copied());
    let mut child = serve.arg("serve").stderr(Stdio::piped()).spawn().expect("the service's binary");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let ready = lines.by_ref().find(|line| line.contains("ready for calls")).expect("the service to start");
    let ready: serde_json::Value = serde_json::from_str(&ready).expect("a log line in JSON");
    let address = |key: &str| ready[key].as_str().and_then(|t| t.parse().ok()).expect("an address");
    // The pipe must be read on, or the service would wait at its next log line.
    std::thread::spawn(move || {
        lines.filter(|l| !l.contains("INFO")).for_each(|line| eprintln!("service: {line}"))
    });
    (child, address("agi"), address("http"))
}

impl Service {
    /// Seeds a fresh SQLite database and starts the service on free ports.
    pub(crate) fn start() -> Self {
        Self::start_on("")
    }

    /// Seeds a database and starts the service on free ports; an empty URL stands for SQLite in its data directory.
    pub(crate) fn start_on(url: &str) -> Self {
        Self::start_as(url, &[])
    }

    /// The same with further settings, as environment variables.
    pub(crate) fn start_as(url: &str, more: &[(&'static str, &'static str)]) -> Self {
        Self::begin(url, None, more)
    }

    /// The same as [`Self::start`] with one of the demo's plugins, ready to run.
    pub(crate) fn start_with(plugin: &str) -> Self {
        let service = Self::begin("", Some(plugin), &[]);
        while thread_seconds(service.pid()).contains_key("plugin-compile") {
            std::thread::sleep(Duration::from_millis(100));
        }
        service
    }

    fn begin(url: &str, plugin: Option<&str>, more: &[(&'static str, &'static str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("hs-bench").tempdir().expect("a temporary folder");
        let url = match url {
            "" => format!("sqlite://{}", folder.path().join("hookswitch.db").display()),
            given => given.to_owned(),
        };
        let mut seed = Command::new(env!("CARGO_BIN_EXE_hookswitch"));
        settings(&mut seed, folder.path(), &url);
        // One plugin, so that no JavaScript engine is compiled while others measure.
        let plugins = folder.path().join("plugins");
        if let Some(file) = plugin {
            let built = std::env::var("HOOKSWITCH_TEST_PLUGINS").unwrap_or_else(|_| "plugins/dist".into());
            std::fs::create_dir(&plugins).expect("a folder");
            let from = std::path::Path::new(&built).join(file);
            std::fs::copy(&from, plugins.join(file)).expect("a plugin; run scripts/build-plugins first");
        }
        seed.args(["seed", "demo", "--plugins"]).arg(&plugins).stdout(Stdio::null());
        let seeded = seed.status().expect("the service's binary");
        assert!(seeded.success(), "seed demo failed");
        let (child, agi, http) = serve(folder.path(), &url, more);
        Self { child, folder, url, more: more.to_vec(), agi, http }
    }

    /// Stops it, starts it again on the same data, and returns the seconds from there until it was ready.
    pub(crate) fn restart_seconds(&mut self) -> f64 {
        self.child.kill().expect("to end the service");
        self.child.wait().expect("its end");
        let start = now();
        (self.child, self.agi, self.http) = serve(self.folder.path(), &self.url, &self.more);
        start.elapsed().as_secs_f64()
    }

    /// The database it stands on.
    pub(crate) fn database_url(&self) -> String {
        self.url.clone()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// One number from `/metrics`; 0 when it is not there.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(self.http).expect("the service's HTTP listener");
        let asked = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
        asked.expect("the service's HTTP listener");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|n| n.trim().parse().ok()).unwrap_or(0.0)
    }

    /// Waits until every record is in the database. Returns the seconds it took.
    pub(crate) fn wait_drained(&self) -> f64 {
        let start = now();
        while self.metric("hookswitch_journal_behind") > 0.0 {
            assert!(start.elapsed() < Duration::from_secs(300), "the journal does not drain");
            std::thread::sleep(Duration::from_millis(20));
        }
        start.elapsed().as_secs_f64()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
