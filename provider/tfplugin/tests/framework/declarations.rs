//! What a declaration gives: schema, typed values, edits.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use plugin::{
    Diagnostics, Object, Path, Raw, SecretText, Shape, Value, edits, filled, unknown_from,
    unknown_where,
};
use proto::tfplugin6::{self as wire, provider_server::Provider as _, schema::Attribute};
use tfplugin::Server;
use tonic::Request;

use crate::{
    faulty::FaultyToy,
    toy::{ThingInput, ThingOutput, Toy, UPDATE, World},
};

fn text(text: &str) -> Raw {
    Raw::Text(text.to_owned())
}

fn number(digits: &str) -> Raw {
    Raw::Number(digits.parse().unwrap())
}

fn map<const N: usize>(items: [(&str, Raw); N]) -> Raw {
    Raw::Map(
        items
            .into_iter()
            .map(|(key, item)| (key.to_owned(), item))
            .collect(),
    )
}

fn read(raw: &Raw) -> (ThingInput, String) {
    let mut problems = Diagnostics::none();
    let input = <ThingInput as Shape>::read(raw, &Path::root(), &mut problems).unwrap();
    (
        input,
        problems
            .iter()
            .map(|problem| format!("{problem}\n"))
            .collect(),
    )
}

fn check_edits(before: &Raw, after: &Raw, expected: &Expect) {
    let found = edits(&<ThingInput as Object>::attributes(), before, after);
    expected.assert_eq(
        &found
            .iter()
            .map(|edit| format!("{edit:?}\n"))
            .collect::<String>(),
    );
}

