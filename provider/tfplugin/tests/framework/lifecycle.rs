//! A thing's life, played by Terraform's side of the protocol, which holds every answer to Terraform's rules.

use contract::{Action, Client, Plan, Resource, State, UNKNOWN};
use serde_json::{Value as Json, json};
use tfplugin::serve_on;

use crate::toy::{Thing, Toy, World};

/// Starts the toy provider and configures it.
pub(crate) async fn client(world: &World) -> Client {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(serve_on(Toy(world.clone()), theirs));
    let client = Client::in_memory(ours).await.unwrap();
    client.configure(&json!({})).await.unwrap().ok().unwrap();
    client
}

pub(crate) async fn plan(thing: &Resource<'_>, prior: Option<&State>, config: &Json) -> Plan {
    thing.plan(prior, config).await.unwrap().ok().unwrap()
}

pub(crate) async fn apply(thing: &Resource<'_>, prior: Option<&State>, config: &Json) -> State {
    let plan = plan(thing, prior, config).await;
    thing.apply(&plan, config).await.unwrap().ok().unwrap()
}

fn full() -> Json {
    json!({
        "name": "a",
        "labels": {"version": "v1", "app.kubernetes.io/name": "\u{e9}", "none": null},
        "ports": {"http": {"number": 80}, "grpc": {"number": 81, "protocol": "GRPC"}},
        "sizes": [2, 1],
        "share": serde_json::from_str::<Json>("0.1").unwrap(),
        "password": "geheim",
        "timeouts": {"create": "90m"},
    })
}

#[tokio::test]
async fn what_is_unknown_in_the_plan_is_known_after_the_apply() {
    let world = World::default();
    let client = client(&world).await;
    let thing = client.resource("toy_thing").unwrap();
    let plan = plan(&thing, None, &full()).await;
    assert_eq!(plan.action, Action::Create);
    assert_eq!(plan.planned["id"].to_json(), json!("a"));
    assert_eq!(plan.planned["revision"].to_json(), json!(UNKNOWN));
    let state = thing.apply(&plan, &full()).await.unwrap().ok().unwrap();
    assert_eq!(state.value["revision"].to_json(), json!(1));
    assert_eq!(state.identity.unwrap().to_json(), json!({"name": "a"}));
}

#[tokio::test]
async fn a_plan_after_an_apply_is_empty_with_and_without_a_refresh() {
    let client = client(&World::default()).await;
    let thing = client.resource("toy_thing").unwrap();
    let state = apply(&thing, None, &full()).await;
    let again = plan(&thing, Some(&state), &full()).await;
    assert_eq!(
        (again.action, again.planned),
        (Action::NoOp, state.value.clone())
    );
    let read = thing.read(&state).await.unwrap().ok().unwrap();
    assert_eq!(read, state);
    assert_eq!(
        plan(&thing, Some(&read), &full()).await.action,
        Action::NoOp
    );
}

