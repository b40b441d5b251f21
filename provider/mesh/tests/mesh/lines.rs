//! Lines of drift in state: those of former versions, with an arrow, have the same meaning as today's.

use mesh::cause::Cause;
use mesh::desired::{Kind, Manifest};
use mesh::drift::{Finding, What, shows};
use proptest::prelude::*;
use serde_json::json;

use crate::sample::p;

/// All kinds of lines that a former version wrote.
const FORMER: &str = include_str!("lines/former.txt");
/// The same lines as they are written today.
const TODAY: &str = include_str!("lines/today.txt");

fn pairs() -> Vec<(&'static str, &'static str)> {
    assert_eq!(FORMER.lines().count(), TODAY.lines().count());
    FORMER.lines().zip(TODAY.lines()).collect()
}

#[test]
fn every_known_line_round_trips() {
    let lines = pairs().into_iter();
    for line in lines.flat_map(|(former, today)| [former, today]) {
        assert_eq!(Finding::from(line).to_string(), line);
    }
}

proptest! {
    #[test]
    fn any_text_round_trips(
        text in "((configuration|mesh|files|machine|proxy|certificate): )?(/etc/hosts: |[a-z]{0,4}: )?[a-z.' ]{0,12}( is missing| is not wanted| differs| was changed| is '[a-z',]{0,6}', should be '[a-z']{0,6}'?|, should not be there)?\\PC{0,8}"
    ) {
        prop_assert_eq!(Finding::from(text.as_str()).to_string(), text);
    }
}

#[test]
fn a_line_of_a_former_version_has_the_same_meaning_as_todays() {
    for (former, today) in pairs() {
        let [was, is] = [former, today].map(Finding::from);
        // Former versions did not name the line of /etc/hosts.
        if !former.contains("/etc/hosts: ") {
            let about = |of: &Finding| (of.cause, of.subject.clone(), of.at.clone());
            assert_eq!(about(&was), about(&is), "{former}");
        }
        assert_eq!(was.edit(), is.edit(), "{former}");
        let touched = |of: Finding| mesh::source::touched([], &[of]);
        assert_eq!(touched(was), touched(is), "{former}");
    }
}

#[test]
fn a_line_is_parsed_into_cause_subject_and_difference() {
    let env = Some("/var/lib/istio/envoy/cluster.env");
    let said = |text: &str| What::Said(text.to_owned());
    for (text, cause, subject, at, what) in [
        (
            "mesh: /var/lib/istio/envoy/cluster.env: TRUST_DOMAIN is 'a', should be 'b'",
            Some(Cause::Mesh),
            env,
            "TRUST_DOMAIN",
            What::Differs {
                is: "a".into(),
                should: "b".into(),
            },
        ),
        (
            "mesh: /var/lib/istio/envoy/cluster.env: TRUST_DOMAIN 'a' -> 'b'",
            Some(Cause::Mesh),
            env,
            "TRUST_DOMAIN",
            said(" 'a' -> 'b'"),
        ),
        (
            "files: /var/lib/istio/envoy/cluster.env: mode 0666 -> 0644",
            Some(Cause::Files),
            env,
            "mode",
            said(" 0666 -> 0644"),
        ),
        (
            "proxy: package istio-sidecar is missing, should be '1.31.0'",
            Some(Cause::Proxy),
            None,
            "package istio-sidecar",
            What::Missing {
                should: Some("1.31.0".into()),
            },
        ),
        (
            "WorkloadEntry a/b: spec.labels.x is '1', should not be there",
            None,
            Some("WorkloadEntry a/b"),
            "spec.labels.x",
            What::Unwanted {
                is: Some("1".into()),
            },
        ),
        (
            "configuration: labels.version was changed",
            Some(Cause::Configuration),
            None,
            "labels.version",
            What::Edited,
        ),
        (
            "the bootstrap was not finished",
            None,
            None,
            "the bootstrap was not finished",
            What::Unfinished,
        ),
    ] {
        let wanted = Finding::new(cause, subject, at, what);
        assert_eq!(Finding::from(text), wanted, "{text}");
    }
}

#[test]
fn both_forms_of_a_line_show_that_a_field_differs() {
    let entry = Manifest {
        kind: Kind::WorkloadEntry,
        id: p("bookinfo/ratings-vm-1"),
        body: json!({}),
    };
    let lines = |text: &'static str| text.lines().map(Finding::from).collect::<Vec<_>>();
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
