//! A scripted FastAGI service: stands in for Hookswitch so that the dialplan can be tested alone,
//! and against behaviour that the real service must never show.

use super::wait;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One AGI run: what Asterisk sent first, and the open connection.
pub(crate) struct Dialogue {
    /// The environment, line by line, without line ends.
    pub(crate) environment: Vec<String>,
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

/// What was asked in one AGI run; kept after its end.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The environment, line by line, without line ends.
    pub(crate) environment: Vec<String>,
}

/// The scripted service; stops accepting on drop of the process only.
pub(crate) struct FakeAgi {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeAgi {
    /// Runs `answer` for each AGI run, each on a thread of its own.
    pub(crate) fn start(answer: impl Fn(&mut Dialogue) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                std::thread::spawn(move || {
                    let Ok(mut dialogue) = Dialogue::accept(stream.unwrap()) else { return };
                    seen.lock().unwrap().push(Asked { environment: dialogue.environment.clone() });
                    answer(&mut dialogue);
                });
            }
        });
        Self { address, asked }
    }

    /// Decides `route` and `internal` with these variables, hangs up at `next`, confirms `ended`.
    pub(crate) fn deciding(variables: &'static [(&'static str, &'static str)]) -> Self {
        Self::start(move |dialogue| match dialogue.script().as_str() {
            "ended" => dialogue.confirm_end(),
            "next" => dialogue.decide(&[("HS_ACTION", "hangup"), ("HS_TARGET", "17")]),
            _ => dialogue.decide(variables),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All AGI runs of `script` so far.
    pub(crate) fn asked(&self, script: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.script() == script).cloned().collect()
    }

    /// Waits for the first AGI run of `script`.
    pub(crate) fn wait_asked(&self, script: &str) -> Asked {
        wait::until(&format!("AGI run of {script}"), || self.asked(script).into_iter().next())
    }
}

/// A listener that never accepts: what a stopped process looks like from outside.
pub(crate) fn frozen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    frozen().local_addr().unwrap()
}

impl Asked {
    /// The value of an environment line such as `agi_callerid`.
    pub(crate) fn value(&self, key: &str) -> String {
        value(&self.environment, key)
    }

    /// The script's name: `agi_network_script` up to its query.
    pub(crate) fn script(&self) -> String {
        script(&self.environment)
    }

    /// The script with its query, as written in the dialplan.
    pub(crate) fn request(&self) -> String {
        self.value("agi_network_script")
    }

    /// The value of `name=` among the arguments of an `ended` run.
    pub(crate) fn fact(&self, name: &str) -> String {
        let start = format!("{name}=");
        let facts = self.environment.iter().filter(|line| line.starts_with("agi_arg_"));
        let mut values = facts.filter_map(|line| line.split_once(": ")?.1.strip_prefix(&start));
        values.next().unwrap_or_else(|| panic!("no {name}: {:?}", self.environment)).to_owned()
    }
}

impl Dialogue {
    fn accept(stream: TcpStream) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut environment = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line == "\n" {
                break;
            }
            environment.push(line.trim_end_matches('\n').to_owned());
        }
        Ok(Self { environment, reader, writer: stream })
    }

    /// The script's name: `agi_network_script` up to its query.
    pub(crate) fn script(&self) -> String {
        script(&self.environment)
    }

    /// Sends a command and returns Asterisk's answer line; empty when Asterisk is gone.
    pub(crate) fn command(&mut self, command: &str) -> String {
        self.raw(&format!("{command}\n"));
        loop {
            let mut line = String::new();
            let read = self.reader.read_line(&mut line).unwrap_or(0);
            if read == 0 || line != "HANGUP\n" {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Sends bytes that need not be a command.
    pub(crate) fn raw(&mut self, text: &str) {
        // A connection that Asterisk closed is one of the cases under test.
        let _ = self.writer.write_all(text.as_bytes());
    }

    /// Sets all variables in one round trip, as a finished decision.
    pub(crate) fn decide(&mut self, variables: &[(&str, &str)]) {
        let pairs: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.command(&format!("EXEC MSet \"{}\"", pairs.join(",")));
    }

    /// The last command of an `ended` run.
    pub(crate) fn confirm_end(&mut self) {
        self.command("SET VARIABLE HS_ENDED 1");
    }

    /// Says nothing until Asterisk closes the connection.
    pub(crate) fn stay_mute(&mut self) {
        let mut rest = Vec::new();
        // Reset or closed: either way Asterisk left.
        let _ = self.reader.read_to_end(&mut rest);
    }
}

fn value(environment: &[String], key: &str) -> String {
    let start = format!("{key}: ");
    environment.iter().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().to_owned()
}

fn script(environment: &[String]) -> String {
    value(environment, "agi_network_script").split('?').next().unwrap_or_default().to_owned()
}
