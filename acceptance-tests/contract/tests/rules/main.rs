//! Tests that a violation of each rule is detected and that a correct provider completes its life cycle.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use contract::{Action, Client, Error, Rule, State, UNKNOWN, Value};
use scripted::{Reply, Spoil, client, text};
use serde_json::{Value as Json, json};

mod scripted;

fn config() -> Json {
    json!({ "name": "a", "tags": ["x"], "secret": "s", "server": { "host": "h" }, "rule": [{ "port": "80" }] })
}

/// Runs create, read, update, import, upgrade and destroy, and stops at the first error.
async fn play(client: &Client) -> Result<(), Error> {
    let thing = client.resource("thing")?;
    let mut unknown = config();
    unknown["server"]["host"] = UNKNOWN.into();
    let plan = thing.plan(None, &unknown).await?.ok()?;
    let state = thing.apply(&plan, &config()).await?.ok()?;
    let state = thing.read(&state).await?.ok()?;
    let state = update(client, &state).await?;
    thing.upgrade(0, &state.value.to_json()).await?.ok()?;
    thing.import("a").await?.ok()?;
    match thing.destroy(&state).await? {
        left if left.errors().is_empty() => {
            let _: () = assert!(left.value.is_none());
            Ok(())
        }
        left => Err(Error::Diagnostics(left.diagnostics)),
    }
}

async fn update(client: &Client, state: &State) -> Result<State, Error> {
    let thing = client.resource("thing")?;
    let mut config = config();
    config["tags"] = json!(["y"]);
    let plan = thing.plan(Some(state), &config).await?.ok()?;
    assert_eq!(plan.action, Action::Update);
    thing.apply(&plan, &config).await?.ok()
}

#[tokio::test]
async fn a_correct_provider_violates_no_rule() {
    play(&client(|_| ()).await).await.unwrap();
}

/// A rule, the path of its violation, and the response that violates it.
const WRONG: &[(Rule, &str, Spoil)] = &[
    (Rule::ConfigEcho, "name", |r| {
        on(r, "plan", "name", text("b"));
    }),
    (Rule::ConfigEcho, "tags", |r| {
        on(r, "plan", "tags", Value::List(vec![]));
    }),
    (Rule::ConfigEcho, "server.host", |r| {
        on(r, "plan", "server", host("other"));
    }),
    (Rule::Existence, "server", |r| {
        on(r, "plan", "server", Value::Null);
    }),
    (Rule::Existence, "server", |r| {
        on(r, "plan", "server", Value::Unknown);
    }),
    (Rule::Existence, "rule", |r| {
        on(r, "plan", "rule", Value::Null);
    }),
    (Rule::Count, "rule", |r| {
        on(r, "plan", "rule", Value::List(vec![]));
    }),
    (Rule::Existence, "", |r| whole(r, "plan", Some(Value::Null))),
    (Rule::WriteOnly, "secret", |r| {
        on(r, "plan", "secret", text("s"));
    }),
    (Rule::WriteOnly, "secret", |r| {
        on(r, "apply", "secret", text("s"));
    }),
    (Rule::WriteOnly, "secret", |r| {
        on(r, "read", "secret", text("s"));
    }),
    (Rule::WriteOnly, "secret", |r| {
        on(r, "import", "secret", text("s"));
    }),
    (Rule::Encoding, "id", |r| {
        on(r, "plan", "id", Value::Bool(true));
    }),
    (Rule::Encoding, "extra", |r| {
        on(r, "apply", "extra", Value::Null);
    }),
    (Rule::Encoding, "", |r| whole(r, "read", None)),
    (Rule::Encoding, "", |r| whole(r, "upgrade", None)),
    (Rule::FinalPlan, "id", |r| {
        let id = if r.again { "2" } else { "1" };
        on(r, "plan", "id", text(id));
    }),
    (Rule::Result, "name", |r| on(r, "apply", "name", text("b"))),
    (Rule::Result, "tags", |r| {
        on(r, "apply", "tags", Value::Null);
    }),
    (Rule::Result, "", |r| whole(r, "apply", Some(Value::Null))),
    (Rule::Known, "id", |r| on(r, "apply", "id", Value::Unknown)),
    (Rule::Known, "id", |r| on(r, "read", "id", Value::Unknown)),
    (Rule::Known, "id", |r| on(r, "import", "id", Value::Unknown)),
    (Rule::Known, "id", |r| {
        on(r, "upgrade", "id", Value::Unknown);
    }),
    (Rule::DestroyPlan, "", |r| {
        whole(r, "destroy plan", Some(thing()));
    }),
    (Rule::Deleted, "", |r| whole(r, "delete", Some(thing()))),
    (Rule::Import, "", |r| whole(r, "import", Some(Value::Null))),
    (Rule::Import, "", |r| r.type_name = ""),
    (Rule::Import, "", |r| r.copies = 0),
    (Rule::Import, "", |r| r.copies = 2),
    (Rule::LegacyTypeSystem, "", |r| r.legacy = r.call == "plan"),
    (Rule::LegacyTypeSystem, "", |r| r.legacy = r.call == "apply"),
    (Rule::Deferred, "", |r| r.deferred = r.call == "plan"),
    (Rule::Deferred, "", |r| r.deferred = r.call == "read"),
    (Rule::RequiresReplace, "nothing", |r| {
        r.replace = vec!["nothing"];
    }),
    (Rule::Identity, "", |r| {
        if r.call == "apply" {
            r.identity = None;
        }
    }),
    (Rule::Identity, "", |r| {
        if r.call == "read" {
            r.identity = Some(name(text("b")));
        }
    }),
    (Rule::Identity, "", |r| {
        if r.call == "apply" {
            r.identity = Some(name(Value::Unknown));
        }
    }),
];

