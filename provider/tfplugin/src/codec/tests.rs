//! The codec against golden bytes, against another `MessagePack` library, and against noise.

use std::collections::BTreeMap;

use expect_test::expect;
use proptest::prelude::*;
use rmpv::Value as Pack;

use plugin::{Kind, Raw};

use super::{json, msgpack};

fn text(text: &str) -> Raw {
    Raw::Text(text.to_owned())
}

fn number(text: &str) -> Raw {
    Raw::Number(text.parse().unwrap())
}

fn list(kind: Kind) -> Kind {
    Kind::List(Box::new(kind))
}

fn object<const N: usize>(attributes: [(&str, Kind); N]) -> Kind {
    Kind::Object(
        attributes
            .into_iter()
            .map(|(name, kind)| (name.to_owned(), kind))
            .collect(),
    )
}

fn packed(value: &Pack) -> Vec<u8> {
    let mut bytes = vec![];
    rmpv::encode::write_value(&mut bytes, value).unwrap();
    bytes
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.split_whitespace().collect();
    digits
        .iter()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// Each row: what Terraform sends, as hex; its type; what it means.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn terraforms_own_bytes_are_understood() {
    let pair = || list(Kind::Text);
    let vectors = [
        ("c0", Kind::Text, Raw::Null),
        ("c3", Kind::Bool, Raw::Bool(true)),
        ("07", Kind::Number, number("7")),
        ("ff", Kind::Number, number("-1")),
        ("cd 03 e8", Kind::Number, number("1000")),
        (
            "d3 80 00 00 00 00 00 00 00",
            Kind::Number,
            number("-9223372036854775808"),
        ),
        (
            "cf ff ff ff ff ff ff ff ff",
            Kind::Number,
            number("18446744073709551615"),
        ),
        ("cb 40 04 00 00 00 00 00 00", Kind::Number, number("2.5")),
        ("ca 40 20 00 00", Kind::Number, number("2.5")),
        ("a3 30 2e 31", Kind::Number, number("0.1")),
        ("a5 31 65 34 30 30", Kind::Number, number("1e400")),
        ("a1 61", Kind::Text, text("a")),
        ("a3 65 cc 81", Kind::Text, text("\u{e9}")),
        ("d9 02 68 69", Kind::Text, text("hi")),
        ("d4 00 00", Kind::Text, Raw::Unknown),
        ("c7 03 0c 81 01 c2", Kind::Text, Raw::Unknown),
        ("d5 2a 00 00", pair(), Raw::Unknown),
        ("92 a1 61 c0", pair(), Raw::List(vec![text("a"), Raw::Null])),
        (
            "92 a1 61 d4 00 00",
            Kind::Set(Box::new(Kind::Text)),
            Raw::List(vec![text("a"), Raw::Unknown]),
        ),
        (
            "92 a1 61 01",
            Kind::Tuple(vec![Kind::Text, Kind::Number]),
            Raw::List(vec![text("a"), number("1")]),
        ),
        (
            "81 a1 6b c0",
            Kind::Map(Box::new(Kind::Bool)),
            Raw::Map([("k".into(), Raw::Null)].into()),
        ),
        (
            "82 a1 61 90 a1 62 c0",
            object([("a", pair()), ("b", object([("c", Kind::Text)]))]),
            Raw::Map([("a".into(), Raw::List(vec![])), ("b".into(), Raw::Null)].into()),
        ),
        (
            "92 c4 08 22 73 74 72 69 6e 67 22 a1 61",
            Kind::Dynamic,
            Raw::Dynamic {
                kind: Kind::Text,
                value: Box::new(text("a")),
            },
        ),
        (
            "92 c4 06 22 62 6f 6f 6c 22 d4 00 00",
            Kind::Dynamic,
            Raw::Dynamic {
                kind: Kind::Bool,
                value: Box::new(Raw::Unknown),
            },
        ),
        ("d4 00 00", Kind::Dynamic, Raw::Unknown),
        ("c0", Kind::Dynamic, Raw::Null),
    ];
    for (hex, kind, meaning) in vectors {
        assert_eq!(msgpack::decode(&bytes(hex), &kind), Ok(meaning), "{hex}");
    }
}

#[test]
fn what_we_send_is_what_terraform_expects() {
    let vectors = [
        (Raw::Unknown, "d4 00 00"),
        (number("7.0"), "07"),
        (number("9223372036854775807"), "cf 7f ff ff ff ff ff ff ff"),
        (
            number("18446744073709551615"),
            "b4 31 38 34 34 36 37 34 34 30 37 33 37 30 39 35 35 31 36 31 35",
        ),
        (number("0.1"), "a3 30 2e 31"),
        (number("1e400"), "a5 31 65 34 30 30"),
        (text("e\u{301}"), "a2 c3 a9"),
        (
            Raw::Map([("e\u{301}".to_owned(), Raw::Null)].into()),
            "81 a2 c3 a9 c0",
        ),
    ];
    for (raw, hex) in vectors {
        assert_eq!(msgpack::encode(&raw), bytes(hex), "{raw}");
    }
}

