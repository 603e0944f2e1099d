//! A real Asterisk 22 for one test: `asterisk/demo/run` in a temporary folder, on its own ports.

use super::{ports, wait};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// What differs between tests.
pub(crate) struct PbxOptions {
    /// Where the dialplan finds the service (`HS_AGI`).
    pub(crate) agi: SocketAddr,
    /// Dialplan of the test itself, included after the shipped files.
    pub(crate) extra_dialplan: String,
    /// Where phones, queues and mailboxes come from, in the words of `asterisk/demo/run`; empty: from files.
    pub(crate) realtime: Vec<(&'static str, String)>,
    /// Phones of the test itself, besides the demo's.
    pub(crate) extra_phones: Vec<ExtraPhone>,
    /// More of `pjsip.conf`.
    pub(crate) extra_pjsip: String,
    /// How the service watches it.
    pub(crate) ari: Way,
    /// Where it is dialled; 0: at a free port.
    pub(crate) ari_port: u16,
    /// How it calls itself.
    pub(crate) name: &'static str,
    /// The SIP port of its carrier; `None`: a free one.
    pub(crate) carrier: Option<u16>,
}

/// Who opens the sockets of ARI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nobody.
    None,
    /// The service dials [`Pbx::ari_url`].
    Dialled,
    /// Asterisk connects to the service at this HTTP address, for ever.
    Connects(SocketAddr),
    /// The same, with a connection for each call.
    ConnectsForCalls(SocketAddr),
}

/// The user of ARI in both directions, and the application.
pub(crate) const ARI_USER: &str = "hookswitch";
/// Its password.
pub(crate) const ARI_PASSWORD: &str = "ari-secret-1";

/// A phone besides the demo's, and the queue whose only member it is.
pub(crate) struct ExtraPhone {
    /// Its name in Asterisk, such as `newco-101`.
    pub(crate) name: String,
    /// The password it must know when it calls.
    pub(crate) password: String,
    /// The queue's name in Asterisk.
    pub(crate) queue: String,
}

impl PbxOptions {
    /// The shipped dialplan, asking the service at `agi`.
    pub(crate) fn new(agi: SocketAddr) -> Self {
        Self {
            agi,
            extra_dialplan: String::new(),
            realtime: Vec::new(),
            extra_phones: Vec::new(),
            extra_pjsip: String::new(),
            ari: Way::None,
            ari_port: 0,
            name: "hookswitch",
            carrier: None,
        }
    }

    /// Gives it a name of its own, beside another Asterisk.
    pub(crate) fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Makes another Asterisk its carrier.
    pub(crate) fn carrier(mut self, pbx: &Pbx) -> Self {
        self.carrier = Some(pbx.sip_port());
        self
    }

    /// Adds dialplan contexts of the test.
    pub(crate) fn dialplan(mut self, text: &str) -> Self {
        text.clone_into(&mut self.extra_dialplan);
        self
    }

    /// Lets phones, queues and mailboxes come from the service, over HTTP.
    pub(crate) fn realtime(mut self, http: SocketAddr, token: &'static str) -> Self {
        self.realtime = vec![("HTTP", http.to_string()), ("REALTIME_TOKEN", token.to_owned())];
        self
    }

    /// Lets phones, queues and mailboxes come from the service's database, over ODBC.
    pub(crate) fn odbc(mut self, url: &str) -> Self {
        self.realtime = vec![("ODBC", url.to_owned())];
        self
    }

    /// Adds to `pjsip.conf`.
    pub(crate) fn pjsip(mut self, text: String) -> Self {
        self.extra_pjsip = text;
        self
    }

    /// Lets Asterisk write its call records into the service's database, over ODBC; the dialplan reports no end.
    pub(crate) fn cdr_odbc(mut self, url: &str) -> Self {
        self.realtime.extend([("CDR_ODBC", url.to_owned()), ("REPORT", "no".to_owned())]);
        self
    }

    /// Lets the service watch it.
    pub(crate) fn ari(mut self, way: Way) -> Self {
        self.ari = way;
        self
    }

    /// Lets the service watch it by dialling this port.
    pub(crate) fn dialled_at(mut self, port: u16) -> Self {
        (self.ari, self.ari_port) = (Way::Dialled, port);
        self
    }

