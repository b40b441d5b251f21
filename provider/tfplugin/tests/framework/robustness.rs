//! Calls as no client should make them, and what is outside a lifecycle: every answer is a diagnostic.

use expect_test::expect;
use proptest::prelude::*;
use proto::tfplugin6::{
    self as wire, DynamicValue, RawState, attribute_path::step::Selector, provider_server::Provider,
};
use serde_json::{Value as Json, json};
use tfplugin::Server;
use tonic::Request;

use crate::{
    faulty::FaultyToy,
    toy::{Toy, World},
};

fn toy() -> Server<Toy> {
    Server::new(Toy(World::default()))
}

fn value(json: &Json) -> Option<DynamicValue> {
    let json = json.to_string().into_bytes();
    Option::from(DynamicValue {
        json,
        msgpack: vec![],
    })
}

pub(crate) fn reported(diagnostics: &[wire::Diagnostic]) -> String {
    let line = |reported: &wire::Diagnostic| {
        let steps = reported
            .attribute
            .iter()
            .flat_map(|path| &path.steps)
            .filter_map(|step| step.selector.as_ref());
        let path = steps.map(|step| match step {
            Selector::AttributeName(name) => format!(".{name}"),
            Selector::ElementKeyString(key) => format!("[{key:?}]"),
            Selector::ElementKeyInt(index) => format!("[{index}]"),
        });
        format!(
            "{} {}: {}",
            path.collect::<String>(),
            reported.summary,
            reported.detail
        )
        .trim()
        .to_owned()
            + "\n"
    };
    diagnostics.iter().map(line).collect()
}

/// Reads a reply's value, with `"?"` for unknown.
pub(crate) fn meaning(value: Option<&DynamicValue>) -> Json {
    fn json(pack: &rmpv::Value) -> Json {
        match pack {
            rmpv::Value::Nil => Json::Null,
            rmpv::Value::Boolean(value) => json!(value),
            rmpv::Value::Integer(value) => json!(value.as_i64()),
            rmpv::Value::String(value) => json!(value.as_str()),
            rmpv::Value::Array(items) => items.iter().map(json).collect(),
            rmpv::Value::Map(items) => items
                .iter()
                .map(|(key, item)| (key.as_str().unwrap().to_owned(), json(item)))
                .collect(),
            _ => json!("?"),
        }
    }
    json(&rmpv::decode::read_value(&mut value.unwrap().msgpack.as_slice()).unwrap())
}

async fn validate(server: &Server<Toy>, type_name: &str, config: Option<DynamicValue>) -> String {
    let request = wire::validate_resource_config::Request {
        type_name: type_name.into(),
        config,
        client_capabilities: None,
    };
    reported(
        &server
            .validate_resource_config(Request::new(request))
            .await
            .unwrap()
            .into_inner()
            .diagnostics,
    )
}

