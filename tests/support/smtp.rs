//! A mail server for tests: takes what comes, or says that it can't now, and keeps the mails.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::wait;

/// One mail as it came.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    /// To whom, as the envelope says.
    pub(crate) to: String,
    /// Head and body.
    pub(crate) text: String,
}

#[derive(Default)]
struct Shared {
    mails: Mutex<Vec<Mail>>,
    refusals: AtomicUsize,
}

/// A server on a loopback port; its thread ends with the test's process.
pub(crate) struct Sink {
    shared: Arc<Shared>,
}

impl Sink {
    /// Listens at an address; the first `refusals` mails are told to come again later.
    pub(crate) fn start(address: SocketAddr, refusals: usize) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let shared = Arc::new(Shared { refusals: AtomicUsize::new(refusals), ..Shared::default() });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                // A client that breaks off has sent no mail.
                std::thread::spawn(move || drop(talk(&shared, &stream)));
            }
        });
        Self { shared }
    }

    /// The mails so far.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.shared.mails.lock().unwrap().clone()
    }

    /// Waits for so many.
    pub(crate) fn wait(&self, count: usize) -> Vec<Mail> {
        wait::until("mail", || Some(self.mails()).filter(|mails| mails.len() >= count))
    }
}

fn talk(shared: &Shared, stream: &TcpStream) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    writer.write_all(b"220 sink\r\n")?;
    let (mut line, mut to) = (String::new(), String::new());
    while {
        line.clear();
        reader.read_line(&mut line)?
    } > 0
    {
        let command = line.trim().to_ascii_uppercase();
        let answer: &[u8] = match command.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" | "HELO" => b"250 sink\r\n",
            "RCPT" => {
                to = line.trim().split_once(':').map_or("", |(_, to)| to).trim_matches(['<', '>']).to_owned();
                b"250 ok\r\n"
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n")?;
                let mut text = String::new();
                while {
                    line.clear();
                    reader.read_line(&mut line)?
                } > 0
                    && line != ".\r\n"
                {
                    text.push_str(&line);
                }
                let refused =
                    shared.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                match refused {
                    Ok(_) => b"451 later\r\n",
                    Err(_) => {
                        shared.mails.lock().unwrap().push(Mail { to: to.clone(), text });
                        b"250 taken\r\n"
                    }
                }
            }
            "QUIT" => return writer.write_all(b"221 bye\r\n"),
            _ => b"250 ok\r\n",
        };
        writer.write_all(answer)?;
    }
    Ok(())
}