#[test]
fn broken_bytes_say_where_and_why() {
    let kind = object([
        ("name", Kind::Text),
        (
            "ports",
            Kind::Map(Box::new(object([("number", Kind::Number)]))),
        ),
    ]);
    let port = |value: Pack| Pack::Map(vec![("number".into(), value)]);
    let broken = [
        packed(&Pack::Map(vec![(
            "ports".into(),
            Pack::Map(vec![("a b".into(), port("x".into()))]),
        )])),
        packed(&Pack::Map(vec![("name".into(), 1.into())])),
        packed(&Pack::Map(vec![("other".into(), 1.into())])),
        packed(&Pack::Map(vec![(1.into(), 1.into())])),
        packed(&Pack::Array(vec![])),
        vec![0xc0, 0xc0],
        vec![0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![],
        vec![0xc1],
        vec![0xa2, 0xff, 0xff],
    ];
    let reported: Vec<_> = broken
        .iter()
        .map(|bytes| {
            msgpack::decode(bytes, &kind).map_or_else(
                |err| format!("{}: {err}", err.at().notation()),
                |raw| raw.to_string(),
            )
        })
        .collect();
    expect![[r#"
        ports["a b"].number: "x" is not a decimal number
        name: a string is expected, not a number
        : there is no attribute "other"
        : a key is no string
        : an object is expected, not a list
        : bytes follow the value
        : an object is expected, not a list
        : the value ends too early
        : byte c1 has no meaning
        : a string is not UTF-8"#]]
    .assert_eq(&reported.join("\n"));
}

#[test]
fn endless_nesting_is_refused_and_not_followed() {
    let mut bytes = vec![];
    for _ in 0..100_000 {
        bytes.extend(*b"\x92\xc4\x09\"dynamic\"");
    }
    bytes.push(0xc0);
    assert!(msgpack::decode(&bytes, &Kind::Dynamic).is_err());
    let json = format!(
        "{}null{}",
        r#"{"type":"dynamic","value":"#.repeat(120),
        "}".repeat(120)
    );
    assert!(json::decode(json.as_bytes(), &Kind::Dynamic).is_err());
}

#[test]
fn a_stored_state_is_read_by_todays_schema() {
    let kind = object([
        ("name", Kind::Text),
        ("added", list(Kind::Text)),
        ("number", Kind::Number),
        ("any", Kind::Dynamic),
        ("map", Kind::Map(Box::new(Kind::Bool))),
    ]);
    let stored = r#"{"name":"e\u0301","gone":{"x":[1]},"number":1e400,"any":{"value":[1,"a"],"type":["tuple",["number","string"]]},"map":{"k":true,"n":null}}"#;
    let state = json::decode(stored.as_bytes(), &kind).unwrap();
    assert_eq!(*state.get("name"), text("\u{e9}"));
    assert_eq!(*state.get("added"), Raw::Null);
    assert_eq!(*state.get("gone"), Raw::Null);
    assert_eq!(state.get("number").to_string(), "1e400");
    assert_eq!(state.get("any").to_string(), "[1, a]");
    assert_eq!(state.get("map").to_string(), "{k = true, n = unset}");
    let kind = object([("n", Kind::Number)]);
    for digits in [
        "0.1",
        "18446744073709551616",
        "123456789012345678901234567890.5",
    ] {
        let state = json::decode(format!(r#"{{"n":{digits}}}"#).as_bytes(), &kind).unwrap();
        assert_eq!(state.get("n").to_string(), digits);
    }
    for broken in ["", "{", "[]", r#"{"n":"x"}"#, r#"{"n":[]}"#] {
        assert!(json::decode(broken.as_bytes(), &kind).is_err(), "{broken}");
    }
}

/// A type and a value of it.
fn typed() -> impl Strategy<Value = (Kind, Raw)> {
    let null = |kind: Kind| Just((kind, Raw::Null));
    let leaf = prop_oneof![
        "\\PC{0,12}".prop_map(|text| (Kind::Text, Raw::Text(super::composed(&text)))),
        "-?[0-9]{1,40}(\\.[0-9]{1,20})?".prop_map(|digits| (Kind::Number, number(&digits))),
        any::<bool>().prop_map(|value| (Kind::Bool, Raw::Bool(value))),
        Just((Kind::Text, Raw::Unknown)),
        null(Kind::Number),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            (inner.clone(), 0..4_usize)
                .prop_map(|((kind, raw), n)| (list(kind), Raw::List(vec![raw; n]))),
            (inner.clone(), "[a-z]{1,3}").prop_map(|((kind, raw), key)| {
                (Kind::Map(Box::new(kind)), Raw::Map([(key, raw)].into()))
            }),
            prop::collection::btree_map("[a-z]{1,3}", inner.clone(), 0..4).prop_map(|both| {
                let kinds = both
                    .iter()
                    .map(|(name, (kind, _))| (name.clone(), kind.clone()))
                    .collect();
                (
                    Kind::Object(kinds),
                    Raw::Map(
                        both.into_iter()
                            .map(|(name, (_, raw))| (name, raw))
                            .collect(),
                    ),
                )
            }),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|both| {
                let (kinds, items) = both.into_iter().unzip();
                (Kind::Tuple(kinds), Raw::List(items))
            }),
            inner
                .prop_filter("a dynamic value has a type and a value", |(kind, raw)| {
                    *kind != Kind::Dynamic && *raw != Raw::Null
                })
                .prop_map(|(kind, raw)| (
                    Kind::Dynamic,
                    Raw::Dynamic {
                        kind,
                        value: Box::new(raw)
                    }
                )),
        ]
    })
}

/// Writes a value as a stored state has it.
fn stored(raw: &Raw) -> String {
    let text = |text: &String| serde_json::to_string(text).unwrap();
    match raw {
        Raw::Null | Raw::Unknown => "null".to_owned(),
        Raw::Dynamic { value, .. } if stored(value) == "null" => "null".to_owned(),
        Raw::Bool(value) => value.to_string(),
        Raw::Number(number) => {
            // JSON has no leading zeros; the meaning is the same.
            let (sign, digits) = number
                .as_str()
                .strip_prefix('-')
                .map_or(("", number.as_str()), |digits| ("-", digits));
            let digits = digits.trim_start_matches('0');
            format!(
                "{sign}{}{digits}",
                if digits.is_empty() || digits.starts_with('.') {
                    "0"
                } else {
                    ""
                }
            )
        }
        Raw::Text(value) => text(value),
        Raw::List(items) => format!(
            "[{}]",
            items.iter().map(stored).collect::<Vec<_>>().join(",")
        ),
        Raw::Map(items) => {
            let entries: Vec<_> = items
                .iter()
                .map(|(key, item)| format!("{}:{}", text(key), stored(item)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        Raw::Dynamic { kind, value } => {
            format!(
                r#"{{"value":{},"type":{}}}"#,
                stored(value),
                super::kind::write(kind)
            )
        }
    }
}

/// Reads our bytes with a library that knows no types, as far as one can without them.
fn same(raw: &Raw, pack: &Pack) -> bool {
    match (raw, pack) {
        (Raw::Null, Pack::Nil) => true,
        (Raw::Unknown, Pack::Ext(code, body)) => *code == 0 && body.len() == 1,
        (Raw::Bool(left), Pack::Boolean(right)) => left == right,
        (Raw::Number(left), Pack::Integer(right)) => right
            .as_i64()
            .is_some_and(|right| left.to_i128() == Some(right.into())),
        (Raw::Number(left), Pack::String(right)) => right.as_str() == Some(left.as_str()),
        (Raw::Text(left), Pack::String(right)) => right.as_str() == Some(left),
        (Raw::List(left), Pack::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right))
        }
        (Raw::Map(left), Pack::Map(right)) => {
            let right: BTreeMap<_, _> = right
                .iter()
                .map(|(key, value)| (key.as_str().unwrap(), value))
                .collect();
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| same(value, right[key.as_str()]))
        }
        (Raw::Dynamic { kind, value }, Pack::Array(right)) => match &right[..] {
            [Pack::Binary(json), inner] => {
                *json == super::kind::write(kind).to_string().into_bytes() && same(value, inner)
            }
            _ => false,
        },
        _ => false,
    }
}

proptest! {
    #[test]
    fn every_value_survives_the_way_to_terraform_and_back((kind, raw) in typed()) {
        let bytes = msgpack::encode(&raw);
        prop_assert_eq!(msgpack::decode(&bytes, &kind).unwrap(), raw.clone());
        let pack = rmpv::decode::read_value(&mut bytes.as_slice()).unwrap();
        prop_assert!(same(&raw, &pack), "{} is {}", raw, pack);
        let again = super::kind::read(&super::kind::write(&kind)).unwrap();
        prop_assert_eq!(again, kind);
    }

    #[test]
    fn every_value_survives_a_stored_state((kind, raw) in typed()) {
        let state = json::decode(stored(&raw).as_bytes(), &kind).unwrap();
        // A dynamic null has lost its type, as it does in a state.
        prop_assert_eq!(stored(&state), stored(&raw));
    }

    #[test]
    fn noise_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), (kind, raw) in typed()) {
        drop(msgpack::decode(&bytes, &kind));
        drop(json::decode(&bytes, &kind));
        let mut cut = msgpack::encode(&raw);
        cut.pop();
        prop_assert!(msgpack::decode(&cut, &kind).is_err());
        let mut bent = msgpack::encode(&raw);
        for (at, byte) in bytes.iter().enumerate().take(2) {
            let at = (usize::from(*byte) + at) % bent.len();
            bent[at] ^= byte;
        }
        drop(msgpack::decode(&bent, &kind));
    }
}