#[tokio::test]
async fn a_violation_of_each_rule_is_detected() {
    for (number, (rule, path, spoil)) in WRONG.iter().enumerate() {
        let result = play(&client(*spoil).await).await;
        caught(number, *rule, path, result);
    }
}

/// Rules of a data source: it returns a known value of its type that contains the configured values.
const WRONG_DATA: &[(Rule, &str, Spoil)] = &[
    (Rule::Existence, "", |r| whole(r, "data", Some(Value::Null))),
    (Rule::Existence, "", |r| whole(r, "data", None)),
    (Rule::Encoding, "id", |r| {
        on(r, "data", "id", Value::Bool(true));
    }),
    (Rule::Encoding, "extra", |r| {
        on(r, "data", "extra", Value::Null);
    }),
    (Rule::Known, "id", |r| on(r, "data", "id", Value::Unknown)),
    (Rule::ConfigEcho, "name", |r| {
        on(r, "data", "name", text("b"));
    }),
    (Rule::ConfigEcho, "server.host", |r| {
        on(r, "data", "server", host("other"));
    }),
    (Rule::Existence, "server", |r| {
        on(r, "data", "server", Value::Null);
    }),
    (Rule::Count, "rule", |r| {
        on(r, "data", "rule", Value::List(vec![]));
    }),
    (Rule::WriteOnly, "secret", |r| {
        on(r, "data", "secret", text("s"));
    }),
    (Rule::Deferred, "", |r| r.deferred = r.call == "data"),
];

async fn look_up(client: &Client) -> Result<Value, Error> {
    client.data_source("thing")?.read(&config()).await?.ok()
}

#[tokio::test]
async fn a_violation_by_a_data_source_is_detected() {
    let found = look_up(&client(|_| ()).await).await.unwrap();
    assert_eq!(found["id"], "1");
    for (number, (rule, path, spoil)) in WRONG_DATA.iter().enumerate() {
        let result = look_up(&client(*spoil).await).await;
        caught(number, *rule, path, result);
    }
}

fn caught<T: std::fmt::Debug>(number: usize, rule: Rule, path: &str, result: Result<T, Error>) {
    let Err(Error::Broken(violation)) = result else {
        panic!("case {number}, {rule:?}: {result:?}")
    };
    let expected = if path.is_empty() {
        "(the whole object)"
    } else {
        path
    };
    assert_eq!(
        (violation.rule, violation.path.to_string().as_str()),
        (rule, expected),
        "case {number}: {violation}"
    );
}

fn on(reply: &mut Reply, call: &str, name: &str, to: Value) {
    if reply.call == call {
        reply.set(name, to);
    }
}

fn whole(reply: &mut Reply, call: &str, to: Option<Value>) {
    if reply.call == call {
        reply.value = to;
    }
}

fn object(name: &str, value: Value) -> Value {
    Value::Map([(name.to_owned(), value)].into())
}

