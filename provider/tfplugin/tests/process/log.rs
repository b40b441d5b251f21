//! What the process writes to standard error.

use serde_json::{Map, Value, json};

use crate::configured;

/// Writes a note with a secret, then one that panics, and returns the log up to there.
async fn log(env: &[(&str, &str)]) -> String {
    let client = configured(env).await;
    let note = client.resource("toy_note").unwrap();
    for fault in [None, Some("panic")] {
        let config = json!({ "text": "public", "password": "canary-7f3a", "fault": fault });
        let plan = note.plan(None, &config).await.unwrap().ok().unwrap();
        note.apply(&plan, &config).await.unwrap();
    }
    let process = client.process().unwrap();
    process.logged("panic: as ordered").await.unwrap();
    let log = process.log();
    let (before, _) = log.split_once("panic: ").unwrap();
    before.to_owned()
}

#[tokio::test]
async fn every_line_is_what_terraform_reads_and_holds_no_secret() {
    let log = log(&[("TF_LOG_PROVIDER", "TRACE")]).await;
    assert!(!log.contains("canary"), "{log}");
    for line in log.lines() {
        let line: Map<String, Value> = serde_json::from_str(line).unwrap();
        assert!(line.values().all(Value::is_string), "{line:?}");
        let timestamp = line["@timestamp"].as_str().unwrap();
        let (_, fraction) = timestamp.split_once('.').unwrap();
        assert_eq!(fraction.len(), "000000Z".len(), "{timestamp}");
        assert!(
            ["@level", "@message"]
                .iter()
                .all(|key| line.contains_key(*key)),
            "{line:?}"
        );
    }
}

#[tokio::test]
async fn the_own_level_goes_before_the_common_one() {
    let quiet = log(&[("TF_LOG", "TRACE"), ("TF_LOG_PROVIDER", "ERROR")]).await;
    assert_eq!(quiet, "");
    assert!(log(&[("TF_LOG", "INFO")]).await.contains("public"));
}

#[tokio::test]
async fn a_panic_is_a_diagnostic_and_stands_in_the_log_as_terraform_looks_for_it() {
    let client = configured(&[]).await;
    let note = client.resource("toy_note").unwrap();
    let config = json!({ "text": "a", "fault": "panic" });
    let plan = note.plan(None, &config).await.unwrap().ok().unwrap();
    let answer = note.apply(&plan, &config).await.unwrap();
    assert_eq!(answer.errors().len(), 1);
    assert!(answer.value.unwrap().tainted, "what was reached is kept");
    client
        .process()
        .unwrap()
        .logged("panic: as ordered")
        .await
        .unwrap();
    client
        .resource("toy_note")
        .unwrap()
        .plan(None, &json!({ "text": "b" }))
        .await
        .unwrap()
        .ok()
        .unwrap();
}
