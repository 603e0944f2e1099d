//! Menus, opening hours, lists of callers, rules for calls outside.

use serde_json::json;

use super::telephony::Desk;
use crate::support::both_databases;
use crate::world::CALLER;

const NUMBER: &str = "+15550001000";

both_databases! {
    /// A menu lives, leads to itself and to others, and can't go while something leads to it.
    async fn a_menu_and_its_choices(test) {
        let desk = Desk::new(test).await;
        desk.furnish().await;
        let made = desk.make("/ivr-menus", json!({
            "name": "main", "prompts": {"": "custom/menu", "de": "custom/menu-de"}, "invalid_prompt": "invalid",
            "direct_dial": true,
            "options": [
                {"digits": "9", "type": "voicemail", "target": "101"}, {"digits": "1", "type": "queue", "target": "support"},
                {"digits": "0", "type": "ivr", "target": "main"}, {"digits": "*", "type": "repeat"},
                {"digits": "12", "type": "external", "target": "+15559990000", "timeout_s": 30, "options": "r"},
            ],
        })).await;
        let digits: Vec<&str> = made.body["options"].as_array().unwrap().iter().map(|o| o["digits"].as_str().unwrap()).collect();
        assert_eq!(digits, ["*", "0", "1", "12", "9"]);
        assert_eq!((&made.body["max_tries"], &made.body["options"][0]["target"]), (&json!(3), &json!(null)));
        desk.stranger_sees_nothing("/ivr-menus", &made).await;
        let did = desk.make("/dids", json!({"number": NUMBER, "route_type": "ivr", "route_target": "main"})).await;
        assert_eq!(desk.call(NUMBER).await, "ivr main static");
        let path = format!("/ivr-menus/{}", made.id());
        let refused = desk.app.delete(&path, &desk.admin).await.expect(409);
        assert_eq!(refused.body["code"], "in-use");
        assert!(refused.body["detail"].as_str().unwrap().contains(NUMBER), "{}", refused.body);
        // Other numbers' rows are not in the way, nor is the menu in its own.
        desk.app.delete(&format!("/dids/{}", did.id()), &desk.admin).await.expect(204);
        let changed = desk.app.patch(&path, &desk.admin, json!({"options": [{"digits": "1", "type": "goodbye"}]})).await.expect(200);
        assert_eq!(changed.body["options"].as_array().unwrap().len(), 1);
        desk.app.patch(&path, &desk.admin, json!({"options": [{"digits": "1", "type": "ivr", "target": "main"}]})).await.expect(200);
        desk.app.delete(&path, &desk.admin).await.expect(204);
        assert_eq!(desk.app.test.number("SELECT COUNT(*) FROM ivr_options").await, 0);
    }

    /// Every fault of a menu, each at its place.
    async fn a_bad_menu_hears_of_every_fault(test) {
        let desk = Desk::new(test).await;
        desk.furnish().await;
        let form = desk.app.post("/ivr-menus", &desk.admin, json!({
            "name": "Main", "prompts": {"english": "x", "de": "../x"}, "first_digit_ms": 1, "max_tries": 11,
            "options": [{"digits": "x", "type": "queue"}, {"digits": "1", "type": "nowhere"}, {"digits": "1", "type": "back"}],
        })).await.expect(422);
        let mut pointers = form.pointers();
        pointers.sort_unstable();
        assert_eq!(pointers, [
            "/first_digit_ms", "/max_tries", "/name", "/options/0/digits", "/options/1/type", "/options/2",
            "/prompts/de", "/prompts/english",
        ]);
        let meaning = desk.app.post("/ivr-menus", &desk.admin, json!({
            "name": "main", "prompts": {"": "x"},
            "options": [
                {"digits": "1", "type": "queue", "target": "sales"}, {"digits": "2", "type": "repeat", "target": "x"},
                {"digits": "3", "type": "endpoint", "target": "101", "options": "G"}, {"digits": "4", "type": "ivr"},
            ],
        })).await.expect(422);
        assert_eq!(meaning.pointers(), ["/options/0/target", "/options/1/target", "/options/2/options", "/options/3/target"]);
    }

    /// Opening hours close a number at once, and can't go while it has them.
    async fn hours_close_a_number(test) {
        let desk = Desk::new(test).await;
        desk.furnish().await;
        let never = json!({"zone": "UTC", "weekly": []});
        let made = desk.make("/schedules", json!({"name": "office", "definition": never})).await;
        desk.stranger_sees_nothing("/schedules", &made).await;
        desk.make("/dids", json!({
            "number": NUMBER, "route_type": "queue", "route_target": "support", "schedule": "office",
            "destinations": [{"role": "closed", "type": "voicemail", "target": "101"}, {"role": "holiday", "type": "playback", "target": "holiday"}],
        })).await;
        assert_eq!(desk.call(NUMBER).await, "voicemail 101@acme closed");
        let path = format!("/schedules/{}", made.id());
        // The tests' clock stands on a Monday, 10:00.
        for (definition, way) in [
            (json!({"zone": "UTC", "weekly": [{"day": "mon", "from": "09:00", "to": "17:00"}]}), "queue acme-support static"),
            (json!({"zone": "America/New_York", "weekly": [{"day": "mon", "from": "09:00", "to": "17:00"}]}), "voicemail 101@acme closed"),
            (json!({"zone": "UTC", "holidays": [{"name": "x", "yearly": "11-23"}]}), "playback holiday holiday"),
        ] {
            let changed = desk.app.patch(&path, &desk.admin, json!({"definition": definition})).await.expect(200);
            assert_eq!(changed.body["definition"], definition);
            assert_eq!(desk.call(NUMBER).await, way, "{definition}");
        }
        let bad = desk.app.patch(&path, &desk.admin, json!({"definition": {
            "zone": "Mars/Olympus", "weekly": [{"day": "mon", "from": "9", "to": "17:00"}], "holidays": [{"name": "x"}],
        }})).await.expect(422);
        assert_eq!(bad.pointers(), ["/definition/weekly/0/from", "/definition/holidays/0", "/definition/zone"]);
        let refused = desk.app.delete(&path, &desk.admin).await.expect(409);
        assert_eq!(refused.body["code"], "in-use");
        let free = desk.make("/schedules", json!({"name": "night", "definition": {"zone": "UTC"}})).await;
        desk.app.delete(&format!("/schedules/{}", free.id()), &desk.admin).await.expect(204);
    }

    /// The two lists lie in one table and do not see each other.
    async fn callers_are_listed(test) {
        let desk = Desk::new(test).await;
        desk.furnish().await;
        desk.make("/dids", json!({"number": NUMBER, "route_type": "queue", "route_target": "support"})).await;
        let block = desk.app.post("/block-list", &desk.supervisor, json!({"pattern": CALLER, "note": "rude"})).await.expect(201);
        assert_eq!((&block.body["kind"], &block.body["expires_at"]), (&json!("block"), &json!(null)));
        assert_eq!(desk.call(NUMBER).await, "hangup 21 blocked");
        desk.stranger_sees_nothing("/block-list", &block).await;
        let path = format!("/block-list/{}", block.id());
        desk.app.get(&format!("/allow-list/{}", block.id()), &desk.admin).await.expect(404);
        desk.app.delete(&format!("/allow-list/{}", block.id()), &desk.admin).await.expect(404);
        // On both lists, but on each once.
        let allow = desk.app.post("/allow-list", &desk.supervisor, json!({"pattern": CALLER})).await.expect(201);
        desk.app.post("/block-list", &desk.supervisor, json!({"pattern": CALLER})).await.expect(409);
        desk.app.post("/block-list", &desk.agent, json!({"pattern": "anonymous"})).await.expect(403);
        for bad in ["", "12", "+1", "+49 30*", "ANONYMOUS"] {
            assert_eq!(desk.app.post("/block-list", &desk.supervisor, json!({"pattern": bad})).await.expect(422).pointers(), ["/pattern"]);
        }
        let until = desk.app.patch(&path, &desk.supervisor, json!({"expires_at": "2026-11-23T10:00:01Z"})).await.expect(200);
        assert_eq!(until.body["kind"], "block");
        assert_eq!(desk.call(NUMBER).await, "hangup 21 blocked");
        desk.app.wait(std::time::Duration::from_secs(1));
        assert_eq!(desk.call(NUMBER).await, "queue acme-support static");
        desk.app.delete(&path, &desk.supervisor).await.expect(204);
        assert_eq!(desk.app.get(&format!("/allow-list/{}", allow.id()), &desk.viewer).await.expect(200).body["pattern"], CALLER);
    }

    /// What may be dialled outside.
    async fn rules_for_calls_outside(test) {
        let desk = Desk::new(test).await;
        let made = desk.make("/outbound-rules", json!({"prefix": "+49", "allowed": true})).await;
        desk.make("/outbound-rules", json!({"prefix": "112", "allowed": true})).await;
        desk.stranger_sees_nothing("/outbound-rules", &made).await;
        desk.app.post("/outbound-rules", &desk.admin, json!({"prefix": "+49", "allowed": false})).await.expect(409);
        let bad = desk.app.post("/outbound-rules", &desk.admin, json!({"prefix": "x"})).await.expect(422);
        assert_eq!(bad.pointers(), ["/prefix", "/allowed"]);
        let rules = desk.app.gate.routing.memory.by_tenant(&crate::support::tenant("acme")).await;
        let hookswitch::routing::memory::Found::Rules(rules) = rules else { panic!("no rules") };
        assert!(rules.may_dial(&crate::support::number("+49301234567")));
        desk.app.patch(&format!("/outbound-rules/{}", made.id()), &desk.supervisor, json!({"allowed": false})).await.expect(403);
        desk.app.delete(&format!("/outbound-rules/{}", made.id()), &desk.admin).await.expect(204);
    }
}
