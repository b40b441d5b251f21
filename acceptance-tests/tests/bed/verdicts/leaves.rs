//! Compares the texts that a type accepts with those that the API server accepts in its place.

use std::fmt::Display;
use std::str::FromStr;

use acceptance_tests::{Done, Result, Scenario};
use mesh::desired::{Kind, Manifest};
use mesh::names::{
    Address, Cidr, EgressHost, ExportTo, Host, LabelKey, LabelValue, Listen, Name, PortName,
    Protocol,
};
use serde_json::{Value, json};

use super::edits::{Numbers, p};
use super::server::Server;

/// Number of random texts for each place, in addition to known special cases.
const TEXTS: usize = 40;

/// A place of a text in an object.
struct Place {
    name: &'static str,
    takes: fn(&str) -> bool,
    /// Reason why the type rejects more than the server, if it does.
    stricter: Option<&'static str>,
    kind: Kind,
    spec: fn(&str) -> Value,
}

fn takes<T: FromStr + Display>(text: &str) -> bool {
    text.parse::<T>().is_ok()
}

#[expect(clippy::too_many_lines, reason = "a table: one row for each place")]
fn places() -> Vec<Place> {
    let place = |name, takes, stricter, kind, spec| Place {
        name,
        takes,
        stricter,
        kind,
        spec,
    };
    let (entry, service, sidecar) = (Kind::WorkloadEntry, Kind::ServiceEntry, Kind::Sidecar);
    vec![
        place(
            "address",
            takes::<Address>,
            Some("a VM is no unix socket"),
            entry,
            |text| json!({ "address": text }),
        ),
        place(
            "label key",
            takes::<LabelKey>,
            None,
            entry,
            |text| json!({ "address": "10.0.0.1", "labels": { text: "a" } }),
        ),
        place(
            "label value",
            takes::<LabelValue>,
            Some("63 characters, as a selector has"),
            entry,
            |text| json!({ "address": "10.0.0.1", "labels": { "a": text } }),
        ),
        place(
            "entry port",
            takes::<PortName>,
            None,
            entry,
            |text| json!({ "address": "10.0.0.1", "ports": { text: 80 } }),
        ),
        place(
            "service account",
            takes::<Name>,
            Some("it must be one that can exist"),
            entry,
            |text| json!({ "address": "10.0.0.1", "serviceAccount": text }),
        ),
        place(
            "host",
            takes::<Host>,
            Some("a partial wildcard matches nothing, and a number reads as an address"),
            service,
            |text| with(&json!({ "hosts": [text] })),
        ),
        place("virtual address", takes::<Cidr>, None, service, |text| {
            with(&json!({ "addresses": [text] }))
        }),
        place(
            "export",
            takes::<ExportTo>,
            Some("no namespace has capitals"),
            service,
            |text| with(&json!({ "exportTo": [text] })),
        ),
        place(
            "port name",
            takes::<PortName>,
            Some("62 characters, as an entry's port has"),
            service,
            |text| with(&json!({ "ports": [{ "number": 80, "name": text, "protocol": "HTTP" }] })),
        ),
        place(
            "protocol",
            takes::<Protocol>,
            Some("unset is no protocol here"),
            service,
            |text| with(&json!({ "ports": [{ "number": 80, "name": "a", "protocol": text }] })),
        ),
        place(
            "egress host",
            takes::<EgressHost>,
            Some("no namespace has capitals"),
            sidecar,
            |text| json!({ "egress": [{ "hosts": [text] }] }),
        ),
        place(
            "bind",
            takes::<Listen>,
            Some("the kernel takes 107 bytes, and no control characters"),
            sidecar,
            |text| {
                let number = u8::from(!text.starts_with("unix://"));
                let port = json!({ "name": "a", "number": number, "protocol": "TCP" });
                json!({ "egress": [{ "bind": text, "port": port, "hosts": ["./*"] }] })
            },
        ),
    ]
}

/// Returns a valid service with other fields.
fn with(fields: &Value) -> Value {
    let mut spec = json!({
        "hosts": ["a.b"], "location": "MESH_INTERNAL", "resolution": "STATIC",
        "ports": [{ "number": 80, "name": "a", "protocol": "HTTP" }],
        "workloadSelector": { "labels": { "a": "b" } },
    });
    for (field, value) in fields.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    spec
}

fn texts(numbers: &mut Numbers) -> Vec<String> {
    let long = [
        "x".repeat(62),
        "x".repeat(63),
        "x".repeat(64),
        "y.".repeat(127),
    ];
    let mut pieces = vec![
        "a",
        "B",
        "1",
        "-",
        ".",
        "/",
        "*",
        "_",
        "~",
        "0",
        "10.0.0.1",
        "fd00::1",
        "/24",
        "a.b",
        "é",
        " ",
        "%",
        "unix://",
        "@",
        "HTTP",
        "tcp",
        "Grpc-Web",
        "MYSQL",
        "/run/x",
        "::ffff:1.2.3.4",
        "010.0.0.1",
        "./",
        "*.",
        "~ns/",
    ];
    pieces.extend(long.iter().map(String::as_str));
    let usual = [
        "./*",
        "*/a.b",
        "~/*",
        "ns/*.b",
        "~ns/*",
        "./single",
        "*.corp",
        "unix:///run/x",
    ];
    let whole = pieces.iter().chain(&usual).map(|&piece| piece.to_owned());
    let whole: Vec<String> = whole.collect();
    let made = (0..TEXTS).map(|_| {
        (0..=numbers.below(3))
            .map(|_| numbers.pick(&pieces))
            .collect()
    });
    whole.into_iter().chain(made).collect()
}

#[test]
fn the_api_server_and_istiod_accept_the_texts_that_the_types_accept() -> Done {
    let scenario = Scenario::begin("texts")?;
    let server = Server::new(&scenario)?;
    let mut numbers = Numbers(super::SEED);
    let places = places();
    let asked: Vec<(&Place, String)> = places
        .iter()
        .flat_map(|place| {
            texts(&mut numbers)
                .into_iter()
                .map(move |text| (place, text))
        })
        .collect();
    let objects: Vec<Vec<Manifest>> = asked
        .iter()
        .map(|(place, text)| vec![object(place, text)])
        .collect();
    let accepted = server.accepts(&objects)?;
    let wrong = asked
        .iter()
        .zip(&accepted)
        .filter(|((place, text), accepted)| {
            let ours = (place.takes)(text);
            ours != **accepted && (ours || place.stricter.is_none())
        });
    let shown: Result<Vec<String>> = wrong
        .take(20)
        .map(|((place, text), accepted)| {
            let said = server.reason(&[object(place, text)])?;
            Ok(format!(
                "{} {text:?}: accepted {accepted}: {said}",
                place.name
            ))
        })
        .collect();
    let shown = shown?;
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    for place in &places {
        let of_place = asked.iter().filter(|(of, _)| of.name == place.name);
        let (good, bad): (Vec<_>, Vec<_>) = of_place.partition(|(of, text)| (of.takes)(text));
        let both = good.len() > 2 && bad.len() > 2;
        assert!(
            both,
            "{}: takes {} and refuses {}",
            place.name,
            good.len(),
            bad.len()
        );
    }
    Ok(())
}

fn object(place: &Place, text: &str) -> Manifest {
    Manifest {
        kind: place.kind,
        id: p("any/any"),
        body: json!({ "metadata": {}, "spec": (place.spec)(text) }),
    }
}
