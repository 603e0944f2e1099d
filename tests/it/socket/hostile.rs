//! What no honest client does, and clients that are gone.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::{Client, Live};
use crate::support::{both_databases, eventually};

/// The answer to a request's text.
async fn http(live: &Live, head: &str) -> String {
    let mut stream = TcpStream::connect(live.address).await.unwrap();
    stream.write_all(format!("{head}\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

both_databases! {
    /// Garbage is answered by name or closes with the code of its kind.
    async fn garbage_is_told_apart(test) {
        let live = Live::new(test).await;
        let admin = live.admin().await;
        for text in ["", "\0", "}{", "[[[[[[[[", "{\"op\":\"ping\"", "null"] {
            let mut client = live.enter(&admin).await;
            client.raw(Message::text(text)).await;
            assert_eq!(client.next().await["op"], "error", "{text}");
            assert!(client.is_quiet().await);
        }
        let frame = |opcode, bytes: Vec<u8>, is_last| Message::Frame(Frame::message(bytes, OpCode::Data(opcode), is_last));
        for (message, code) in [
            (Message::binary(vec![0; 10]), 1003),
            (Message::text("x".repeat(8 * 1024 + 1)), 1009),
            (frame(Data::Text, vec![0xff, 0xfe], true), 1007),
            (frame(Data::Continue, b"x".to_vec(), true), 1002),
        ] {
            let mut client = live.enter(&admin).await;
            client.raw(message).await;
            assert_eq!(client.closed().await.0, code);
        }
        // Together too large, though each part is not.
        let mut client = live.enter(&admin).await;
        for n in 0..3 {
            client.raw(frame(if n == 0 { Data::Text } else { Data::Continue }, vec![b'x'; 4_000], false)).await;
        }
        assert_eq!(client.closed().await, (1009, "frame-too-large".into()));
        // Announced as larger than memory.
        let mut client = live.enter(&admin).await;
        client.socket.get_mut().write_all(&[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]).await.unwrap();
        assert_eq!(client.closed().await, (1009, "frame-too-large".into()));
        // Not masked.
        let mut client = live.enter(&admin).await;
        client.socket.get_mut().write_all(&[0x81, 0x02, b'{', b'}']).await.unwrap();
        assert_eq!(client.closed().await, (1002, "protocol-error".into()));
        let mut client = live.listen(&admin, &["*"]).await;
        live.tag(&admin, "still here").await;
        assert_eq!(client.event().await["data"]["name"], "still here");
        live.stop().await;
    }

    /// More frames than anybody needs.
    async fn a_flood_is_closed(test) {
        let live = Live::with(test, |options| options.check_time = Duration::from_secs(60)).await;
        let mut client = live.enter(&live.admin().await).await;
        for _ in 0..51 {
            client.send(json!({"op": "ping"})).await;
        }
        assert_eq!(client.closed().await, (4432, "too-many-frames".into()));
        live.stop().await;
    }

    /// A client that is silent is asked whether it lives; one that does not answer is given up.
    async fn a_dead_client_is_given_up(test) {
        let live = Live::with(test, |options| options.check_time = Duration::from_millis(10)).await;
        let (mut alive, dead) = (live.enter(&live.admin().await).await, live.enter(&live.admin().await).await);
        let mut pings = 0;
        while pings < 5 {
            // Reading answers.
            if let Message::Ping(_) = alive.socket.next().await.unwrap().unwrap() {
                pings += 1;
            }
        }
        eventually("one to be given up", async || (live.app.gate.routing.metrics.sockets.open.get() == 1).then_some(())).await;
        assert!(alive.is_quiet().await);
        drop(dead);
        let rows = "SELECT COUNT(*) FROM websocket_sessions WHERE close_code = 1006 AND close_reason = 'ping-timeout'";
        eventually("its row", async || (live.app.test.number(rows).await == 1).then_some(())).await;
        live.stop().await;
    }

    /// What is no WebSocket, and what has no place.
    async fn what_can_not_become_a_socket_is_a_problem(test) {
        let live = Live::with(test, |options| options.places = 2).await;
        let plain = http(&live, "GET /ws/v1 HTTP/1.1").await;
        assert!(plain.starts_with("HTTP/1.1 426") && plain.contains("upgrade: websocket") && plain.contains("upgrade-required"), "{plain}");
        assert!(http(&live, "POST /ws/v1 HTTP/1.1").await.starts_with("HTTP/1.1 405"));
        let (one, _two) = (live.connect().await, live.connect().await);
        let stream = TcpStream::connect(live.address).await.unwrap();
        let refused = tokio_tungstenite::client_async("ws://localhost/ws/v1", stream).await.unwrap_err();
        assert!(matches!(&refused, tokio_tungstenite::tungstenite::Error::Http(answer) if answer.status() == 503), "{refused}");
        drop(one);
        eventually("a place", async || {
            let stream = TcpStream::connect(live.address).await.unwrap();
            tokio_tungstenite::client_async("ws://localhost/ws/v1", stream).await.ok()
        }).await;
        live.stop().await;
    }
}

/// Sockets have places of their own: more of them than HTTP takes connections, and REST still answers.
#[test]
fn sockets_do_not_use_up_the_places_of_http() {
    hookswitch::base::descriptors::raise_limit();
    crate::support::run(
        crate::support::Kind::Sqlite,
        async |test: std::sync::Arc<crate::support::TestDb>| {
            let live = Live::with(test, |options| options.auth_time = Duration::from_secs(300)).await;
            let mut open = Vec::new();
            for _ in 0..hookswitch::config::limits::http::CONNECTIONS + 10 {
                open.push(Client::over(TcpStream::connect(live.address).await.unwrap()).await);
            }
            assert_eq!(live.sockets.open(), open.len());
            assert!(http(&live, "GET /api/openapi.json HTTP/1.1").await.starts_with("HTTP/1.1 200"));
            live.stop().await;
            for client in &mut open {
                assert_eq!(client.closed().await, (1001, "server-stopping".into()));
            }
        },
    );
}
