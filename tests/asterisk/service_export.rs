//! A file of call detail records whose service is killed while it makes it.

use crate::service_rest::Person;
use crate::support::service::{Database, Service, ServiceOptions};
use crate::support::wait;
use serde_json::{Value, json};
use std::collections::BTreeSet;

on_both! { a_file_is_whole_though_the_service_is_killed }

const COUNT: i64 = 30_000;
const RECORDS: &str = "INSERT INTO cdrs (id, tenant_id, call_id, linkedid, uniqueid, direction, started_at, ended_at, duration_s, \
     billed_s, disposition, metadata, created_at) WITH d (n) AS (SELECT 0 UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL \
     SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL \
     SELECT 9), i (n) AS (SELECT a.n + 10 * b.n + 100 * c.n + 1000 * e.n + 10000 * f.n FROM d a, d b, d c, d e, d f WHERE f.n < 3) \
     SELECT SUBSTR(CONCAT('00000000000000000000000000', n), -26), 'acme', 'c', 'l', 'u', 'inbound', \
     1790000000000000 + n % 7000, 1790000000000000, 0, 0, 'BUSY', '{}', 1 FROM i";

fn a_file_is_whole_though_the_service_is_killed(database: Database) {
    let mut service = Service::start(&ServiceOptions::new(database).change(RECORDS));
    let admin = Person::sign_in(&service, "admin@acme.test", "hookswitch-demo-1");
    let made = admin.ask("POST", "/cdrs/exports", &json!({"columns": ["id", "started_at"]}), 202);
    assert_eq!(made["total"], COUNT);
    let path = format!("/cdrs/exports/{}", made["id"].as_str().unwrap());
    let half = wait::until("the file to be under way", || {
        Some(admin.get(&path)).filter(|export| export["done"].as_i64() > Some(0))
    });
    service.kill();
    service.start_again();
    let admin = Person::sign_in(&service, "admin@acme.test", "hookswitch-demo-1");
    let done = wait::until("the file to be whole", || {
        Some(admin.get(&path)).filter(|export| export["status"] == "completed")
    });
    assert_eq!(done["done"], COUNT, "{half}");
    let (status, text) = admin.fetch(&format!("{path}/content"));
    assert_eq!((status, Value::from(text.len())), (200, done["bytes"].clone()));
    let ids: BTreeSet<&str> = text.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!((text.lines().count(), ids.len()), (30_001, 30_000), "{half}");
}
