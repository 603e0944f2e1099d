//! Reads and runs one file of the conformance corpus; `tests/fixtures/agi/README.md` tells the format.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookswitch::agi::catalogue::Record;
use hookswitch::agi::conn::Phase;
use hookswitch::agi::frame::FrameError;
use hookswitch::agi::fuzz::asterisk_words;
use hookswitch::agi::server::Outcome;
use hookswitch::agi::{AgiError, AgiStats, Command, CommandError, Conn, EnvError, Environment, Reply};
use tokio::net::TcpStream;

use crate::peer::{Peer, Running, environment, handler, quick_options};

#[derive(Debug, Clone)]
enum Step {
    Send(Vec<u8>),
    Words(Vec<u8>),
    Exact(Vec<u8>),
    End,
    Close,
    Reset,
}

#[derive(Debug, Clone)]
enum Act {
    Command(Vec<String>),
    Check(String),
    Wait,
    Finish(&'static str),
}

#[derive(Debug, Default)]
pub(crate) struct Case {
    steps: Vec<Step>,
    acts: VecDeque<Act>,
    expected: Vec<String>,
    stats: Vec<(String, u64)>,
    ms: u64,
    bytewise: bool,
    no_call: bool,
}

/// `\n \r \t \0 \xHH \\` to bytes.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            Some(b'\\') => b'\\',
            other => panic!("escape {other:?} in {text}"),
        });
    }
    bytes
}

impl Case {
    pub(crate) fn parse(text: &str) -> Self {
        let mut case = Self { ms: 2_000, ..Self::default() };
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let (tag, rest) = line.split_once(' ').unwrap_or((line, ""));
            match tag {
                "<A" => case.steps.push(Step::Send([unescape(rest), b"\n".to_vec()].concat())),
                "<A-" => case.steps.push(Step::Send(unescape(rest))),
                "<ENV" => case.steps.push(Step::Send(Self::environment(rest))),
                "S>" => case.steps.push(Step::Words(rest.into())),
                "S=" => case.steps.push(Step::Exact(unescape(rest))),
                "S.END" => case.steps.push(Step::End),
                "A.CLOSE" => case.steps.push(Step::Close),
                "A.RESET" => case.steps.push(Step::Reset),
                "H>" => case.acts.push_back(Act::Command(words(rest))),
                "H?" => case.acts.push_back(Act::Check(rest.to_owned())),
                "H.WAIT" => case.acts.push_back(Act::Wait),
                "H.FAIL" => case.acts.push_back(Act::Finish("fail")),
                "H.PANIC" => case.acts.push_back(Act::Finish("panic")),
                "H<" => case.expected.push(rest.to_owned()),
                "@stat" => {
                    let (name, value) = rest.split_once('=').unwrap();
                    case.stats.push((name.to_owned(), value.parse().unwrap()));
                }
                "@ms" => case.ms = rest.parse().unwrap(),
                "@bytewise" => case.bytewise = true,
                "@no-call" => case.no_call = true,
                other => panic!("unknown tag {other}"),
            }
        }
        case
    }

    fn environment(text: &str) -> Vec<u8> {
        let pairs: Vec<_> = text.split(" | ").filter_map(|pair| pair.split_once('=')).collect();
        let values: Vec<_> = pairs.iter().map(|(key, value)| (*key, unescape(value))).collect();
        environment(&values.iter().map(|(key, value)| (*key, value.as_slice())).collect::<Vec<_>>())
    }

    pub(crate) async fn run(self) {
        let log = Arc::new(Mutex::new(Vec::new()));
        let called = Arc::new(Mutex::new(false));
        let (acts, kept, seen) = (Mutex::new(Some(self.acts.clone())), Arc::clone(&log), Arc::clone(&called));
        // The first connection is the case; every later one is an ordinary call.
        let server = Running::start(
            quick_options(self.ms),
            handler(move |conn, environment| {
                let acts = acts.lock().unwrap().take();
                let (log, seen) = (Arc::clone(&kept), Arc::clone(&seen));
                Box::pin(async move {
                    match acts {
                        Some(acts) if environment.script() != b"next" => {
                            *seen.lock().unwrap() = true;
                            perform(acts, conn, environment, &log).await
                        }
                        _ => ordinary(conn).await,
                    }
                })
            }),
        );
        let mut peer = Some(Peer::connect(server.address).await);
        for step in &self.steps {
            self.step(step, &mut peer).await;
        }
        drop(peer);
        server.until("all sessions end", |stats| stats.open.get() == 0).await;
        assert_eq!(*called.lock().unwrap(), !self.no_call, "the handler was called");
        assert_eq!(*log.lock().unwrap(), self.expected, "what the handler saw");
        for (name, value) in &self.stats {
            assert_eq!(stat(&server.stats, name), *value, "{name}");
        }
        next_call(&server).await;
        server.stop().await;
    }

    async fn step(&self, step: &Step, peer: &mut Option<Peer>) {
        match step {
            Step::Close => *peer = None,
            Step::Reset => peer.take().unwrap().reset(),
            Step::Send(bytes) if self.bytewise => {
                for byte in bytes {
                    peer.as_mut().unwrap().send(&[*byte]).await;
                }
            }
            Step::Send(bytes) => peer.as_mut().unwrap().send(bytes).await,
            Step::Words(line) => {
                let got = peer.as_mut().unwrap().line().await.unwrap_or_else(|| b"(end)".to_vec());
                assert_eq!(show(&asterisk_words(&got)), show(&asterisk_words(line)));
            }
            Step::Exact(line) => {
                let got = peer.as_mut().unwrap().line().await.unwrap_or_else(|| b"(end)".to_vec());
                assert_eq!(got.escape_ascii().to_string(), line.escape_ascii().to_string());
            }
            Step::End => peer.as_mut().unwrap().expect_end().await,
        }
        // A peer that can't take pipelining: nothing may come before the answer.
        if let (Step::Words(_) | Step::Exact(_), Some(peer)) = (step, peer) {
            assert!(peer.is_quiet().await, "bytes before the answer");
        }
    }
}

