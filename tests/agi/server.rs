//! The listener under many connections, bad luck, and shutdown.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hookswitch::agi::conn::Phase;
use hookswitch::agi::server::{DrainReport, Outcome, ServerOptions};
use hookswitch::agi::{AgiError, AgiStats, Command, Conn, Reply};
use hookswitch::config::limits::agi as limits;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::peer::{Peer, Running, environment, handler, quick_options};

async fn one_command(conn: &mut Conn<TcpStream>) -> Outcome {
    let reply = conn.command(&Command::set_variable("HS_TARGET", "a").unwrap()).await;
    if matches!(reply, Ok(Reply::Ok(_))) { Outcome::Done } else { Outcome::Failed }
}

fn plain(options: ServerOptions) -> Running {
    Running::start(options, handler(|conn, _| Box::pin(one_command(conn))))
}

async fn whole_call(address: SocketAddr) {
    let mut peer = Peer::call(address).await;
    peer.expect("SET VARIABLE HS_TARGET \"a\"").await;
    peer.send(b"200 result=1\n").await;
    peer.expect_end().await;
}

/// Resident memory of this process, bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn an_endless_line_is_closed_early() {
    let server = plain(ServerOptions::default());
    let before = resident();
    let mut peer = Peer::connect(server.address).await;
    let chunk = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while sent < 64 * 1024 * 1024 && peer.try_send(&chunk).await.is_ok() {
        sent += chunk.len();
    }
    // What the kernel's buffers hold on both sides counts as sent.
    assert!(sent < 16 * 1024 * 1024, "{sent} bytes were taken");
    server.until("closed", |stats| stats.open.get() == 0).await;
    assert_eq!(server.stats.environment_invalid.get(), 1);
    assert!(resident().saturating_sub(before) < 16 * 1024 * 1024);
    whole_call(server.address).await;
    server.stop().await;
}

#[tokio::test]
async fn an_endless_answer_is_closed_early() {
    let server = plain(ServerOptions::default());
    let mut peer = Peer::call(server.address).await;
    peer.expect("SET VARIABLE HS_TARGET \"a\"").await;
    while peer.try_send(&[b'x'; 64 * 1024]).await.is_ok() {}
    server.until("closed", |stats| stats.open.get() == 0 && stats.out_of_step.get() == 1).await;
    server.stop().await;
}

#[tokio::test]
async fn a_thousand_half_open_connections_do_not_delay_calls() {
    let server = plain(ServerOptions::default());
    whole_call(server.address).await;
    let before = resident();
    let mut open = Vec::new();
    for _ in 0..1000 {
        let mut peer = Peer::connect(server.address).await;
        peer.send(b"agi_network: yes\n").await;
        open.push(peer);
    }
    server.until("all accepted", |stats| stats.open.get() >= 1000).await;
    // Both ends live in this process, so this is more than the server's share.
    let each = resident().saturating_sub(before) / 1000;
    assert!(each < 12 * 1024, "{each} bytes for a connection and its peer");
    for _ in 0..20 {
        whole_call(server.address).await;
    }
    drop(open);
    server.until("all closed", |stats| stats.open.get() == 0).await;
    server.stop().await;
}

/// AsterNET#120: one in thousands of requests got another's answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_belongs_to_its_request() {
    const SESSIONS: usize = 50;
    const COMMANDS: usize = 200;
    let server = Running::start(
        ServerOptions::default(),
        handler(|conn, environment| {
            let own = environment.lossy("uniqueid");
            Box::pin(async move {
                for number in 0..COMMANDS {
                    let name = format!("V_{own}_{number}");
                    let reply = conn.command(&Command::get_variable(&name).unwrap()).await;
                    let value = reply.unwrap().ok().unwrap().into_value();
                    assert_eq!(value, Some(format!("{name}-value").into_bytes()));
                }
                Outcome::Done
            })
        }),
    );
    let mut sessions = JoinSet::new();
    for session in 0..SESSIONS {
        let address = server.address;
        sessions.spawn(async move {
            let mut peer = Peer::connect(address).await;
            peer.send(&environment(&[("uniqueid", session.to_string().as_bytes())])).await;
            for number in 0..COMMANDS {
                let line = String::from_utf8(peer.line().await.expect("a command")).unwrap();
                let name = line.strip_prefix("GET VARIABLE ").expect(&line);
                assert_eq!(name, format!("V_{session}_{number}"));
                let hangup = if (session + number).is_multiple_of(7) { "HANGUP\n" } else { "" };
                let answer = format!("{hangup}200 result=1 ({name}-value)\n");
                let (front, back) = answer.as_bytes().split_at(number % answer.len());
                peer.send(front).await;
                peer.send(back).await;
            }
            peer.expect_end().await;
        });
    }
    while let Some(done) = sessions.join_next().await {
        done.unwrap();
    }
    assert_eq!(server.stats.answers.get(), (SESSIONS * COMMANDS) as u64);
    assert_eq!((server.stats.panics.get(), server.stats.stray_lines.get()), (0, 0));
    assert_eq!(server.stop().await.aborted, 0);
}

