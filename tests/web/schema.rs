//! Schemathesis against the running service: every answer is as documented, nothing ends in a 5xx.

use crate::support::service::{Database, Service, ServiceOptions};
use crate::tools::{cache, run};

/// Operations that are left out, and why. Most end the session or the tenant under test: all that follows would be
/// refused, and nothing would be learned of it.
const LEFT_OUT: [(&str, &str); 7] = [
    ("auth.logout", "ends the session"),
    ("auth.password", "ends every session of the user"),
    ("auth.end-session", "may end the session"),
    ("auth.switch-tenant", "ends the session and starts another"),
    ("tenants.delete", "finds the tenant under test by its id in other answers"),
    ("tenants.purge", "as tenants.delete"),
    ("tenants.suspend", "as tenants.delete"),
];

/// 412 too: a text with blanks around it is no fault of the body, and then `If-Match` is what refuses the request.
const CONFIG: &str = "[checks.negative_data_rejection]\nexpected-statuses = [\"400\", \"401\", \"403\", \"404\", \"405\", \
    \"406\", \"409\", \"412\", \"413\", \"415\", \"422\", \"428\", \"429\", \"5xx\"]\n";

#[test]
fn every_answer_is_as_documented_on_sqlite() {
    check(Database::Sqlite, "examples,fuzzing");
}

#[test]
fn every_answer_is_as_documented_on_mysql() {
    check(Database::MySql, "examples,fuzzing");
}

/// Each edge of each schema, one by one: 16,000 requests. What they find is found before a database is asked.
#[test]
fn every_edge_of_every_schema_is_as_documented() {
    check(Database::Sqlite, "coverage");
}

fn token(answer: &(u16, String)) -> String {
    assert_eq!(answer.0, 200, "{}", answer.1);
    let answer: serde_json::Value = serde_json::from_str(&answer.1).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

fn check(database: Database, phases: &str) {
    let options = ServiceOptions::new(database)
        .set("HOOKSWITCH_HTTP__REQUESTS_PER_SECOND_ADDRESS", "0")
        .set("HOOKSWITCH_HTTP__REQUESTS_PER_SECOND_ACTOR", "0")
        .set("HOOKSWITCH_HTTP__REQUESTS_PER_SECOND_TENANT", "0")
        .set("HOOKSWITCH_HTTP__LOGINS_PER_MINUTE", "0");
    let service = Service::start(&options);
    let base = format!("http://{}", service.http());
    // Who runs the platform, in a tenant: may do everything, so that answers of all operations are seen.
    let login = r#"{"email":"root@hookswitch.test","password":"hookswitch-demo-1"}"#;
    let acme = r#"{"tenant_id":"acme"}"#;
    let first = token(&service.post("/api/v1/auth/login", "", login));
    let token = token(&service.post("/api/v1/auth/switch-tenant", &first, acme));
    let program = cache().join("schemathesis/bin/schemathesis");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schemathesis.toml"), CONFIG).unwrap();
    let location = format!("{base}/api/openapi.json");
    let header = format!("Authorization: Bearer {token}");
    let mut arguments = vec!["run", &location, "--header", &header, "--no-color"];
    // One worker: CPython 3.11 parses wrongly in two threads at once (python/cpython#106905), which it now and then does.
    arguments.extend(["--checks", "all", "--max-examples", "3", "--seed", "1", "--workers", "1"]);
    arguments.extend(["--phases", phases]);
    // What the service itself allows a request: this is no measurement.
    arguments.extend(["--max-response-time", "30"]);
    // No schema tells that a name must exist, that a time must lie ahead or that a cursor must be one that we sealed.
    arguments.extend(["--exclude-checks", "positive_data_acceptance"]);
    arguments.extend(LEFT_OUT.iter().flat_map(|(id, _)| ["--exclude-operation-id", id]));
    println!("{}", run(folder.path(), program.to_str().unwrap(), &arguments));
    // Else most of what was checked would have been answers to nobody.
    assert_eq!(service.post("/api/v1/auth/switch-tenant", &token, acme).0, 200, "the session ended");
}
