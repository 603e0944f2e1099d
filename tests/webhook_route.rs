//! The route type `webhook` against real servers on the loopback: budget, second URL, answers, signatures.

#![expect(clippy::unwrap_used, reason = "a test file")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use hookswitch::outgoing::{Client, Guard};
use hookswitch::routing::webhook::{
    Asked, WebhookAction, WebhookAnswer, WebhookCall, WebhookCaller, WebhookRoute, ask,
};
use hookswitch::webhooks::sign;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const QUEUE: &str = r#"{"action":"queue","target":"support","timeout":30,"message":"hello","more":[1]}"#;

type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A server that answers every request with a status and a body; what came is kept.
async fn server(status: StatusCode, body: &'static str) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    let app = Router::new().route(
        "/hook",
        post(move |headers: HeaderMap, bytes: Bytes| async move {
            kept.lock().unwrap().push((headers, bytes));
            (status, [(header::LOCATION, "http://127.0.0.1:1/")], body).into_response()
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, seen)
}

/// A server that accepts and never answers.
async fn silent() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), listener)
}

async fn unused() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn route(first: SocketAddr, second: Option<SocketAddr>, timeout_ms: u32) -> WebhookRoute {
    let second = second.map(|address| format!("http://{address}/hook"));
    let value = json!({"url": format!("http://{first}/hook"), "second_url": second, "secret": SECRET, "timeout_ms": timeout_ms});
    serde_json::from_value(value).unwrap()
}

fn now() -> DateTime<Utc> {
    "2026-11-23T04:05:06.123456Z".parse().unwrap()
}

async fn put(route: &WebhookRoute) -> Asked {
    let call = WebhookCall {
        call_id: "call_1",
        tenant_id: "ten_1",
        did: "+15550001003",
        caller: WebhookCaller { number: Some("+15557770001"), name: None },
        language: "en",
        at: now(),
        uniqueid: "1700000000.1",
        linkedid: "1700000000.0",
    };
    let client = Client::new(Guard::parse("127.0.0.0/8").unwrap()).unwrap();
    ask(&client, route, "msg_1", &call, now()).await
}

fn codes(asked: &Asked) -> Vec<Option<&'static str>> {
    asked.attempts.iter().map(|attempt| attempt.error.as_ref().map(|error| error.code())).collect()
}

#[tokio::test]
async fn a_signed_question_and_its_answer() {
    let (address, seen) = server(StatusCode::OK, QUEUE).await;
    let asked = put(&route(address, None, 2_000)).await;
    let expected = WebhookAnswer {
        action: WebhookAction::Queue,
        target: "support".into(),
        timeout_s: Some(30),
        options: String::new(),
        message: "hello".into(),
    };
    assert_eq!(asked.answer, Ok(expected));
    assert_eq!(asked.attempts[0].authority, address.to_string());
    let (headers, body) = seen.lock().unwrap().pop().unwrap();
    let header = |name: &str| headers[name].to_str().unwrap();
    let (id, time) = (header(sign::HEADER_ID), header(sign::HEADER_TIMESTAMP));
    let secrets = [SECRET.parse().unwrap()];
    assert_eq!(sign::verify(&secrets, id, time, header(sign::HEADER_SIGNATURE), &body, now()), Ok(()));
    assert_eq!((id, header("content-type")), ("msg_1", "application/json"));
    let sent = json!({
        "call_id": "call_1", "tenant_id": "ten_1", "did": "+15550001003",
        "caller": {"number": "+15557770001", "name": null}, "language": "en",
        "at": "2026-11-23T04:05:06.123456Z", "uniqueid": "1700000000.1", "linkedid": "1700000000.0", "attempt": 1,
    });
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), sent);
}

#[tokio::test]
async fn the_second_url_is_asked_after_any_failure_of_the_first() {
    let (good, seen) = server(StatusCode::OK, QUEUE).await;
    let (error, _) = server(StatusCode::INTERNAL_SERVER_ERROR, QUEUE).await;
    let (moved, _) = server(StatusCode::FOUND, "").await;
    let (nonsense, _) = server(StatusCode::OK, "<html>").await;
    for (first, code) in [
        (unused().await, "webhook-connect"),
        (error, "webhook-status"),
        (moved, "webhook-redirect"),
        (nonsense, "webhook-bad-answer"),
        (SocketAddr::from(([10, 0, 0, 1], 1)), "webhook-refused-address"),
    ] {
        let asked = put(&route(first, Some(good), 2_000)).await;
        assert!(asked.answer.is_ok(), "{code}");
        assert_eq!(codes(&asked), [Some(code), None]);
        let (headers, body) = seen.lock().unwrap().pop().unwrap();
        assert_eq!(headers[sign::HEADER_ID], "msg_1");
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["attempt"], 2);
    }
}

#[tokio::test]
async fn a_silent_first_url_leaves_half_of_the_budget() {
    let (good, _) = server(StatusCode::OK, QUEUE).await;
    let (first, _open) = silent().await;
    let asked = put(&route(first, Some(good), 1_000)).await;
    assert!(asked.answer.is_ok());
    assert_eq!(codes(&asked), [Some("webhook-timeout"), None]);
}