#[tokio::test]
async fn configuration_is_checked_with_paths_of_the_schema() {
    let config = json!({"name": "1", "labels": {"toy.example/a": "b"}, "id": "mine", "ports": {"a b": {"number": -1}}});
    expect![[r#"
        .id Invalid Configuration for Read-Only Attribute: id is found out by the provider and must be unset. Remove it from the configuration.

        [read-only]
        .name Invalid value: name: "1" is no name.

        [invalid-value]
        .ports["a b"].number Invalid value: ports["a b"].number: must be a whole number from 0 to 65535, got -1.

        [invalid-value]
        .labels["toy.example/a"] Reserved label: labels["toy.example/a"]: Choose another key.
    "#]].assert_eq(&validate(&toy(), "toy_thing", value(&config)).await);
}

/// An engine refuses one that is left out, but not one whose value turns out to be null.
#[tokio::test]
async fn a_required_attribute_that_is_null_is_reported() {
    let config = json!({"name": null, "ports": {"http": {"number": null}, "none": null}});
    expect![[r#"
        .name Invalid value: name: must be set, got null.

        [invalid-value]
        .ports["http"].number Invalid value: ports.http.number: must be set, got null.

        [invalid-value]
    "#]]
    .assert_eq(&validate(&toy(), "toy_thing", value(&config)).await);
}

#[tokio::test]
async fn an_unknown_type_is_reported_with_the_known_ones() {
    expect![[r#"
        Unknown resource type: This version of the provider has no `toy_car`. It has: toy_thing.

        [unknown-type]
    "#]]
    .assert_eq(&validate(&toy(), "toy_car", value(&json!({}))).await);
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_reported_with_its_place() {
    expect![[r#"
        .sizes[1] Value does not fit the schema: sizes[1]: The value cannot be read: "x" is not a decimal number. The value and the schema of this provider do not belong together; if the provider's version was changed, run `init -upgrade` and try again.

        [schema-mismatch]
    "#]].assert_eq(
        &validate(
            &toy(),
            "toy_thing",
            value(&json!({"name": "a", "sizes": [1, "x"]})),
        )
        .await,
    );
}

#[tokio::test]
async fn a_panic_is_reported_and_the_server_goes_on() {
    let server = Server::new(FaultyToy);
    for _ in 0..2 {
        let proposed_new_state = value(&json!({"found": null, "both": null}));
        let request = wire::plan_resource_change::Request {
            type_name: "toy_faulty".into(),
            proposed_new_state,
            ..Default::default()
        };
        let reply = server
            .plan_resource_change(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        assert!(reported(&reply.diagnostics).starts_with(
            "The provider crashed: A fault in the provider ended this operation: as ordered."
        ));
    }
}

#[tokio::test]
async fn work_before_the_configuration_is_reported_and_keeps_the_state() {
    let server = toy();
    let state = json!({"name": "a", "id": "a", "revision": 1, "drift": []});
    let request = wire::read_resource::Request {
        type_name: "toy_thing".into(),
        current_state: value(&state),
        ..Default::default()
    };
    let reply = server
        .read_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(meaning(reply.new_state.as_ref())["name"], "a");
    expect![[r#"
        Provider is not configured: Terraform called the provider before it configured it, or the configuration failed.

        [not-configured]
    "#]].assert_eq(&reported(&reply.diagnostics));
}

#[tokio::test]
async fn a_failed_configuration_leaves_none_behind() {
    let server = toy();
    for (world, expected) in [
        ("earth", ""),
        (
            "void",
            ".world Cannot reach the world: world: It is void.\n",
        ),
    ] {
        let request = wire::configure_provider::Request {
            config: value(&json!({"world": world})),
            ..Default::default()
        };
        let reply = server
            .configure_provider(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(reported(&reply.diagnostics), expected);
    }
    let request = wire::import_resource_state::Request {
        type_name: "toy_thing".into(),
        id: "a".into(),
        ..Default::default()
    };
    let reply = server
        .import_resource_state(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert!(reported(&reply.diagnostics).contains("not configured"));
}

#[tokio::test]
async fn the_provider_block_is_checked_and_may_be_absent() {
    for (config, expected) in [
        (None, ""),
        (
            value(&json!({"world": "mars"})),
            ".world No such world: world: There is only `earth`.\n",
        ),
    ] {
        let request = wire::validate_provider_config::Request { config };
        let reply = toy()
            .validate_provider_config(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(reported(&reply.diagnostics), expected);
    }
}

#[tokio::test]
async fn a_stored_state_is_upgraded_and_a_newer_one_refused() {
    let stored = json!({"name": "a", "gone": 1, "id": "a", "revision": 2, "drift": []})
        .to_string()
        .into_bytes();
    let upgrade = async |version, json: &[u8]| {
        let raw_state = Some(RawState {
            json: json.to_vec(),
            ..Default::default()
        });
        let request = wire::upgrade_resource_state::Request {
            type_name: "toy_thing".into(),
            version,
            raw_state,
        };
        toy()
            .upgrade_resource_state(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    };
    let state = meaning(upgrade(0, &stored).await.upgraded_state.as_ref());
    assert_eq!(state.as_object().unwrap().len(), 11);
    assert_eq!(
        (&state["revision"], &state["labels"]),
        (&json!(2), &Json::Null)
    );
    assert!(reported(&upgrade(1, &stored).await.diagnostics).contains("newer provider"));
    // Neither a state that cannot be read nor an absent one may pass for "there is nothing".
    for broken in [&b""[..], b"[]", br#"{"name": 1}"#] {
        let reply = upgrade(0, broken).await;
        assert!(reply.upgraded_state.is_none() && !reply.diagnostics.is_empty());
    }
}

#[tokio::test]
async fn an_identity_has_a_schema_and_is_upgraded() {
    let server = toy();
    let request = Request::new(wire::get_resource_identity_schemas::Request {});
    let schemas = server
        .get_resource_identity_schemas(request)
        .await
        .unwrap()
        .into_inner()
        .identity_schemas;
    let attributes = &schemas["toy_thing"].identity_attributes;
    assert_eq!(
        (
            attributes[0].name.as_str(),
            attributes[0].required_for_import
        ),
        ("name", true)
    );
    let raw_identity = Some(RawState {
        json: br#"{"name":"a"}"#.to_vec(),
        ..Default::default()
    });
    let request = wire::upgrade_resource_identity::Request {
        type_name: "toy_thing".into(),
        version: 0,
        raw_identity,
    };
    let reply = server
        .upgrade_resource_identity(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        meaning(reply.upgraded_identity.unwrap().identity_data.as_ref()),
        json!({"name": "a"})
    );
}

#[tokio::test]
async fn metadata_names_what_the_schema_has() {
    let reply = toy()
        .get_metadata(Request::new(wire::get_metadata::Request {}))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        reply
            .resources
            .iter()
            .map(|resource| resource.type_name.as_str())
            .collect::<Vec<_>>(),
        ["toy_thing"]
    );
    let functions = toy()
        .get_functions(Request::new(wire::get_functions::Request {}))
        .await
        .unwrap()
        .into_inner();
    assert!(functions.functions.is_empty() && functions.diagnostics.is_empty());
}

proptest! {
    #[test]
    fn noise_in_a_call_is_a_diagnostic(prior in bytes(), proposed in bytes(), config in bytes()) {
        let noise = |msgpack: &Vec<u8>| Some(DynamicValue { msgpack: msgpack.clone(), json: vec![] });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let server = toy();
        let plan = wire::plan_resource_change::Request {
            type_name: "toy_thing".into(),
            prior_state: noise(&prior),
            proposed_new_state: noise(&proposed),
            ..Default::default()
        };
        let plan = runtime.block_on(server.plan_resource_change(Request::new(plan)));
        prop_assert!(!plan.unwrap().into_inner().diagnostics.is_empty());
        prop_assert!(!runtime.block_on(validate(&server, "toy_thing", noise(&config))).is_empty());
    }
}

/// Bytes that are no null and no unknown, which would be answered without an error.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..40).prop_filter(
        "null and unknown are values",
        |bytes| !matches!(bytes[0], 0xc0 | 0xc7..=0xc9 | 0xd4..=0xd8 | 0x80),
    )
}

#[tokio::test]
async fn a_refresh_that_fails_keeps_the_state() {
    let server = toy();
    let request = wire::configure_provider::Request {
        config: value(&json!({})),
        ..Default::default()
    };
    server
        .configure_provider(Request::new(request))
        .await
        .unwrap();
    let state = json!({"name": "a", "fault": "read", "id": "a", "revision": 1, "drift": []});
    let request = wire::read_resource::Request {
        type_name: "toy_thing".into(),
        current_state: value(&state),
        ..Default::default()
    };
    let reply = server
        .read_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(meaning(reply.new_state.as_ref())["revision"], 1);
    assert_eq!(
        reported(&reply.diagnostics),
        ".fault Failed: fault: As ordered: read.\n"
    );
}
