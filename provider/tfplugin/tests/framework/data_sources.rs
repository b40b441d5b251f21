//! Data sources, played by Terraform's side of the protocol.

use contract::{UNKNOWN, Value};
use serde_json::{Value as Json, json};

use crate::lifecycle::{apply, client};
use crate::toy::World;

/// What a data source answers, as JSON, or its diagnostics.
async fn read(world: &World, config: Json) -> Result<Json, String> {
    let client = client(world).await;
    let source = client.data_source("toy_search").unwrap();
    let answer = source.read(&config).await.unwrap();
    let reported: Vec<_> = answer.diagnostics.iter().map(ToString::to_string).collect();
    match answer.value {
        Some(value) if reported.is_empty() => Ok(Value::to_json(&value)),
        Some(value) => Err(format!("{reported:?} beside {}", value.to_json())),
        None => Err(format!("{reported:?}")),
    }
}

#[tokio::test]
async fn a_data_source_finds_beside_what_was_asked_and_leaves_nothing_unknown() {
    let world = World::default();
    {
        let client = client(&world).await;
        let thing = client.resource("toy_thing").unwrap();
        for name in ["ab", "ac", "b"] {
            apply(&thing, None, &json!({ "name": name })).await;
        }
    }
    let found = read(&world, json!({ "prefix": "a" })).await;
    let expected = json!({ "prefix": "a", "fault": null, "names": ["ab", "ac"], "nothing": null });
    assert_eq!(found, Ok(expected));
}

#[tokio::test]
async fn whatever_goes_wrong_in_a_read_is_reported() {
    let world = World::default();
    let cases = [
        ("read", "Error: Failed at fault: fault: As ordered."),
        ("panic", "Error: The provider crashed"),
        ("odd", "Error: Odd fault at fault"),
        ("warn", "Warning: A warning: As ordered.\"] beside {"),
    ];
    for (fault, expected) in cases {
        let reported = read(&world, json!({ "prefix": "a", "fault": fault })).await;
        let reported = reported.unwrap_err();
        assert!(reported.contains(expected), "{fault}: {reported}");
    }
}

#[tokio::test]
async fn mistakes_in_a_configuration_are_reported_without_reading() {
    let client = client(&World::default()).await;
    let source = client.data_source("toy_search").unwrap();
    let reported = async |config: Json| {
        let answer = source.validate(&config).await.unwrap();
        let reported: Vec<_> = answer.diagnostics.iter().map(ToString::to_string).collect();
        reported.join("\n")
    };
    let parsed = reported(json!({ "prefix": "1" })).await;
    assert!(parsed.contains("at prefix"), "{parsed}");
    let written = reported(json!({ "prefix": "a", "names": ["x"] })).await;
    assert!(
        written.contains("Read-Only Attribute at names"),
        "{written}"
    );
    let unknown = reported(json!({ "prefix": UNKNOWN, "fault": "odd" })).await;
    assert_eq!(unknown, "");
}

#[tokio::test]
async fn a_data_source_that_is_not_served_is_reported_with_those_that_are() {
    let client = client(&World::default()).await;
    let request = contract::wire::read_data_source::Request {
        type_name: "toy_nothing".to_owned(),
        ..Default::default()
    };
    let answer = client.raw().read_data_source(request).await.unwrap();
    let reported = &answer.get_ref().diagnostics[0];
    assert_eq!(reported.summary, "Unknown data source");
    assert!(
        reported.detail.contains("toy_search"),
        "{}",
        reported.detail
    );
}