#[tokio::test]
async fn every_attribute_may_be_unknown_and_stays_so() {
    let client = client(&World::default()).await;
    let thing = client.resource("toy_thing").unwrap();
    let state = apply(&thing, None, &full()).await;
    for (name, attribute) in thing.attributes() {
        if attribute.computed {
            continue;
        }
        let mut config = full();
        config[name] = json!(UNKNOWN);
        for prior in [None, Some(&state)] {
            let plan = plan(&thing, prior, &config).await;
            assert_eq!(
                plan.planned[name.as_str()].to_json(),
                json!(UNKNOWN),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn an_update_in_place_keeps_what_does_not_change() {
    let client = client(&World::default()).await;
    let thing = client.resource("toy_thing").unwrap();
    let state = apply(&thing, None, &full()).await;
    let mut config = full();
    config["labels"] = json!({"version": "v2"});
    config["ports"] = json!({"http": {"number": 80}, "new": {"number": 1}});
    config["sizes"] = json!([1, 2]);
    config["share"] = Json::Null;
    let planned = plan(&thing, Some(&state), &config).await;
    assert_eq!(planned.action, Action::Update);
    assert_eq!(planned.planned["id"], state.value["id"]);
    assert_eq!(planned.planned["revision"].to_json(), json!(UNKNOWN));
    let state = thing.apply(&planned, &config).await.unwrap().ok().unwrap();
    assert_eq!(state.value["revision"].to_json(), json!(2));
    assert_eq!(
        plan(&thing, Some(&state), &config).await.action,
        Action::NoOp
    );
}

#[tokio::test]
async fn an_attribute_without_consequence_leaves_every_output_known() {
    let client = client(&World::default()).await;
    let thing = client.resource("toy_thing").unwrap();
    let state = apply(&thing, None, &full()).await;
    let mut config = full();
    config["timeouts"] = json!({"create": "1h"});
    let planned = plan(&thing, Some(&state), &config).await;
    assert_eq!(
        (planned.action, planned.planned.is_known()),
        (Action::Update, true)
    );
    let state = thing.apply(&planned, &config).await.unwrap().ok().unwrap();
    assert_eq!(state.value["revision"].to_json(), json!(1));
}

#[tokio::test]
async fn a_change_of_a_replacing_attribute_replaces() {
    let world = World::default();
    let client = client(&world).await;
    let thing = client.resource("toy_thing").unwrap();
    let state = apply(&thing, None, &full()).await;
    let mut config = full();
    config["name"] = json!(UNKNOWN);
    let planned = plan(&thing, Some(&state), &config).await;
    assert_eq!(planned.action, Action::Replace);
    assert_eq!(planned.planned["id"].to_json(), json!(UNKNOWN));
    config["name"] = json!("b");
    let state = thing.apply(&planned, &config).await.unwrap().ok().unwrap();
    assert_eq!(state.identity.unwrap().to_json(), json!({"name": "b"}));
    assert_eq!(world.things().keys().collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn drift_is_shown_and_repaired() {
    let world = World::default();
    let client = client(&world).await;
    let thing = client.resource("toy_thing").unwrap();
    let state = apply(&thing, None, &full()).await;
    world.things().get_mut("a").unwrap().drift = vec!["it has fallen over".into()];
    let read = thing.read(&state).await.unwrap().ok().unwrap();
    assert_eq!(read.value["drift"].to_json(), json!(["it has fallen over"]));
    let planned = plan(&thing, Some(&read), &full()).await;
    assert_eq!(
        (planned.action, planned.planned["drift"].to_json()),
        (Action::Update, json!([]))
    );
    let repaired = thing.apply(&planned, &full()).await.unwrap().ok().unwrap();
    assert_eq!(
        plan(&thing, Some(&repaired), &full()).await.action,
        Action::NoOp
    );
}

#[tokio::test]
async fn what_is_gone_is_created_again() {
    let world = World::default();
    let client = client(&world).await;
    let thing = client.resource("toy_thing").unwrap();
    let state = apply(&thing, None, &full()).await;
    world.things().clear();
    let read = thing.read(&state).await.unwrap();
    assert!(read.value.is_none() && read.diagnostics.is_empty());
    assert_eq!(plan(&thing, None, &full()).await.action, Action::Create);
    assert!(thing.destroy(&state).await.unwrap().errors().is_empty());
}

#[tokio::test]
async fn an_import_by_id_and_by_identity_gives_the_same() {
    let world = World::default();
    world.things().insert(
        "a".into(),
        Thing {
            revision: 7,
            drift: vec![],
        },
    );
    let client = client(&world).await;
    let thing = client.resource("toy_thing").unwrap();
    let by_id = thing.import("a").await.unwrap().ok().unwrap();
    let by_identity = thing
        .import_identity(&json!({"name": "a"}))
        .await
        .unwrap()
        .ok()
        .unwrap();
    assert_eq!(by_id, by_identity);
    assert_eq!(by_id.value["revision"].to_json(), json!(7));
    assert_eq!(
        plan(&thing, Some(&by_id), &json!({"name": "a"}))
            .await
            .action,
        Action::NoOp
    );
    let refused = thing.import("b").await.unwrap();
    assert_eq!(refused.errors()[0].summary, "No such thing");
}

#[tokio::test]
async fn an_unknown_provider_block_is_no_obstacle_for_a_plan() {
    let client = client(&World::default()).await;
    client
        .configure(&json!({"world": UNKNOWN}))
        .await
        .unwrap()
        .ok()
        .unwrap();
    let thing = client.resource("toy_thing").unwrap();
    assert_eq!(plan(&thing, None, &full()).await.action, Action::Create);
}

#[tokio::test]
async fn a_value_of_20_mebibytes_survives() {
    let client = client(&World::default()).await;
    let thing = client.resource("toy_thing").unwrap();
    let config = json!({"name": "a", "labels": {"long": "x".repeat(20 << 20)}});
    let state = apply(&thing, None, &config).await;
    assert_eq!(state.value["labels"].to_json(), config["labels"]);
}

#[tokio::test]
async fn ten_calls_run_at_once() {
    let world = World::default();
    let client = client(&world).await;
    let thing = client.resource("toy_thing").unwrap();
    let configs: Vec<_> = ('a'..='j')
        .map(|name| json!({"name": name.to_string()}))
        .collect();
    let applies = configs.iter().map(|config| apply(&thing, None, config));
    assert_eq!(futures::future::join_all(applies).await.len(), 10);
    assert_eq!(world.things().len(), 10);
}