#[test]
fn every_problem_is_reported_once_and_reads_as_unknown() {
    let raw = map([
        ("name", text("n0")),
        (
            "labels",
            map([("a", Raw::Unknown), ("b", Raw::Null), ("c", text("x"))]),
        ),
        (
            "ports",
            map([
                ("http", map([("number", number("70000"))])),
                ("grpc", map([("number", number("1.5"))])),
            ]),
        ),
        (
            "sizes",
            Raw::List(vec![number("-1"), number("1"), Raw::Null]),
        ),
        ("timeouts", map([("create", text("soon"))])),
    ]);
    let (input, problems) = read(&raw);
    expect![[r#"
        name: Invalid value: "n0" is no name.
        ports.grpc.number: Invalid value: must be a whole number from 0 to 65535, got 1.5.
        ports.http.number: Invalid value: must be a whole number from 0 to 65535, got 70000.
        sizes[0]: Invalid value: must be a whole number from 0 to 4294967295, got -1.
        sizes[2]: Invalid value: must not be null; leave the element out.
        timeouts.create: Invalid value: must be a length of time such as "30s", "20m" or "1h30m", got "soon".
    "#]]
    .assert_eq(&problems);
    assert!(input.name.is_unknown() && input.sizes.is_unknown());
    assert_eq!(
        input.labels,
        Value::Known([("c".to_owned(), "x".to_owned())].into())
    );
    assert!(input.ports.known().unwrap()["http"].number.is_unknown());
    assert!(input.password.is_null());
}

#[test]
fn what_is_read_is_written_again() {
    let raw = map([
        ("name", text("a")),
        ("labels", map([("k", text("v"))])),
        (
            "ports",
            map([(
                "http",
                map([("number", number("80")), ("protocol", Raw::Unknown)]),
            )]),
        ),
        ("sizes", Raw::List(vec![number("1")])),
        ("share", number("0.1000000000000000000000001")),
        ("password", Raw::Unknown),
        ("fault", Raw::Null),
        (
            "timeouts",
            map([
                ("create", text("1h30m")),
                ("read", Raw::Null),
                ("update", Raw::Null),
                ("delete", Raw::Null),
            ]),
        ),
    ]);
    let (input, problems) = read(&raw);
    assert_eq!((Shape::write(&input), problems), (raw, String::new()));
}

#[test]
fn edits_are_leaves_with_the_innermost_rule() {
    let before = map([
        ("name", text("a")),
        (
            "labels",
            map([
                ("version", text("v1")),
                ("gone", text("x")),
                ("same", text("s")),
            ]),
        ),
        (
            "ports",
            map([(
                "http",
                map([("number", number("80")), ("protocol", text("HTTP"))]),
            )]),
        ),
        ("password", text("geheim")),
        ("sizes", Raw::List(vec![number("1")])),
        ("share", number("1.0")),
    ]);
    let after = map([
        ("name", Raw::Unknown),
        (
            "labels",
            map([
                ("version", text("v2")),
                ("app.kubernetes.io/name", text("line\nbreak")),
                ("same", text("s")),
            ]),
        ),
        (
            "ports",
            map([
                (
                    "http",
                    map([("number", number("81")), ("protocol", text("HTTP"))]),
                ),
                ("b c", map([("number", number("1"))])),
            ]),
        ),
        ("password", text("anders")),
        (
            "sizes",
            Raw::List((0..40).map(|n| number(&n.to_string())).collect()),
        ),
        ("share", number("1")),
        ("fault", text("warn")),
    ]);
    check_edits(
        &before,
        &after,
        &expect![[r#"
            name unknown (Rule { rank: 2, replaces: true, topic: "", hides: false })
            labels["app.kubernetes.io/name"] unset -> line\nbreak (Rule { rank: 1, replaces: false, topic: "", hides: false })
            labels.gone x -> unset (Rule { rank: 1, replaces: false, topic: "", hides: false })
            labels.version v1 -> v2 (Rule { rank: 1, replaces: false, topic: "", hides: false })
            ports["b c"].number unset -> 1 (Rule { rank: 1, replaces: false, topic: "", hides: false })
            ports.http.number 80 -> 81 (Rule { rank: 1, replaces: false, topic: "", hides: false })
            sizes [1] -> [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1… (Rule { rank: 1, replaces: false, topic: "", hides: false })
            password (sensitive) changed (Rule { rank: 1, replaces: false, topic: "", hides: false })
            fault unset -> warn (Rule { rank: 0, replaces: false, topic: "", hides: false })
        "#]],
    );
}

#[test]
fn null_against_empty_and_unknown_wholes_are_one_edit() {
    let before = map([("labels", Raw::Null), ("ports", map([]))]);
    let after = map([("labels", map([])), ("ports", Raw::Unknown)]);
    let expected = expect![[r#"
        labels unset -> {} (Rule { rank: 1, replaces: false, topic: "", hides: false })
        ports unknown (Rule { rank: 1, replaces: false, topic: "", hides: false })
    "#]];
    check_edits(&before, &after, &expected);
    check_edits(&after, &after, &expect![""]);
}

#[test]
fn an_effect_makes_the_outputs_of_weaker_rules_unknown() {
    let output = ThingOutput {
        id: "a".to_owned().into(),
        revision: 1.into(),
        drift: vec![].into(),
    };
    let planned = unknown_from(&output, UPDATE.rank);
    assert_eq!(
        planned,
        ThingOutput {
            revision: Value::Unknown,
            ..output
        }
    );
}

#[test]
fn what_is_unknown_is_picked_by_declaration_and_value_and_filled_in_later() {
    let output = ThingOutput {
        id: "a".to_owned().into(),
        revision: 1.into(),
        drift: Value::Null,
    };
    let planned: ThingOutput = unknown_where(&output, |attribute: &plugin::Attribute, value| {
        attribute.name == "revision" || *value == Raw::Null
    });
    let expected = ThingOutput {
        revision: Value::Unknown,
        drift: Value::Unknown,
        ..output
    };
    assert_eq!(planned, expected);
    let reached = ThingOutput {
        id: "b".to_owned().into(),
        revision: 2.into(),
        drift: vec![].into(),
    };
    let expected = ThingOutput {
        id: planned.id.clone(),
        ..reached.clone()
    };
    assert_eq!(filled(&planned, &reached), expected);
}

#[test]
fn secrets_do_not_print() {
    assert_eq!(
        format!("{:?}", Value::Known(SecretText::from("geheim"))),
        "Known([hidden])"
    );
}

fn line(attribute: &Attribute, depth: usize) -> String {
    let flags = [
        (attribute.required, "required"),
        (attribute.optional, "optional"),
        (attribute.computed, "computed"),
        (attribute.sensitive, "sensitive"),
    ];
    let flags: Vec<_> = flags
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, flag)| *flag)
        .collect();
    let object = attribute.nested_type.as_ref();
    let ty = object.map_or_else(
        || String::from_utf8_lossy(&attribute.r#type).into_owned(),
        |object| format!("nesting {}", object.nesting),
    );
    let inner = object
        .into_iter()
        .flat_map(|object| &object.attributes)
        .map(|inner| line(inner, depth + 1));
    let indent = "  ".repeat(depth);
    format!(
        "{indent}{} {ty} {}: {:?}\n{}",
        attribute.name,
        flags.join(" "),
        attribute.description,
        inner.collect::<String>()
    )
}

#[tokio::test]
async fn the_schema_says_what_was_declared() {
    let server = Server::new(Toy(World::default()));
    let reply = server
        .get_provider_schema(Request::new(wire::get_provider_schema::Request {}))
        .await
        .unwrap()
        .into_inner();
    let block = reply.resource_schemas["toy_thing"].block.clone().unwrap();
    let lines: BTreeMap<_, _> = block
        .attributes
        .iter()
        .map(|attribute| (&attribute.name, line(attribute, 0)))
        .collect();
    expect![[r#"
        "A thing of the world.\n\nIt has labels."
        drift ["list","string"] computed: "What differs from what should be."
        fault "string" optional: "What goes wrong: `before`, `after`, `panic`, `hang`, `warn`, `keep`, `lose` or `read`."
        id "string" computed: "Its id."
        labels ["map","string"] optional: "Labels.\nKeys may have dots. Changing it updates the thing."
        name "string" required: "Name of the thing, a whole number of letters. Changing it replaces the thing."
        password "string" optional sensitive: "Not for eyes. Changing it updates the thing."
        ports nesting 4 optional: "Ports by name. Changing it updates the thing."
          number "number" required: "Its number. Changing it updates the thing."
          protocol "string" optional: "Its protocol. Changing it updates the thing."
        revision "number" computed: "How often it was changed."
        share "number" optional: "A share of any precision."
        sizes ["list","number"] optional: "Sizes. Changing it updates the thing."
        timeouts nesting 1 optional: "Limits."
          create "string" optional: "Limit of a create, as `30s`, `20m` or `1h30m`. Default: `20m`."
          read "string" optional: "Limit of a refresh. Default: `5m`."
          update "string" optional: "Limit of an update in place. Default: `20m`."
          delete "string" optional: "Limit of a delete. Default: `20m`."
    "#]].assert_eq(&format!(
        "{:?}\n{}",
        block.description,
        lines.into_values().collect::<String>()
    ));
    assert!(reply.diagnostics.is_empty());
    assert!(reply.provider.unwrap().block.is_some());
}

#[tokio::test]
async fn a_faulty_declaration_is_reported_with_the_schema() {
    let server = Server::new(FaultyToy);
    let reply = server
        .get_provider_schema(Request::new(wire::get_provider_schema::Request {}))
        .await
        .unwrap()
        .into_inner();
    let reported: Vec<_> = reply
        .diagnostics
        .iter()
        .map(|reported| reported.detail.as_str())
        .collect();
    expect![[r#"
        toy_faulty: `found` is on the wrong side of input and output. Report it.

        [faulty-schema]
        toy_faulty: `both` is in the input and in the output. Report it.

        [faulty-schema]
        toy_faulty: the identity `nothing` is no text of the input. Report it.

        [faulty-schema]"#]]
    .assert_eq(&reported.join("\n"));
}
