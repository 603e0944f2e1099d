//! Runs every file of the conformance corpus.

use std::path::Path;

use crate::case::{CASE_TIME, Case};

#[tokio::test]
async fn every_case_of_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/agi");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    names.sort();
    assert!(names.len() >= 40, "the corpus is not there: {} files", names.len());
    let mut failed = Vec::new();
    for path in names {
        let text = std::fs::read_to_string(&path).unwrap();
        let run = tokio::spawn(async move { Case::parse(&text).run().await });
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        match tokio::time::timeout(CASE_TIME, run).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failed.push(format!("{name}: {error}")),
            Err(_) => failed.push(format!("{name}: hangs")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