/// asterisk-java#274: a read time-out of the library cut sessions with a long Dial.
#[tokio::test]
async fn a_long_dial_outlives_the_deadline() {
    let server = Running::start(
        quick_options(100),
        handler(|conn, _| {
            Box::pin(async move {
                let reply = conn.command(&Command::exec("Dial", Some("PJSIP/101,60")).unwrap()).await;
                assert!(matches!(reply, Ok(Reply::Ok(answer)) if answer.is(-1)));
                one_command(conn).await
            })
        }),
    );
    let mut dial = Peer::call(server.address).await;
    dial.expect("EXEC Dial \"PJSIP/101,60\"").await;
    // Five silent connections one after the other run into the deadline of 100 ms meanwhile.
    for _ in 0..5 {
        Peer::connect(server.address).await.expect_end().await;
    }
    assert_eq!(server.stats.timeout_environment.get(), 5);
    dial.send(b"200 result=-1\n").await;
    dial.expect("SET VARIABLE HS_TARGET \"a\"").await;
    dial.send(b"200 result=1\n").await;
    dial.expect_end().await;
    server.stop().await;
}

/// A command whose future was dropped leaves its answer in the stream: nothing may be sent after it.
#[tokio::test]
async fn a_dropped_command_ends_the_session() {
    let server = Running::start(
        ServerOptions::default(),
        handler(|conn, _| {
            Box::pin(async move {
                let slow = Command::stream_file("long", "", None).unwrap();
                let cut = tokio::time::timeout(Duration::from_millis(50), conn.command(&slow)).await;
                assert!(cut.is_err());
                let next = conn.command(&Command::noop(None).unwrap()).await;
                assert!(matches!(next, Err(AgiError::OutOfStep)));
                Outcome::Failed
            })
        }),
    );
    let mut peer = Peer::call(server.address).await;
    peer.expect("STREAM FILE \"long\" \"\"").await;
    peer.expect("failure").await;
    peer.expect_end().await;
    assert_eq!(server.stats.panics.get(), 0);
    server.stop().await;
}

/// pystrix#5, PR#68: the server closed before Asterisk wrote its last HANGUP, and one side got a broken pipe.
#[tokio::test]
async fn the_last_hangup_meets_no_reset() {
    let server = plain(ServerOptions::default());
    let mut peer = Peer::call(server.address).await;
    peer.expect("SET VARIABLE HS_TARGET \"a\"").await;
    peer.send(b"200 result=1\n").await;
    // The server has sent its end, and still takes what Asterisk writes.
    peer.expect_end().await;
    peer.send(b"HANGUP\n").await;
    peer.send(b"HANGUP\n").await;
    drop(peer);
    server.until("closed", |stats| stats.open.get() == 0 && stats.hangups.get() == 1).await;
    assert_eq!(server.stats.broken.get(), 0);
    server.stop().await;
}

/// asterisk-java#175: a full pool let calls wait in silence.
#[tokio::test]
async fn over_the_limit_is_refused_visibly() {
    let server = plain(ServerOptions { max_connections: 2, ..ServerOptions::default() });
    let (mut first, second) = (Peer::call(server.address).await, Peer::connect(server.address).await);
    first.expect("SET VARIABLE HS_TARGET \"a\"").await;
    server.until("two open", |stats| stats.open.get() == 2).await;
    let mut third = Peer::call(server.address).await;
    third.expect("failure").await;
    third.expect_end().await;
    drop((second, third));
    server.until("one open", |stats| stats.open.get() == 1).await;
    assert_eq!((server.stats.refused_limit.get(), server.stats.accepted.get()), (1, 2));
    whole_call(server.address).await;
    first.send(b"200 result=1\n").await;
    first.expect_end().await;
    server.stop().await;
}

#[tokio::test]
async fn an_address_that_is_not_allowed_gets_nothing() {
    let server =
        plain(ServerOptions { allow: vec!["192.0.2.0/24".parse().unwrap()], ..ServerOptions::default() });
    Peer::connect(server.address).await.expect_end().await;
    server.until("counted", |stats| stats.refused_address.get() == 1).await;
    assert_eq!((server.stats.accepted.get(), server.stats.open.get()), (0, 0));
    server.stop().await;
}