    /// As `asterisk/demo/run` understands it.
    fn ari_settings(&self, port: u16) -> Vec<(&'static str, String)> {
        let mut settings = vec![("ARI_PASSWORD", ARI_PASSWORD.to_owned())];
        match self.ari {
            Way::None => settings.clear(),
            Way::Dialled => settings.push(("ARI_PORT", port.to_string())),
            Way::Connects(http) => {
                settings.extend([("ARI_CONNECT", "persistent".to_owned()), ("HTTP", http.to_string())]);
            }
            Way::ConnectsForCalls(http) => {
                settings.extend([("ARI_CONNECT", "per_call_config".to_owned()), ("HTTP", http.to_string())]);
            }
        }
        settings
    }

    /// Adds a phone and its queue.
    pub(crate) fn phone(mut self, phone: ExtraPhone) -> Self {
        self.extra_phones.push(phone);
        self
    }
}

impl ExtraPhone {
    /// As the demo's phones in `asterisk/demo/pjsip.conf`.
    fn pjsip(&self, port: u16) -> String {
        let Self { name, password, .. } = self;
        format!(
            "[{name}](phone)\nauth={name}\naors={name}\n[{name}](login)\nusername={name}\npassword={password}\n\
             [{name}]\ntype=aor\ncontact=sip:{name}@127.0.0.1:{port}\n"
        )
    }

    /// As the demo's queues in `asterisk/demo/queues.conf`.
    fn queue(&self) -> String {
        format!("[{}](support)\nmember => PJSIP/{}\n", self.queue, self.name)
    }
}

/// SIP ports of everyone around the PBX, chosen free at start.
#[derive(Clone, Copy)]
struct Ports {
    sip: u16,
    carrier: u16,
    acme_101: u16,
    acme_102: u16,
    globex_101: u16,
    globex_102: u16,
}

/// A running Asterisk; stops on drop.
pub(crate) struct Pbx {
    run: TempDir,
    child: Child,
    settings: Vec<(&'static str, String)>,
    ari_port: u16,
    ports: Ports,
    extra_ports: Vec<(String, u16)>,
}

/// One line of the call records.
#[derive(Debug, Clone)]
pub(crate) struct Cdr {
    pub(crate) uniqueid: String,
    pub(crate) linkedid: String,
    pub(crate) dst: String,
    pub(crate) account: String,
    pub(crate) disposition: String,
    pub(crate) dst_channel: String,
    /// `HS_CALL_ID` of the call.
    pub(crate) call: String,
}

impl Pbx {
    /// Renders the demo configuration and waits until Asterisk has booted.
    ///
    /// # Panics
    /// When no Asterisk is installed (run `scripts/lab-install`) or it does not come up.
    pub(crate) fn start(options: &PbxOptions) -> Self {
        let run = tempfile::Builder::new().prefix("hs").tempdir().unwrap();
        let [sip, carrier, acme_101, acme_102, globex_101, globex_102, ari_port] = ports::free();
        let ari_port = if options.ari_port == 0 { ari_port } else { options.ari_port };
        let carrier = options.carrier.unwrap_or(carrier);
        let ports = Ports { sip, carrier, acme_101, acme_102, globex_101, globex_102 };
        let (rtp_start, rtp_end) = ports::rtp();
        std::fs::create_dir(run.path().join("etc")).unwrap();
        let write =
            |name: &str, text: String| std::fs::write(run.path().join("etc").join(name), text).unwrap();
        write("extensions-extra.conf", options.extra_dialplan.clone());
        let extra: Vec<(&ExtraPhone, u16)> =
            options.extra_phones.iter().map(|phone| (phone, ports::free::<1>()[0])).collect();
        let phones: String = extra.iter().map(|(phone, port)| phone.pjsip(*port)).collect();
        write("pjsip-extra.conf", phones + &options.extra_pjsip);
        write("queues-extra.conf", extra.iter().map(|(phone, _)| phone.queue()).collect());
        let extra_ports = extra.into_iter().map(|(phone, port)| (phone.name.clone(), port)).collect();
        let mut settings = vec![
            ("AGI", options.agi.to_string()),
            ("SYSTEM_NAME", options.name.to_owned()),
            ("SIP_PORT", ports.sip.to_string()),
            ("CARRIER_PORT", ports.carrier.to_string()),
            ("ACME_101_PORT", ports.acme_101.to_string()),
            ("ACME_102_PORT", ports.acme_102.to_string()),
            ("GLOBEX_101_PORT", ports.globex_101.to_string()),
            ("GLOBEX_102_PORT", ports.globex_102.to_string()),
            ("RTP_START", rtp_start.to_string()),
            ("RTP_END", rtp_end.to_string()),
        ];
        settings.extend(options.realtime.iter().cloned());
        settings.extend(options.ari_settings(ari_port));
        let child = launch(run.path(), &settings);
        let mut pbx = Self { run, child, settings, ari_port, ports, extra_ports };
        pbx.wait_booted();
        pbx
    }

