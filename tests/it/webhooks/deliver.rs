//! What a consumer gets.

use chrono::DateTime;
use hookswitch::webhooks::sign::{self, Secret};
use serde_json::json;

use super::World;
use crate::support::both_databases;

both_databases! {
    /// A change becomes a signed request, and the request a row with its answer.
    async fn a_change_reaches_its_consumer(test) {
        let world = World::new(test).await;
        let made = world.webhook("/hook", json!({"headers": {"Authorization": "Bearer t0p"}, "signatures": ["v1", "v1a"]})).await;
        let secret: Secret = made.text("secret").parse().unwrap();
        let tag = world.tag("vip").await;
        world.came(1).await;
        let taken = world.sink.taken().remove(0);
        assert_eq!((taken.path.as_str(), taken.headers["authorization"].as_str()), ("/hook", "Bearer t0p"));
        assert_eq!(taken.headers["content-type"], "application/json");
        let body = taken.json();
        assert_eq!((&body["type"], &body["data"]), (&json!("tag.created"), &tag.body));
        assert_eq!(body["id"], taken.id());
        let time: i64 = taken.headers["webhook-timestamp"].parse().unwrap();
        let now = DateTime::from_timestamp(time, 0).unwrap();
        let (stamp, signature) = (&taken.headers["webhook-timestamp"], &taken.headers["webhook-signature"]);
        sign::verify(&[secret], taken.id(), stamp, signature, &taken.body, now).unwrap();
        assert!(signature.contains(" v1a,"));
        world.recorded(1).await;
        let deliveries = world.deliveries(&made.id()).await;
        assert_eq!(deliveries.len(), 1);
        assert_eq!((&deliveries[0]["status"], &deliveries[0]["attempts"]), (&json!("delivered"), &json!(1)));
        let path = format!("/webhooks/{}/attempts", made.id());
        let attempts = world.desk.app.get(&path, &world.desk.admin).await.expect(200).body;
        let attempt = &attempts["data"][0];
        assert_eq!((&attempt["outcome"], &attempt["status_code"], &attempt["response_body"]), (&json!("ok"), &json!(200), &json!("thanks")));
        assert_eq!(attempt["request_headers"]["authorization"], "[secret]");
        let payload = format!("/webhooks/{}/deliveries/{}/payload", made.id(), deliveries[0]["id"].as_str().unwrap());
        assert_eq!(world.desk.app.get(&payload, &world.desk.admin).await.expect(200).body, body);
    }
}