#[tokio::test]
async fn shutdown_lets_running_calls_finish() {
    let server = plain(ServerOptions::default());
    let mut peer = Peer::call(server.address).await;
    peer.expect("SET VARIABLE HS_TARGET \"a\"").await;
    server.begin_stop();
    let refused = async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::peer::PATIENCE, refused).await.expect("no new calls");
    peer.send(b"200 result=1\n").await;
    peer.expect_end().await;
    drop(peer);
    assert_eq!(server.stop().await.aborted, 0);
}

#[tokio::test]
async fn shutdown_cuts_off_what_does_not_end() {
    let server = plain(ServerOptions { drain: Duration::from_millis(100), ..ServerOptions::default() });
    let mut peer = Peer::call(server.address).await;
    peer.expect("SET VARIABLE HS_TARGET \"a\"").await;
    let stats = std::sync::Arc::clone(&server.stats);
    assert_eq!(server.stop().await, DrainReport { finished: 0, aborted: 1 });
    assert_eq!((stats.open.get(), stats.aborted.get()), (0, 1));
    peer.expect_end().await;
}

/// A peer that does not read: the command waits in the socket, then the session ends.
#[tokio::test]
async fn a_peer_that_does_not_read_is_dropped() {
    use tokio::io::AsyncWriteExt;
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let stats = std::sync::Arc::<AgiStats>::default();
    let mut conn = Conn::new(ours, quick_options(100).timeouts, std::sync::Arc::clone(&stats));
    let (environment, _) = tokio::join!(conn.environment(), async {
        theirs.write_all(&environment(&[])).await.unwrap();
    });
    assert_eq!(environment.unwrap().script(), b"route");
    let long = Command::set_variable("A", &"x".repeat(1500)).unwrap();
    assert!(matches!(conn.command(&long).await, Err(AgiError::Timeout(Phase::Write))));
    assert!(matches!(conn.command(&long).await, Err(AgiError::OutOfStep)));
    assert_eq!(stats.timeout_write.get(), 1);
}

#[tokio::test]
async fn an_idle_session_is_small() {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (mut theirs_read, mut theirs_write) = tokio::io::split(theirs);
    let mut conn = Conn::new(ours, quick_options(2_000).timeouts, std::sync::Arc::default());
    let long = "y".repeat(40_000);
    let feed = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        theirs_write.write_all(&environment(&[])).await.unwrap();
        for value in [long.as_str(), "z"] {
            let mut byte = [0];
            while byte != [b'\n'] {
                theirs_read.read_exact(&mut byte).await.unwrap();
            }
            theirs_write.write_all(format!("200 result=1 ({value})\n").as_bytes()).await.unwrap();
        }
    };
    let session = async {
        let environment = conn.environment().await.unwrap();
        assert!(environment.get("channel").is_some());
        for length in [long.len(), 1] {
            let reply = conn.command(&Command::get_full_variable("${X}", None).unwrap()).await.unwrap();
            assert_eq!(reply.ok().unwrap().into_value().unwrap().len(), length);
        }
        assert!(conn.heap_bytes() <= limits::READ_BYTES, "{} bytes", conn.heap_bytes());
        assert!(size_of_val(&conn) < 512, "{} bytes", size_of_val(&conn));
    };
    tokio::join!(feed, session);
}

/// Runs this test binary again with few file descriptors: one test, marked as ignored, as the child.
#[test]
fn running_out_of_descriptors_is_survived() {
    let child = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "server::child_with_64_descriptors", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&child.stderr)
    );
}

#[tokio::test]
#[ignore = "needs a limit of 64 descriptors: run by running_out_of_descriptors_is_survived"]
async fn child_with_64_descriptors() {
    let used = std::fs::read_dir(Path::new("/proc/self/fd")).unwrap().count();
    assert!(used < 64);
    let server = plain(ServerOptions::default());
    let mut open = Vec::new();
    // Client and server share the 64: the server's half runs out while clients wait in the accept queue.
    while let Ok(stream) = TcpStream::connect(server.address).await {
        open.push(stream);
        assert!(open.len() < 64, "the limit is not in force");
        if open.len().is_multiple_of(8) {
            tokio::task::yield_now().await;
        }
    }
    server.until("accept fails", |stats| stats.accept_errors.get() > 2).await;
    drop(open);
    whole_call(server.address).await;
    server.until("all closed", |stats| stats.open.get() == 0).await;
    server.stop().await;
}