fn show(words: &[Vec<u8>]) -> Vec<String> {
    words.iter().map(|word| word.escape_ascii().to_string()).collect()
}

/// Words of a handler's command, split as Asterisk would; escapes in doubled backslashes stay.
fn words(text: &str) -> Vec<String> {
    asterisk_words(text.as_bytes()).into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
}

/// After any odd caller the next one is served.
async fn next_call(server: &Running) {
    let mut peer = Peer::connect(server.address).await;
    peer.send(&environment(&[("network_script", b"next")])).await;
    peer.expect("SET VARIABLE NEXT \"ok\"").await;
    peer.send(b"200 result=1\n").await;
    peer.expect_end().await;
}

async fn ordinary(conn: &mut Conn<TcpStream>) -> Outcome {
    let reply = conn.command(&Command::set_variable("NEXT", "ok").unwrap()).await;
    assert!(matches!(reply, Ok(Reply::Ok(answer)) if answer.is(1)));
    Outcome::Done
}

async fn perform(
    acts: VecDeque<Act>,
    conn: &mut Conn<TcpStream>,
    environment: &Environment,
    log: &Mutex<Vec<String>>,
) -> Outcome {
    let note = |text: String| log.lock().unwrap().push(text);
    for act in acts {
        match act {
            Act::Command(words) => match build(&words) {
                Ok(command) => note(told(conn.command(&command).await)),
                Err(error) => note(format!("refused {error:?}")),
            },
            Act::Check(what) => note(match what.as_str() {
                "hung_up" => format!("hung_up={}", conn.hung_up()),
                "script" => environment.script().escape_ascii().to_string(),
                key => match key.strip_prefix('?') {
                    Some(name) => option(environment.query(name)),
                    None => option(environment.get(key)),
                },
            }),
            Act::Wait => note(match conn.hangup().await {
                Ok(()) => "hang-up".to_owned(),
                Err(error) => told(Err(error)),
            }),
            Act::Finish("panic") => panic!("as the case asks"),
            Act::Finish(_) => return Outcome::Failed,
        }
    }
    Outcome::Done
}

fn option(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("={}", value.escape_ascii()))
}

