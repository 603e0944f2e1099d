//! The TypeScript client: its types are those of this program's document, it compiles strictly, and a newcomer's walk
//! with it works against the running service.

use std::path::Path;

use crate::support::service::{Database, Service, ServiceOptions};
use crate::tools::run;

/// A copy of the client, so that nothing is written into the checkout, with its packages.
pub(crate) fn client() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/typescript");
    run(
        &source,
        "cp",
        &[
            "-r",
            ".npmrc",
            "package.json",
            "package-lock.json",
            "tsconfig.json",
            "openapi.json",
            "src",
            "test",
            folder.path().to_str().unwrap(),
        ],
    );
    run(folder.path(), "npm", &["ci", "--no-progress", "--ignore-scripts"]);
    folder
}

#[test]
fn the_client_is_of_this_document_and_walks() {
    let service = Service::start(&ServiceOptions::new(Database::Sqlite));
    let client = client();
    let folder = client.path();
    let kept = std::fs::read_to_string(folder.join("src/schema.d.ts")).unwrap();
    let document = service.run(&["openapi"]);
    let is_kept = std::fs::read_to_string(folder.join("openapi.json")).unwrap() == document;
    std::fs::write(folder.join("openapi.json"), document).unwrap();
    run(folder, "npm", &["run", "generate"]);
    let made = std::fs::read_to_string(folder.join("src/schema.d.ts")).unwrap();
    assert!(
        is_kept && kept == made,
        "clients/typescript is of another document: run scripts/generate-client"
    );
    run(folder, "npm", &["run", "build"]);
    assert_eq!(run(folder, "node", &["dist/test/events.js"]).trim(), "ok");
    let base = format!("http://{}", service.http());
    let printed =
        run(folder, "node", &["dist/test/walk.js", &base, "root@hookswitch.test", "hookswitch-demo-1"]);
    let walked: serde_json::Value = serde_json::from_str(printed.trim()).unwrap();
    let decided = service.run(&["simulate", "--did", walked["number"].as_str().unwrap(), "--json"]);
    let decided: serde_json::Value = serde_json::from_str(&decided).unwrap();
    let target = format!("{}-support", walked["tenant"].as_str().unwrap());
    assert_eq!(decided[0]["decision"]["target"], target.as_str(), "{decided:#}");
}
