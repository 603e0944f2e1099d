//! What a consumer gets.

use std::time::Duration;

use chrono::DateTime;
use hookswitch::webhooks::sign::{self, Secret};
use serde_json::{Value, json};

use super::World;
use super::sink::Taken;
use crate::support::both_databases;

/// Whether a secret verifies what came, at the time that stands in it.
pub(super) fn verifies(taken: &Taken, secret: &str) -> bool {
    let secret: Secret = secret.parse().unwrap();
    let (stamp, signatures) = (&taken.headers["webhook-timestamp"], &taken.headers["webhook-signature"]);
    let now = DateTime::from_timestamp(stamp.parse().unwrap(), 0).unwrap();
    sign::verify(&[secret], taken.id(), stamp, signatures, &taken.body, now).is_ok()
}

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
        let attempt = &world.attempts(&made.id()).await[0];
        assert_eq!((&attempt["outcome"], &attempt["status_code"], &attempt["response_body"]), (&json!("ok"), &json!(200), &json!("thanks")));
        assert_eq!(attempt["request_headers"]["authorization"], "[secret]");
        let payload = format!("/webhooks/{}/deliveries/{}/payload", made.id(), deliveries[0]["id"].as_str().unwrap());
        assert_eq!(world.get(&payload).await.expect(200).body, body);
    }

    /// Each endpoint gets what it wants and no more, and nothing from before it was made.
    async fn an_endpoint_gets_the_types_it_wants(test) {
        let world = World::new(test).await;
        world.tag("before").await;
        for (path, types) in [("/all", json!(["*"])), ("/tags", json!(["tag.*"])), ("/one", json!(["tag.deleted", "contact.created"]))] {
            world.webhook(path, json!({"types": types})).await;
        }
        let tag = world.tag("x").await;
        world.post("/contacts", json!({"first_name": "Ann"})).await.expect(201);
        world.desk.app.delete(&format!("/tags/{}", tag.id()), &world.token()).await.expect(204);
        // Two endpoints were made after the first: it hears of them.
        world.came(5 + 2 + 2).await;
        world.all_done().await;
        let types = |path: &str| {
            let mut all: Vec<String> = world.sink.at(path).iter().map(|t| t.json()["type"].as_str().unwrap().to_owned()).collect();
            all.sort();
            all
        };
        assert_eq!(types("/all"), ["contact.created", "tag.created", "tag.deleted", "webhook.created", "webhook.created"]);
        assert_eq!(types("/tags"), ["tag.created", "tag.deleted"]);
        assert_eq!(types("/one"), ["contact.created", "tag.deleted"]);
    }

    /// What comes while it is paused waits; a disabled one is kept nothing for; a deleted one's deliveries are cancelled.
    async fn paused_waits_and_deleted_is_cancelled(test) {
        let world = World::new(test).await;
        let made = world.webhook("/hook", json!({})).await;
        let path = format!("/webhooks/{}", made.id());
        world.patch(&path, json!({"status": "paused"})).await.expect(200);
        for n in 0..5 {
            world.tag(&format!("t{n}")).await;
        }
        world.rows(1, "SELECT COUNT(*) FROM webhooks WHERE behind IS NOT NULL").await;
        // Another endpoint got all of it: had this one not been left alone, its requests had come too.
        let second = world.webhook("/second", json!({})).await;
        world.tag("t5").await;
        world.came(1).await;
        assert!(world.sink.at("/hook").is_empty());
        world.patch(&path, json!({"status": "active"})).await.expect(200);
        world.came(7).await;
        world.all_done().await;
        assert_eq!(world.sink.at("/hook").len(), 6);

        world.sink.says(500);
        world.tag("t6").await;
        world.rows(2, "SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'pending' AND attempts = 1").await;
        world.patch(&format!("/webhooks/{}", second.id()), json!({"status": "paused"})).await.expect(200);
        world.tag("t7").await;
        world.rows(1, "SELECT COUNT(*) FROM webhooks WHERE behind IS NOT NULL").await;
        for id in [made.id(), second.id()] {
            world.desk.app.delete(&format!("/webhooks/{id}"), &world.token()).await.expect(204);
        }
        world.tag("t8").await;
        world.all_done().await;
        assert!(world.desk.app.test.number("SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'cancelled'").await >= 3);
        let came = world.sink.taken().len();
        world.wait(Duration::from_secs(3_600));
        world.webhook("/third", json!({})).await;
        world.sink.says(200);
        world.tag("t9").await;
        world.came(came + 1).await;
        assert_eq!(world.sink.taken().len(), came + 1);
    }

    /// During a rotation both secrets verify; after it, only the new one does.
    async fn a_rotated_secret_overlaps(test) {
        let world = World::new(test).await;
        let made = world.webhook("/hook", json!({})).await;
        let old = made.text("secret");
        let path = format!("/webhooks/{}/rotate-secret", made.id());
        let turned = world.post(&path, json!({"overlap_s": 3_600})).await.expect(200);
        let new = turned.text("secret");
        assert!(old != new && turned.body["old_secret_until"].is_string());
        let mut verified = Vec::new();
        for wait in [0, 3_599, 2] {
            world.wait(Duration::from_secs(wait));
            world.sink.clear();
            world.tag(&format!("after {wait}")).await;
            world.came(1).await;
            let taken = world.sink.taken().remove(0);
            verified.push((verifies(&taken, &old), verifies(&taken, &new)));
        }
        assert_eq!(verified, [(true, true), (true, true), (false, true)]);
        // At once: the old one is worth nothing from now on.
        let last = world.post(&path, json!({"overlap_s": 0})).await.expect(200);
        assert_eq!(last.body["old_secret_until"], Value::Null);
        world.sink.clear();
        world.tag("last").await;
        world.came(1).await;
        let taken = world.sink.taken().remove(0);
        assert_eq!((verifies(&taken, &new), verifies(&taken, &last.text("secret"))), (false, true));
    }

    /// A secret of one's own signs; `v1a` alone needs only the public half.
    async fn own_secrets_and_public_keys(test) {
        let world = World::new(test).await;
        let own = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let made = world.webhook("/own", json!({"secret": own})).await;
        assert_eq!(made.text("secret"), own);
        let public = world.webhook("/public", json!({"signatures": ["v1a"]})).await.text("public_key");
        world.tag("x").await;
        world.came(2).await;
        assert!(verifies(&world.sink.at("/own")[0], own));
        let taken = world.sink.at("/public").remove(0);
        let signature = &taken.headers["webhook-signature"];
        assert!(!signature.contains("v1,"), "{signature}");
        assert!(verifies_publicly(&taken, &public));
        let mut other = taken.clone();
        other.body = [&taken.body[..], b" "].concat().into();
        assert!(!verifies_publicly(&other, &public));
    }

    /// A test reaches only its endpoint, whatever that wants; a delivery and a range can be had again.
    async fn tests_and_what_was_sent_again(test) {
        let world = World::new(test).await;
        let made = world.webhook("/hook", json!({"types": ["contact.created"]})).await;
        let all = world.webhook("/all", json!({"types": ["*"]})).await;
        let (hook, range) = (format!("/webhooks/{}", made.id()), json!({"failed_only": false}));
        let tried = world.act(&format!("{hook}/test")).await.expect(201);
        assert_eq!((&tried.body["cause"], &tried.body["event_type"]), (&json!("test"), &json!("webhook.test")));
        assert_eq!(tried.header("location"), format!("/api/v1{hook}/deliveries/{}", tried.id()));
        world.came(1).await;
        world.all_done().await;
        assert_eq!((world.sink.taken()[0].path.as_str(), world.sink.types()), ("/hook", vec!["webhook.test".into()]));
        assert_eq!(world.sink.taken()[0].json()["data"], json!({"webhook_id": made.id()}));

        world.post("/contacts", json!({"first_name": "Ann"})).await.expect(201);
        world.came(3).await;
        let first = world.sink.at("/hook").remove(1);
        let delivery = world.deliveries(&made.id()).await.remove(1);
        assert_eq!(delivery["event_id"], first.id());
        let again = world.act(&format!("{hook}/deliveries/{}/resend", delivery["id"].as_str().unwrap())).await.expect(201);
        assert_eq!((&again.body["cause"], again.id() == delivery["id"]), (&json!("resend"), false));
        world.came(4).await;
        let second = world.sink.at("/hook").remove(2);
        assert_eq!((first.id(), &first.body), (second.id(), &second.body));
        world.all_done().await;
        // Nothing failed; of the whole stream the endpoint wants one, and nobody else's test.
        assert_eq!(world.post(&format!("{hook}/recover"), json!({})).await.expect(202).body, json!({"deliveries": 0}));
        assert_eq!(world.post(&format!("{hook}/recover"), range.clone()).await.expect(202).body, json!({"deliveries": 1}));
        world.came(5).await;
        world.all_done().await;
        world.sink.clear();
        let count = world.post(&format!("/webhooks/{}/recover", all.id()), range).await.expect(202);
        world.came(usize::try_from(count.body["deliveries"].as_u64().unwrap()).unwrap()).await;
        world.all_done().await;
        assert!(!world.sink.types().contains(&"webhook.test".to_owned()), "{:?}", world.sink.types());
    }
}

/// Whether a public key verifies what came (`v1a`).
fn verifies_publicly(taken: &Taken, key: &str) -> bool {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    let key = BASE64_STANDARD.decode(key.strip_prefix("whpk_").unwrap()).unwrap();
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key);
    let content = format!("{}.{}.", taken.id(), taken.headers["webhook-timestamp"]);
    let content = [content.as_bytes(), &taken.body].concat();
    let signatures = taken.headers["webhook-signature"].split(' ').filter_map(|one| one.strip_prefix("v1a,"));
    signatures.map(|one| BASE64_STANDARD.decode(one).unwrap()).any(|one| key.verify(&content, &one).is_ok())
}