#[tokio::test]
async fn two_silent_urls_end_with_the_budget() {
    let (first, _open) = silent().await;
    let (second, _open_too) = silent().await;
    // 600 ms together; a second URL with a budget of its own would take it to 900 ms.
    let asked = tokio::time::timeout(Duration::from_millis(850), async {
        put(&route(first, Some(second), 600)).await
    });
    let asked = asked.await.unwrap();
    assert_eq!(asked.answer.unwrap_err().code(), "webhook-timeout");
    assert_eq!(asked.attempts.len(), 2);
    assert!(asked.attempts.iter().all(|attempt| attempt.error.is_some()));
}

#[tokio::test]
async fn only_200_is_an_answer() {
    for status in [StatusCode::CREATED, StatusCode::NO_CONTENT, StatusCode::GONE, StatusCode::BAD_GATEWAY] {
        let (address, _) = server(status, QUEUE).await;
        let asked = put(&route(address, None, 2_000)).await;
        assert_eq!(asked.answer.unwrap_err().code(), "webhook-status", "{status}");
    }
}

#[tokio::test]
async fn an_answer_over_16_kib_is_too_large() {
    let long: &'static str = Box::leak(format!("{QUEUE}{}", " ".repeat(16 * 1024)).into_boxed_str());
    let (address, _) = server(StatusCode::OK, long).await;
    assert_eq!(put(&route(address, None, 2_000)).await.answer.unwrap_err().code(), "webhook-too-large");
    let fits: &'static str =
        Box::leak(format!("{QUEUE}{}", " ".repeat(16 * 1024 - QUEUE.len())).into_boxed_str());
    let (address, _) = server(StatusCode::OK, fits).await;
    assert!(put(&route(address, None, 2_000)).await.answer.is_ok());
}

#[test]
fn answers_that_cannot_be_used() {
    let long = "a".repeat(81);
    let text = "a".repeat(257);
    for (answer, message) in [
        (json!({"action": "dial", "target": "1"}), "unknown action"),
        (json!({"target": "1"}), "not the expected fields"),
        (json!([]), "not the expected fields"),
        (json!({"action": "queue"}), "target: missing"),
        (json!({"action": "queue", "target": ""}), "target: missing"),
        (json!({"action": "queue", "target": "a,b"}), "target: at most"),
        (json!({"action": "queue", "target": "a&b"}), "target: at most"),
        (json!({"action": "queue", "target": "${SHELL(id)}"}), "target: at most"),
        (json!({"action": "queue", "target": "a\nb"}), "target: at most"),
        (json!({"action": "queue", "target": "ü"}), "target: at most"),
        (json!({"action": "queue", "target": long}), "target: at most"),
        (json!({"action": "queue", "target": "a", "timeout": 0}), "timeout: 1 to 7200"),
        (json!({"action": "queue", "target": "a", "timeout": 7_201}), "timeout: 1 to 7200"),
        (json!({"action": "queue", "target": "a", "timeout": -1}), "not the expected fields"),
        (json!({"action": "queue", "target": "a", "timeout": "30"}), "not the expected fields"),
        (json!({"action": "queue", "target": "a", "options": "U(x)"}), "options: at most"),
        (json!({"action": "queue", "target": "a", "options": "aaaaaaaaaaaaaaaaa"}), "options: at most"),
        (json!({"action": "queue", "target": "a", "message": text}), "message: a sound"),
        (json!({"action": "queue", "target": "a", "message": "a\r\nb"}), "message: a sound"),
    ] {
        let error = WebhookAnswer::parse(answer.to_string().as_bytes()).unwrap_err();
        assert!(error.contains(message), "{answer}: {error}");
        assert!(!error.contains("SHELL"));
    }
    for body in [&b""[..], b"{", b"\xff", br#"{"action":"hangup"} x"#] {
        assert!(WebhookAnswer::parse(body).unwrap_err().starts_with("not JSON"));
    }
    assert_eq!(WebhookAnswer::parse(br#"{"action":"hangup"}"#).unwrap().action, WebhookAction::Hangup);
}

#[test]
fn routes_are_checked_and_show_no_secret() {
    let good = json!({"url": "https://example.com/hook?token=t0p", "secret": SECRET});
    let route: WebhookRoute = serde_json::from_value(good.clone()).unwrap();
    assert_eq!(route.budget(), Duration::from_secs(2));
    let shown = format!("{route:?}");
    assert!(!shown.contains("whsec") && !shown.contains("MfKQ") && !shown.contains("t0p"), "{shown}");
    for (field, value) in [
        ("timeout_ms", json!(99)),
        ("timeout_ms", json!(10_001)),
        ("url", json!("ftp://example.com/")),
        ("second_url", json!("http://a:b@example.com/")),
        ("secret", json!("whsec_short")),
        ("surprise", json!(1)),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let error = serde_json::from_value::<WebhookRoute>(bad).unwrap_err().to_string();
        assert!(!error.contains("whsec_s"), "{error}");
    }
}
