//! Lines of drift that state holds: those of former versions, with an arrow, mean what those of today do.

use mesh::drift::{Line, shows};
use mesh::{Cause, Kind, Manifest};
use serde_json::json;

use crate::sample::p;

/// Every kind of line that a former version wrote.
const FORMER: &str = include_str!("lines/former.txt");
/// The same, as they are written today.
const TODAY: &str = include_str!("lines/today.txt");

fn pairs() -> Vec<(&'static str, &'static str)> {
    assert_eq!(FORMER.lines().count(), TODAY.lines().count());
    FORMER.lines().zip(TODAY.lines()).collect()
}

#[test]
fn a_line_of_a_former_version_means_what_one_of_today_does() {
    for (former, today) in pairs() {
        assert_eq!(Line::of(former), Line::of(today), "{former}");
        let touched = |line: &str| mesh::touched([], &[line.to_owned()]);
        assert_eq!(touched(former), touched(today), "{former}");
    }
}

#[test]
fn a_line_of_either_form_is_read_as_what_it_says() {
    let lines = pairs().into_iter();
    for line in lines.flat_map(|(former, today)| [former, today]) {
        let read = Line::of(line);
        let text = match read.cause {
            Some(cause) => line.strip_prefix(&format!("{cause}: ")).unwrap(),
            None => line,
        };
        let is_of_object = ["WorkloadEntry", "ServiceEntry", "Sidecar"]
            .iter()
            .any(|kind| line.starts_with(kind));
        assert!(read.cause.is_none() || !is_of_object, "{line}");
        let rest = read.title.map_or(Some(text), |title| {
            text.strip_prefix(title)?.strip_prefix(": ")
        });
        let is_former_hosts = line.contains("/etc/hosts: '") || line.contains("/etc/hosts: none");
        assert!(
            is_former_hosts || rest.is_some_and(|rest| rest.starts_with(read.what)),
            "{line}: {read:?}"
        );
        assert!(
            !read.what.contains("->") && !read.what.contains("should be"),
            "{line}: {read:?}"
        );
    }
}

#[test]
fn what_a_line_is_about_is_found() {
    let line = |cause, title, what, is_edit| Line {
        cause,
        title,
        what,
        is_edit,
    };
    let env = "/var/lib/istio/envoy/cluster.env";
    for (text, wanted) in [
        (
            "mesh: /var/lib/istio/envoy/cluster.env: TRUST_DOMAIN 'a' -> 'b'",
            line(Some(Cause::Mesh), Some(env), "TRUST_DOMAIN", false),
        ),
        (
            "files: /var/lib/istio/envoy/cluster.env: mode 0666 -> 0644",
            line(Some(Cause::Files), Some(env), "mode", false),
        ),
        (
            "proxy: package istio-sidecar none -> '1.31.0'",
            line(Some(Cause::Proxy), None, "package istio-sidecar", false),
        ),
        (
            "configuration: labels.version was changed",
            line(Some(Cause::Configuration), None, "labels.version", true),
        ),
        (
            "the bootstrap was not finished",
            line(None, None, "the bootstrap was not finished", false),
        ),
    ] {
        assert_eq!(Line::of(text), wanted, "{text}");
    }
}

#[test]
fn a_line_of_either_form_shows_that_a_field_may_be_taken_back() {
    let entry = Manifest {
        kind: Kind::WorkloadEntry,
        id: p("bookinfo/ratings-vm-1"),
        body: json!({}),
    };
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for lines in [lines(FORMER), lines(TODAY)] {
        for field in [
            ".spec.labels.version",
            ".spec.labels",
            ".spec.serviceAccount",
            ".metadata.annotations.example.com/team",
        ] {
            assert!(shows(&lines, &entry, field), "{field}");
        }
        for field in [".spec.hosts", ".spec.labels.versions", ".spec.weight"] {
            assert!(!shows(&lines, &entry, field), "{field}");
        }
    }
}
