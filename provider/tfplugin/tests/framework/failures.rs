//! What is kept when things go wrong.

use std::time::Duration;

use contract::{Action, Answer, State};
use serde_json::{Value as Json, json};

use crate::{
    lifecycle::{apply, client, plan},
    toy::World,
};

fn faulty(fault: &str) -> Json {
    json!({"name": "a", "fault": fault})
}

fn summaries(answer: &Answer<State>) -> Vec<&str> {
    answer
        .diagnostics
        .iter()
        .map(|reported| reported.summary.as_str())
        .collect()
}

#[tokio::test]
async fn a_failed_create_keeps_what_it_reached() {
    for (fault, reported, kept) in [
        ("before", "Failed", false),
        ("after", "Failed", true),
        ("panic", "The provider crashed", true),
    ] {
        let client = client(&World::default()).await;
        let thing = client.resource("toy_thing").unwrap();
        let planned = plan(&thing, None, &faulty(fault)).await;
        let created = thing.apply(&planned, &faulty(fault)).await.unwrap();
        assert_eq!(summaries(&created), [reported]);
        assert_eq!(created.value.is_some(), kept, "{fault}");
        if let Some(state) = created.value {
            assert_eq!(state.value["id"].to_json(), json!("a"));
            assert!(state.tainted && state.value.is_known());
            let again = json!({"name": "a"});
            assert_eq!(
                plan(&thing, Some(&state), &again).await.action,
                Action::Replace
            );
            apply(&thing, Some(&state), &again).await;
        }
    }
}

#[tokio::test]
async fn a_failed_update_keeps_the_prior_state_until_something_changed() {
    for (fault, revision, label) in [("before", 1, "v1"), ("after", 2, "v2"), ("panic", 2, "v2")] {
        let client = client(&World::default()).await;
        let thing = client.resource("toy_thing").unwrap();
        let state = apply(
            &thing,
            None,
            &json!({"name": "a", "labels": {"version": "v1"}}),
        )
        .await;
        let config = json!({"name": "a", "labels": {"version": "v2"}, "fault": fault});
        let planned = plan(&thing, Some(&state), &config).await;
        let updated = thing.apply(&planned, &config).await.unwrap();
        assert_eq!(updated.errors().len(), 1, "{fault}");
        let kept = updated.value.unwrap();
        assert_eq!(
            (kept.value["revision"].to_json(), kept.tainted),
            (json!(revision), false)
        );
        assert_eq!(kept.value["labels"]["version"].to_json(), json!(label));
    }
}

#[tokio::test]
async fn a_failed_delete_keeps_the_state_until_it_is_gone() {
    for (fault, kept) in [("keep", true), ("lose", false)] {
        let client = client(&World::default()).await;
        let thing = client.resource("toy_thing").unwrap();
        let state = apply(&thing, None, &faulty(fault)).await;
        let deleted = thing.destroy(&state).await.unwrap();
        assert_eq!(summaries(&deleted), ["Failed"]);
        assert_eq!(deleted.value, kept.then_some(state));
    }
}

#[tokio::test]
async fn warnings_come_with_the_state_and_with_the_plan_of_a_delete() {
    let client = client(&World::default()).await;
    let thing = client.resource("toy_thing").unwrap();
    let planned = plan(&thing, None, &faulty("warn")).await;
    let created = thing.apply(&planned, &faulty("warn")).await.unwrap();
    assert_eq!(summaries(&created), ["A warning"]);
    let deleted = thing.destroy(&created.ok().unwrap()).await.unwrap();
    assert_eq!(summaries(&deleted), ["It will hurt"]);
    assert_eq!(deleted.value, None);
}

#[tokio::test]
async fn a_stop_ends_a_long_create_and_keeps_its_state() {
    let world = World::default();
    let client = client(&world).await;
    let thing = client.resource("toy_thing").unwrap();
    let config = faulty("hang");
    let planned = plan(&thing, None, &config).await;
    let stop = async {
        world.hanging.notified().await;
        client.stop().await.unwrap();
    };
    let (created, ()) = tokio::join!(thing.apply(&planned, &config), stop);
    let created = created.unwrap();
    assert_eq!(summaries(&created), ["Interrupted"]);
    let state = created.value.unwrap();
    assert_eq!(
        (state.tainted, state.value["revision"].to_json()),
        (true, json!(1))
    );
    // The server goes on: the refresh after the stop works.
    assert!(thing.read(&state).await.unwrap().ok().is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_timeouts_of_the_configuration_end_work() {
    let client = client(&World::default()).await;
    let thing = client.resource("toy_thing").unwrap();
    let mut config = faulty("hang");
    config["timeouts"] = json!({"create": "2h", "update": "1m"});
    let before = tokio::time::Instant::now();
    let planned = plan(&thing, None, &config).await;
    let created = thing.apply(&planned, &config).await.unwrap();
    assert_eq!(summaries(&created), ["Timeout"]);
    assert!(created.errors()[0].detail.contains("within 2h"));
    assert!(before.elapsed() >= Duration::from_hours(2));
    assert!(created.value.unwrap().tainted);
}

#[tokio::test]
async fn a_stored_value_that_is_not_accepted_today_can_be_changed_but_not_acted_on() {
    let client = client(&World::default()).await;
    let thing = client.resource("toy_thing").unwrap();
    let state = apply(
        &thing,
        None,
        &json!({"name": "a", "timeouts": {"create": "1m"}}),
    )
    .await;
    let mut json = state.value.to_json();
    json["timeouts"]["create"] = json!("soon");
    let value = thing.upgrade(0, &json).await.unwrap().ok().unwrap();
    let outdated = State { value, ..state };
    let read = thing.read(&outdated).await.unwrap();
    assert_eq!(read.errors()[0].summary, "Stored value is not accepted");
    let planned = plan(&thing, Some(&outdated), &json!({"name": "a"})).await;
    assert_eq!(planned.action, Action::Update);
}
