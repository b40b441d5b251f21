//! Ephemeral resources, played by Terraform's side of the protocol.

use serde_json::json;

use crate::lifecycle::client;
use crate::toy::World;

#[tokio::test]
async fn an_ephemeral_resource_is_opened_renewed_and_closed_with_what_it_kept() {
    let world = World::default();
    let client = client(&world).await;
    let key = client.ephemeral_resource("toy_key").unwrap();
    let config = json!({ "thing": "a" });
    let mut opened = key.open(&config).await.unwrap().ok().unwrap();
    let expected = json!({ "thing": "a", "fault": null, "secret": "geheim", "nothing": null });
    assert_eq!(opened.value.to_json(), expected);
    assert_eq!(opened.renew_at, Some(1));
    key.renew(&mut opened).await.unwrap().ok().unwrap();
    assert_eq!(opened.renew_at, None);
    key.close(opened).await.unwrap().ok().unwrap();
    assert_eq!(*world.keys(), ["opened", "renewed", "closed renewed"]);
}

#[tokio::test]
async fn a_warning_comes_with_what_was_opened() {
    let client = client(&World::default()).await;
    let key = client.ephemeral_resource("toy_key").unwrap();
    let config = json!({ "thing": "a", "fault": "warn" });
    let opened = key.open(&config).await.unwrap();
    assert!(opened.value.is_some());
    assert_eq!(opened.diagnostics[0].summary, "Careful");
}

#[tokio::test]
async fn whatever_goes_wrong_with_an_ephemeral_resource_is_reported() {
    let client = client(&World::default()).await;
    let key = client.ephemeral_resource("toy_key").unwrap();
    let config = |fault: &str| json!({ "thing": "a", "fault": fault });
    let cases = [
        (config("open"), "Failed at fault"),
        (config("panic"), "The provider crashed"),
        (config("odd"), "Odd fault at fault"),
        (json!({ "thing": "1" }), "at thing"),
        (
            json!({ "thing": "a", "secret": "x" }),
            "Read-Only Attribute at secret",
        ),
    ];
    for (config, expected) in cases {
        let answer = key.open(&config).await.unwrap();
        let reported = format!("{}", answer.diagnostics[0]);
        assert!(
            answer.value.is_none() && reported.contains(expected),
            "{reported}"
        );
    }
    let mut opened = key.open(&config("renew")).await.unwrap().ok().unwrap();
    let reported = key.renew(&mut opened).await.unwrap().diagnostics;
    assert_eq!(reported[0].summary, "Failed");
    assert_eq!(
        opened.renew_at,
        Some(1),
        "Terraform goes on with what it had"
    );
    let opened = key.open(&config("close")).await.unwrap().ok().unwrap();
    let reported = key.close(opened).await.unwrap().diagnostics;
    assert_eq!(reported[0].summary, "Failed");
}

#[tokio::test]
async fn an_ephemeral_resource_is_in_the_metadata_and_another_is_reported_with_those_that_are() {
    let client = client(&World::default()).await;
    let request = contract::wire::get_metadata::Request {};
    let metadata = client
        .raw()
        .get_metadata(request)
        .await
        .unwrap()
        .into_inner();
    let names: Vec<_> = metadata
        .ephemeral_resources
        .iter()
        .map(|one| one.type_name.as_str())
        .collect();
    assert_eq!(names, ["toy_key"]);
    let request = contract::wire::close_ephemeral_resource::Request {
        type_name: "toy_nothing".to_owned(),
        private: None,
    };
    let answer = client
        .raw()
        .close_ephemeral_resource(request)
        .await
        .unwrap();
    let reported = &answer.get_ref().diagnostics[0];
    assert_eq!(reported.summary, "Unknown ephemeral resource");
    assert!(reported.detail.contains("toy_key"), "{}", reported.detail);
}
