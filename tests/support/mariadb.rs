//! A MariaDB server of a test's own, which the test may freeze and kill; stopped and removed on drop.

use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// The server.
pub(crate) struct MariaDb {
    folder: TempDir,
    url: String,
}

impl MariaDb {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When MariaDB is not installed (run `scripts/lab-install`) or does not come up.
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("hs-db").tempdir().unwrap();
        let mut server = Self { folder, url: String::new() };
        server.start_again();
        server
    }

    /// Starts it once more, on its port and data.
    pub(crate) fn start_again(&mut self) {
        self.url = self.script("start");
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Stops its clockwork (SIGSTOP): connections stay open, nothing answers.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Ends it at once (SIGKILL).
    pub(crate) fn kill(&self) {
        self.signal("KILL");
        let folder = format!("/proc/{}/exe", self.pid());
        super::wait::until("MariaDB to be gone", || std::fs::read_link(&folder).is_err().then_some(()));
    }

    fn pid(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("pid")).unwrap().trim().to_owned()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.pid()]).status().unwrap().success());
    }

    fn script(&self, command: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/mariadb");
        let output = Command::new(script).arg(command).arg(self.folder.path()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "scripts/mariadb {command}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        // A frozen one would not hear that it should stop.
        let _ = Command::new("kill").args(["-s", "CONT", &self.pid()]).output();
        self.script("stop");
    }
}
