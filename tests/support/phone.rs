//! Phones around the PBX: one SIPp for each, taking calls as told and keeping count of them.

use super::asterisk::Pbx;
use super::ports;
use super::scenario::{self, Behaviour};
use super::transfer::{self, Dialog};
use super::wait;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Bytes of one second of 8 kHz µ-law.
const SECOND: usize = 8000;

/// A phone (or the carrier's far end) that takes calls until dropped.
pub(crate) struct Phone {
    name: String,
    sipp: Sipp,
}

impl Phone {
    /// Starts the phone `name` of [`Pbx::phone_port`].
    pub(crate) fn start(pbx: &Pbx, name: &str, behaviour: Behaviour) -> Self {
        Self::at(pbx.phone_port(name), name, behaviour)
    }

    /// Starts a phone on a port, from which it may have registered before.
    pub(crate) fn at(port: u16, name: &str, behaviour: Behaviour) -> Self {
        // -aa: message-waiting notices are answered, not counted.
        let sipp = Sipp::start(port, &["-aa".to_owned()], |audio| scenario::uas(behaviour, audio));
        wait::until("the phone to listen", || {
            let taken = std::net::UdpSocket::bind(("127.0.0.1", port)).is_err();
            taken.then_some(())
        });
        Self { name: name.to_owned(), sipp }
    }

    /// How many calls rang here.
    pub(crate) fn rang(&self) -> usize {
        self.count("invite ")
    }

    /// How many calls were answered here.
    pub(crate) fn answered(&self) -> usize {
        self.count("answered")
    }

    /// The request URI and From header of each call that came.
    pub(crate) fn invites(&self) -> Vec<String> {
        self.sipp.log().iter().filter(|line| line.starts_with("invite ")).cloned().collect()
    }

    /// Waits until one more call than `before` was answered.
    pub(crate) fn wait_answered(&self, before: usize) {
        let what = format!("{} to answer", self.name);
        wait::until(&what, || (self.answered() > before).then_some(()));
    }

    /// Waits until it talks; what names the dialogue of its last call.
    pub(crate) fn wait_dialog(&self) -> Dialog {
        let what = format!("{} to answer", self.name);
        wait::until(&what, || transfer::dialogs(&self.sipp.log(), transfer::Side::WasCalled).pop())
    }

    fn count(&self, start: &str) -> usize {
        self.sipp.log().iter().filter(|line| line.starts_with(start)).count()
    }
}

/// Registers as an endpoint from a port, with digest; whether Asterisk took it.
pub(crate) fn register(pbx: &Pbx, (name, password): (&str, &str), port: u16, expires_s: u32) -> bool {
    let target = format!("127.0.0.1:{}", pbx.sip_port());
    let arguments = ["-m", "1", "-timeout", "10", "-timeout_error", &target].map(str::to_owned);
    let mut sipp = Sipp::start(port, &arguments, |_| scenario::register(name, password, expires_s));
    sipp.succeeded()
}

/// A SIPp process with its scenario, audio and logs in a folder of its own; ends on drop.
pub(crate) struct Sipp {
    folder: TempDir,
    child: Child,
}

impl Sipp {
    /// Starts SIPp on `port` with the scenario that `make` writes for an audio file.
    pub(crate) fn start(port: u16, arguments: &[String], make: impl FnOnce(&str) -> String) -> Self {
        let folder = tempfile::Builder::new().prefix("sipp").tempdir().unwrap();
        let audio = folder.path().join("tone.ul");
        std::fs::write(&audio, tone()).unwrap();
        let file = folder.path().join("scenario.xml");
        std::fs::write(&file, make(&audio.to_string_lossy())).unwrap();
        let (media, [control]) = (ports::media(), ports::free());
        let output = std::fs::File::create(folder.path().join("screen")).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "sipp", "-sf"])
            .arg(&file)
            .args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin", "-trace_logs", "-trace_err"])
            .args(["-log_file", "log", "-error_file", "errors"])
            .args(["-p", &port.to_string(), "-mp", &media.to_string(), "-cp", &control.to_string()])
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output)
            .spawn()
            .expect("SIPp cannot be started: run scripts/lab-install");
        Self { folder, child }
    }

    /// The lines its scenario logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        read(&self.path("log")).lines().map(str::to_owned).collect()
    }

    /// What went wrong, in SIPp's words; empty when nothing did.
    pub(crate) fn errors(&self) -> String {
        read(&self.path("errors"))
    }

    /// Waits for the end of its calls; whether all went as the scenario says.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    /// Waits for the end of its calls.
    pub(crate) fn wait(&mut self) {
        self.child.wait().unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- SIPp\n{}\n{}", self.log().join("\n"), self.errors());
            println!("{}", read(&self.path("screen")).lines().take(5).collect::<Vec<_>>().join("\n"));
        }
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// A 500 Hz square wave: loud enough for voicemail's silence detection.
fn tone() -> Vec<u8> {
    (0..SECOND).map(|sample| if sample / 8 % 2 == 0 { 0x10 } else { 0x90 }).collect()
}