fn host(name: &str) -> Value {
    object("host", text(name))
}

fn name(value: Value) -> Value {
    object("name", value)
}

fn thing() -> Value {
    let Value::Map(mut all) = name(text("a")) else {
        unreachable!()
    };
    for null in ["id", "secret", "tags", "server"] {
        all.insert(null.to_owned(), Value::Null);
    }
    all.insert("rule".to_owned(), Value::List(vec![]));
    Value::Map(all)
}

#[tokio::test]
async fn a_change_that_requires_replacement_replaces() {
    let client = client(|reply| reply.replace = vec!["name"]).await;
    let thing = client.resource("thing").unwrap();
    let created = thing.plan(None, &config()).await.unwrap().ok().unwrap();
    assert_eq!(created.action, Action::Create);
    let state = thing
        .apply(&created, &config())
        .await
        .unwrap()
        .ok()
        .unwrap();
    let unchanged = thing
        .plan(Some(&state), &config())
        .await
        .unwrap()
        .ok()
        .unwrap();
    assert_eq!(unchanged.action, Action::NoOp);
    let mut renamed = config();
    renamed["name"] = "b".into();
    let plan = thing
        .plan(Some(&state), &renamed)
        .await
        .unwrap()
        .ok()
        .unwrap();
    assert_eq!(
        (plan.action, &plan.planned["id"]),
        (Action::Replace, &Value::Unknown)
    );
    let state = thing.apply(&plan, &renamed).await.unwrap().ok().unwrap();
    assert_eq!(state.value["name"], "b");
}

#[tokio::test]
async fn a_creation_that_failed_halfway_is_tainted_and_replaced() {
    let half = client(|reply| reply.error = reply.call == "apply").await;
    let thing = half.resource("thing").unwrap();
    let plan = thing.plan(None, &config()).await.unwrap().ok().unwrap();
    let answer = thing.apply(&plan, &config()).await.unwrap();
    assert_eq!(answer.errors().len(), 1);
    let state = answer.value.unwrap();
    assert!(state.tainted);
    let again = thing
        .plan(Some(&state), &config())
        .await
        .unwrap()
        .ok()
        .unwrap();
    assert_eq!(again.action, Action::Replace);
}

#[tokio::test]
async fn after_a_failed_call_the_state_is_the_one_that_terraform_keeps() {
    let lost: Spoil = |reply| {
        reply.error = matches!(reply.call, "apply" | "delete");
        if reply.error {
            reply.value = Some(Value::Null);
        }
    };
    let honest = client(|_| ()).await;
    let honest_thing = honest.resource("thing").unwrap();
    let plan = honest_thing
        .plan(None, &config())
        .await
        .unwrap()
        .ok()
        .unwrap();
    let state = honest_thing
        .apply(&plan, &config())
        .await
        .unwrap()
        .ok()
        .unwrap();

    let failing = client(lost).await;
    let thing = failing.resource("thing").unwrap();
    let created = thing.apply(&plan, &config()).await.unwrap();
    assert!(created.value.is_none(), "nothing was created");
    let mut changed = config();
    changed["tags"] = json!([]);
    let plan = thing
        .plan(Some(&state), &changed)
        .await
        .unwrap()
        .ok()
        .unwrap();
    let updated = thing.apply(&plan, &changed).await.unwrap();
    assert_eq!(
        updated.value,
        Some(state.clone()),
        "an update without a state changed nothing"
    );
    assert_eq!(
        thing.destroy(&state).await.unwrap().value,
        None,
        "a delete returns what is left"
    );
}

#[tokio::test]
async fn a_configuration_that_terraform_would_reject_is_not_sent() {
    let client = client(|_| ()).await;
    let thing = client.resource("thing").unwrap();
    let cases = [
        (json!({}), "name: required, but not set"),
        (
            json!({ "name": "a", "server": {} }),
            "server.host: required, but not set",
        ),
        (
            json!({ "name": 1 }),
            "name: expected a value of type String, found 1",
        ),
        (
            json!({ "name": "a", "nothing": 1 }),
            "nothing: expected no such attribute",
        ),
    ];
    for (config, expected) in cases {
        let Err(Error::Config(mismatch)) = thing.plan(None, &config).await else {
            panic!("{config} was sent")
        };
        assert!(mismatch.to_string().starts_with(expected), "{mismatch}");
    }
}