    fn wait_booted(&mut self) {
        let pbx = self;
        wait::until("Asterisk to boot (is it installed? run scripts/lab-install)", || {
            let ended = pbx.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "Asterisk did not start ({ended:?}): run scripts/lab-install\n{}\n{}",
                std::fs::read_to_string(pbx.path("console")).unwrap_or_default(),
                pbx.log()
            );
            let booted = pbx.path("cli").exists() && pbx.cli("core waitfullybooted").contains("fully booted");
            booted.then_some(())
        });
    }

    /// Ends it at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it, as before, after [`Pbx::kill`].
    pub(crate) fn start_again(&mut self) {
        self.child = launch(self.run.path(), &self.settings);
        self.wait_booted();
    }

    /// Stops its clockwork (SIGSTOP): its sockets stay open, nothing moves.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on after [`Pbx::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Where its HTTP server listens, for [`Way::Dialled`].
    pub(crate) fn ari_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ari_port))
    }

    /// Runs a CLI command and returns what it prints.
    pub(crate) fn cli(&self, command: &str) -> String {
        let output = Command::new(self.path("cli")).arg(command).stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A file in this instance's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.run.path().join(name)
    }

    /// The full log so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("log/full")).unwrap_or_default()).into_owned()
    }

    /// Log lines that a healthy configuration does not produce.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.log()
            .lines()
            .filter(|line| line.contains("] WARNING[") || line.contains("] ERROR["))
            .map(str::to_owned)
            .collect()
    }

    /// The port on which this PBX listens for SIP.
    pub(crate) fn sip_port(&self) -> u16 {
        self.ports.sip
    }

    /// The port where a phone (`acme-101`, `acme-102`, `globex-101`, `globex-102`, one of the test's own) or the
    /// `carrier` is expected to listen.
    pub(crate) fn phone_port(&self, name: &str) -> u16 {
        match name {
            "carrier" => self.ports.carrier,
            "acme-101" => self.ports.acme_101,
            "acme-102" => self.ports.acme_102,
            "globex-101" => self.ports.globex_101,
            "globex-102" => self.ports.globex_102,
            other => {
                let own = self.extra_ports.iter().find(|(name, _)| name == other);
                own.unwrap_or_else(|| panic!("no phone is called {other}")).1
            }
        }
    }

    /// Waits until no channel is left, so that every call record is written.
    pub(crate) fn wait_idle(&self) {
        wait::until("all channels to end", || {
            self.cli("core show channels count").contains("0 active channels").then_some(())
        });
    }

    /// Ends every call from the PBX's side.
    pub(crate) fn hang_up_all(&self) {
        self.cli("channel request hangup all");
    }

    /// The call records, oldest first, once no call is left.
    pub(crate) fn cdrs(&self) -> Vec<Cdr> {
        self.wait_idle();
        let read = || std::fs::read_to_string(self.path("log/cdr-custom/hookswitch.csv")).ok();
        let text = wait::until("a call record", || read().filter(|text| text.ends_with('\n')));
        text.lines().map(cdr).collect()
    }

    /// What AstDB holds under the family `hookswitch`: lines of `/hookswitch/key : value`.
    pub(crate) fn kept_reports(&self) -> Vec<String> {
        let shown = self.cli("database show hookswitch");
        shown.lines().filter(|line| line.starts_with("/hookswitch/")).map(str::to_owned).collect()
    }
}

impl Drop for Pbx {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- Asterisk's log\n{}", self.log());
        }
        if self.path("cli").exists() {
            self.cli("core stop now");
        }
        let start = wait::now();
        while start.elapsed() < std::time::Duration::from_secs(5) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Renders the configuration and becomes Asterisk.
fn launch(run: &Path, settings: &[(&'static str, String)]) -> Child {
    let console = std::fs::File::create(run.join("console")).unwrap();
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("asterisk/demo/run"))
        .arg(run)
        .env("DIES_WITH_PARENT", "1")
        .envs(settings.iter().cloned())
        .stdin(Stdio::null())
        .stdout(console.try_clone().unwrap())
        .stderr(console)
        .spawn()
        .unwrap()
}

/// Reads a line as `cdr_custom.conf` writes it.
fn cdr(line: &str) -> Cdr {
    let fields: Vec<&str> = line.trim_matches('"').split("\",\"").collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or_default().to_owned();
    Cdr {
        uniqueid: field(0),
        linkedid: field(1),
        dst: field(3),
        account: field(4),
        disposition: field(5),
        dst_channel: field(9),
        call: field(11),
    }
}
