//! Rows of sockets, and the end of the service.

use std::time::Duration;

use hookswitch::api::check::show_time;
use hookswitch::base::clock::Stopwatch;
use serde_json::{Value, json};

use super::{Client, Live};
use crate::support::{both_databases, eventually};

/// The rows as a supervisor sees them, once there are so many that `fit`.
async fn rows(live: &Live, admin: &str, fit: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    eventually("the rows", async || {
        let list =
            live.app.get("/websocket-sessions?limit=200&sort=connected_at", admin).await.expect(200).body;
        let all = list["data"].as_array().unwrap().clone();
        fit(&all).then_some(all)
    })
    .await
}

both_databases! {
    /// Who is connected can be looked up; how it ended too.
    async fn sockets_are_on_record(test) {
        let live = Live::new(test).await;
        let person = live.app.user(hookswitch::base::role::Role::TenantAdmin, "acme").await;
        let admin = person.token.clone();
        let (key_id, key) = live.key(&admin, &["*:read"]).await;
        let mut one = live.listen(&admin, &["call.*", "tag.created"]).await;
        let open = rows(&live, &admin, |all| all.len() == 1 && all[0]["subscriptions"] != json!([])).await;
        let row = &open[0];
        assert_eq!(row["subscriptions"], json!(["call.*", "tag.created"]));
        assert_eq!((&row["user_id"], &row["api_key_id"]), (&json!(person.id.as_str()), &Value::Null));
        assert_eq!((&row["address"], &row["node_id"]), (&json!("127.0.0.1"), &json!(live.node.as_str())));
        assert_eq!((&row["disconnected_at"], &row["close_code"]), (&Value::Null, &Value::Null));
        assert_eq!(row["connected_at"], json!(show_time(live.app.clock.now_us())));
        one.subscribe(json!({"op": "subscribe", "types": ["ticket.*"]})).await;
        rows(&live, &admin, |all| all[0]["subscriptions"] == json!(["ticket.*"])).await;
        live.app.wait(Duration::from_secs(5));
        one.socket.close(None).await.unwrap();
        let mut two = live.enter(&key).await;
        let all = rows(&live, &admin, |all| all.len() == 2 && all[0]["close_code"] != Value::Null).await;
        assert_eq!((&all[0]["close_code"], &all[0]["close_reason"]), (&json!(1005), &json!("closed-by-client")));
        assert_eq!(all[0]["disconnected_at"], json!(show_time(live.app.clock.now_us())));
        assert_eq!((&all[1]["user_id"], &all[1]["api_key_id"]), (&Value::Null, &json!(key_id)));
        two.send(json!({"op": "auth", "token": admin})).await;
        assert_eq!(two.closed().await.0, 4409);
        let all = rows(&live, &admin, |all| all[1]["close_code"] != Value::Null).await;
        assert_eq!((&all[1]["close_code"], &all[1]["close_reason"]), (&json!(4409), &json!("identity-changed")));
        live.stop().await;
    }

    /// What a process that was killed left open is closed by its next run, and nobody else's.
    async fn rows_of_the_run_before_are_closed(test) {
        let live = Live::new(test).await;
        let admin = live.admin().await;
        let _open = live.enter(&admin).await;
        rows(&live, &admin, |all| all.len() == 1).await;
        let again = Live::of(crate::api::app::TestApp::new(std::sync::Arc::clone(&live.app.test)).await, |options| {
            options.node = live.node.clone();
        }).await;
        let all = rows(&live, &admin, |all| all[0]["close_code"] != Value::Null).await;
        assert_eq!((&all[0]["close_code"], &all[0]["close_reason"]), (&json!(1006), &json!("process-ended")));
        let _other = again.enter(&admin).await;
        rows(&live, &admin, |all| all.len() == 2).await;
        let third = Live::of(crate::api::app::TestApp::new(std::sync::Arc::clone(&live.app.test)).await, |_| {}).await;
        let _third = third.enter(&admin).await;
        let all = rows(&live, &admin, |all| all.len() == 3).await;
        assert_eq!(all.iter().filter(|row| row["close_code"] == Value::Null).count(), 2, "another node's was closed");
        third.stop().await;
        again.stop().await;
        live.stop().await;
    }

    /// At the end every socket hears why, soon, and its row says so; who has not said who it is hears it too.
    async fn the_end_is_told(test) {
        let live = Live::new(test).await;
        let admin = live.admin().await;
        let (mut quiet, mut listening) = (live.connect().await, live.listen(&admin, &["*"]).await);
        // One that will not read any more.
        let stuck = Client::narrow(live.address).await;
        let test = std::sync::Arc::clone(&live.app.test);
        let (start, stopping) = (Stopwatch::start(), tokio::spawn(live.stop()));
        assert_eq!(listening.closed().await, (1001, "server-stopping".into()));
        assert_eq!(quiet.closed().await, (1001, "server-stopping".into()));
        drop((listening, quiet));
        stopping.await.unwrap();
        let most = 2 * hookswitch::config::limits::http::DRAIN_TIME.as_micros() as u64;
        assert!(start.elapsed_us() < most, "{} µs", start.elapsed_us());
        drop(stuck);
        let rows = "SELECT COUNT(*) FROM websocket_sessions WHERE close_code = 1001 AND close_reason = 'server-stopping'";
        assert_eq!(test.number(rows).await, 1);
    }
}
