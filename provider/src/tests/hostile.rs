//! Whatever a VM, a cluster or a tool says, a terminal shows it, obeys nothing in it, and it is bounded.

use cluster::{ClusterError, FieldCause, FieldConflict};
use mesh::change::Problem;
use plugin::{Diagnostic, Paths};
use vm::VmError;

use crate::messages::{self, report};

fn hostile() -> Vec<String> {
    vec![
        "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m".into(),
        "denied\n\nError: all is lost\n\n[vm-reverted]\r".into(),
        "\u{202e}txt.exe\u{200b}".into(),
        "x".repeat(400_000),
        "a\n".repeat(200_000),
    ]
}

fn harmless(reported: &Diagnostic) {
    let text = format!("{}\n{}", reported.summary, reported.detail);
    assert!(text.chars().count() < 40_000, "{} characters", text.len());
    for line in text.lines() {
        assert!(plain::is_plain(line, 10_000), "{line:?}");
        assert!(!line.starts_with("Error: all is lost"), "{text}");
    }
    let codes = text.lines().filter(|line| line.starts_with('['));
    assert!(codes.count() <= 1, "{text}");
    assert!(reported.summary.lines().count() == 1 && reported.summary.len() < 100);
}

static ENTRIES: cluster::Resource = cluster::Resource {
    group: "networking.istio.io",
    version: "v1",
    plural: "workloadentries",
    kind: "WorkloadEntry",
};

fn call() -> cluster::Call {
    cluster::Call {
        verb: cluster::Verb::Patch,
        resource: &ENTRIES,
        namespace: "bookinfo".into(),
        name: "ratings".into(),
    }
}

#[test]
fn what_a_vm_says_is_shown_and_not_obeyed() {
    for text in hostile() {
        let lines = vec![text.clone(); 1000];
        harmless(&report::reverted("ready", Some("dns"), &lines));
        harmless(&report::halfway("ready", &lines));
        harmless(&report::not_removed("clean", &lines));
        let (host, user) = ("vm".to_owned(), text.clone());
        for error in [
            VmError::Remote {
                host: host.clone(),
                status: Some(1),
                begun: true,
                lines,
            },
            VmError::NoSudo {
                host: host.clone(),
                user: user.clone(),
                line: text.clone(),
            },
            VmError::Auth {
                host: host.clone(),
                user,
                offered: text.clone(),
                accepted: text.clone(),
            },
            VmError::Connect {
                host: host.clone(),
                cause: text.clone(),
            },
            VmError::HostKey {
                host: host.clone(),
                expected: "a key".into(),
                found: Some(text.clone()),
            },
            VmError::Token(text.clone().into()),
            VmError::Excess { host },
        ] {
            harmless(&messages::vm(&error));
        }
    }
}

#[test]
fn what_forbids_a_call_is_shown_and_not_obeyed() {
    for text in hostile() {
        for error in [
            ClusterError::Forbidden {
                call: call(),
                message: format!(
                    "User \"u\" cannot {text} resource \"{text}\" in API group \"{text}\""
                ),
            },
            ClusterError::Quota {
                call: call(),
                message: text.clone(),
            },
            ClusterError::Blocked {
                call: call(),
                message: text.clone(),
            },
        ] {
            harmless(&messages::cluster(&error));
        }
    }
}

#[test]
fn what_a_cluster_says_is_shown_and_not_obeyed() {
    for text in hostile() {
        let cause = FieldCause {
            field: text.clone(),
            message: text.clone(),
        };
        let held = FieldConflict {
            owner: text.clone(),
            field: text.clone(),
        };
        for error in [
            ClusterError::Credentials {
                origin: text.clone(),
                reason: text.clone(),
            },
            ClusterError::Denied {
                call: call(),
                message: text.clone(),
            },
            ClusterError::Forbidden {
                call: call(),
                message: text.clone(),
            },
            ClusterError::Invalid {
                call: call(),
                message: text.clone(),
                causes: vec![cause; 1000],
            },
            ClusterError::Conflict {
                call: call(),
                fields: vec![held; 100],
            },
            ClusterError::NotHealthy {
                id: "bookinfo/ratings".parse().unwrap(),
                why: text.clone(),
            },
            ClusterError::Unreachable {
                server: "https://api.example.com".into(),
                call: call(),
                source: Box::<dyn std::error::Error + Send + Sync>::from(text.clone()).into(),
            },
        ] {
            harmless(&messages::cluster(&error));
        }
        let problem = Problem {
            rule: mesh::rule::Rule::AddressTaken,
            text: text.clone(),
            concerns: vec![],
        };
        for reported in messages::problems(vec![problem], &Paths::default()) {
            harmless(&reported);
        }
    }
}

#[test]
fn what_a_plugin_and_its_kubeconfig_say_is_shown_and_not_obeyed() {
    for text in hostile() {
        for error in [
            ClusterError::NoPlugin {
                command: text.clone(),
                origin: text.clone(),
                install_hint: Some(text.clone()),
            },
            ClusterError::Plugin {
                command: text.clone(),
                origin: text.clone(),
                reason: text.clone(),
                printed: vec![text.clone(); 1000],
            },
        ] {
            harmless(&messages::cluster(&error));
        }
    }
}