fn build(words: &[String]) -> Result<Command, CommandError> {
    let plain: Vec<String> = words.iter().map(|w| w.replace("<LF>", "\n").replace("<NUL>", "\0")).collect();
    let text: Vec<&str> = plain.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().unwrap();
    match text.as_slice() {
        ["ANSWER"] => Command::answer(),
        ["CHANNEL", "STATUS", rest @ ..] => Command::channel_status(rest.first().copied()),
        ["CONTROL", "STREAM", "FILE", file, digits] => Command::control_stream_file(file, digits, None),
        ["DATABASE", "GET", family, key] => Command::database_get(family, key),
        ["DATABASE", "PUT", family, key, value] => Command::database_put(family, key, value),
        ["DATABASE", "DEL", family, key] => Command::database_del(family, key),
        ["DATABASE", "DELTREE", family] => Command::database_deltree(family, None),
        ["EXEC", app] => Command::exec(app, None),
        ["EXEC", app, arguments] => Command::exec(app, Some(arguments)),
        ["FRAMED", expression, token] => Command::get_framed(expression, token),
        ["GET", "DATA", file] => Command::get_data(file, None, None),
        ["GET", "DATA", file, ms, max] => Command::get_data(file, Some(number(ms)), Some(number(max))),
        ["GET", "FULL", "VARIABLE", text, rest @ ..] => {
            Command::get_full_variable(text, rest.first().copied())
        }
        ["GET", "OPTION", file, digits, ms] => Command::get_option(file, digits, Some(number(ms))),
        ["GET", "VARIABLE", name] => Command::get_variable(name),
        ["GOSUB", context, extension, priority, rest @ ..] => {
            Command::gosub(context, extension, priority, rest.first().copied())
        }
        ["HANGUP"] => Command::hangup(None),
        ["NOOP"] => Command::noop(None),
        ["NOOP", text] => Command::noop(Some(text)),
        ["RECORD", "FILE", file, format, digits, ms, rest @ ..] => Command::record_file(Record {
            file,
            format,
            digits,
            timeout_ms: Some(number(ms)),
            offset: rest.first().and_then(|text| text.parse().ok()),
            beep: rest.contains(&"BEEP"),
            silence_s: rest.last().and_then(|text| text.strip_prefix("s=")?.parse().ok()),
        }),
        ["SAY", "ALPHA", text, digits] => Command::say_alpha(text, digits),
        ["SAY", "DIGITS", text, digits] => Command::say_digits(text, digits),
        ["SAY", "NUMBER", value, digits] => Command::say_number(value.parse().unwrap(), digits, None),
        ["SAY", "TIME", unix, digits] => Command::say_time(unix.parse().unwrap(), digits),
        ["SAY", "DATETIME", unix, digits, format] => {
            Command::say_datetime(unix.parse().unwrap(), digits, Some(format), None)
        }
        ["SEND", "TEXT", text] => Command::send_text(text),
        ["SET", "AUTOHANGUP", seconds] => Command::set_autohangup(number(seconds)),
        ["SET", "CALLERID", text] => Command::set_callerid(text),
        ["SET", "CONTEXT", text] => Command::set_context(text),
        ["SET", "EXTENSION", text] => Command::set_extension(text),
        ["SET", "MUSIC", on, rest @ ..] => Command::set_music(*on == "on", rest.first().copied()),
        ["SET", "PRIORITY", text] => Command::set_priority(text),
        ["SET", "VARIABLE", name, value] => Command::set_variable(name, value),
        ["SPEECH", "CREATE", engine] => Command::speech_create(engine),
        ["SPEECH", "RECOGNIZE", prompt, ms] => Command::speech_recognize(prompt, number(ms), None),
        ["STREAM", "FILE", file, digits, rest @ ..] => {
            Command::stream_file(file, digits, rest.first().map(|offset| number(offset)))
        }
        ["TDD", "MODE", mode] => Command::tdd_mode(mode),
        ["VERBOSE", text, level] => Command::verbose(text, level.parse().unwrap()),
        ["WAIT", "FOR", "DIGIT", ms] => Command::wait_for_digit(ms.parse().ok()),
        other => panic!("no such command in the cases: {other:?}"),
    }
}

/// A result as the cases write it.
fn told(result: Result<Reply, AgiError>) -> String {
    match result {
        Ok(Reply::Ok(answer)) => {
            let mut text = format!("ok {}", answer.result.escape_ascii());
            if let Some(value) = &answer.value {
                text += &format!(" ({})", value.escape_ascii());
            }
            if !answer.rest.is_empty() {
                text += &format!(" {}", answer.rest.escape_ascii());
            }
            text
        }
        Ok(Reply::Unknown) => "unknown".into(),
        Ok(Reply::Dead) => "dead".into(),
        Ok(Reply::Usage(text)) => format!("usage {}", text.escape_ascii()).trim_end().to_owned(),
        Ok(Reply::Other(code, text)) => format!("other {code} {}", text.escape_ascii()),
        Err(AgiError::HungUp) => "error hung up".into(),
        Err(AgiError::Closed) => "error closed".into(),
        Err(AgiError::Io(_)) => "error broken".into(),
        Err(AgiError::Timeout(Phase::Answer)) => "error no answer".into(),
        Err(AgiError::Timeout(phase)) => format!("error timeout {phase:?}"),
        Err(AgiError::Environment(EnvError::Forged { .. }) | AgiError::Frame(FrameError::Forged)) => {
            "error forged".into()
        }
        Err(AgiError::Environment(EnvError::TooLarge) | AgiError::Frame(FrameError::TooLong)) => {
            "error too long".into()
        }
        Err(AgiError::OutOfStep | AgiError::Frame(FrameError::OutOfStep)) => "error out of step".into(),
    }
}

fn stat(stats: &AgiStats, name: &str) -> u64 {
    match name {
        "stray_lines" => stats.stray_lines.get(),
        "hangups" => stats.hangups.get(),
        "panics" => stats.panics.get(),
        "answers" => stats.answers.get(),
        "out_of_step" => stats.out_of_step.get(),
        "broken" => stats.broken.get(),
        "environment_cut" => stats.environment_cut.get(),
        "environment_forged" => stats.environment_forged.get(),
        "environment_invalid" => stats.environment_invalid.get(),
        "timeout_environment" => stats.timeout_environment.get(),
        "timeout_answer" => stats.timeout_answer.get(),
        other => panic!("no such counter in the cases: {other}"),
    }
}

/// Longest run of one case.
pub(crate) const CASE_TIME: Duration = Duration::from_secs(60);
