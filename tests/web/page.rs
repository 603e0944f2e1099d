//! Pages in a real Chromium.

use crate::support::service::{Database, Service, ServiceOptions};
use crate::tools::run;

/// What a page looks like once its scripts have run.
fn dom(url: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let profile_argument = format!("--user-data-dir={}", profile.path().display());
    run(
        profile.path(),
        "chromium",
        &[
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--virtual-time-budget=10000",
            &profile_argument,
            "--dump-dom",
            url,
        ],
    )
}

#[test]
fn the_documentation_shows_every_operation() {
    let service = Service::start(&ServiceOptions::new(Database::Sqlite));
    let document: serde_json::Value = serde_json::from_str(&service.run(&["openapi"])).unwrap();
    let shown = dom(&format!("http://{}/api/docs", service.http()));
    let mut count = 0;
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            let id = format!("id=\"{}\"", operation["operationId"].as_str().unwrap());
            assert!(shown.contains(&id), "{id} is not on the page");
            count += 1;
        }
    }
    assert!(count > 10 && shown.contains("From nothing to a routed call"), "{count} operations");
}
