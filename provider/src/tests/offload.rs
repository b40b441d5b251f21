//! Workloads whose VM Terraform does not reach.

use contract::UNKNOWN;
use expect_test::expect;
use serde_json::{Value as Json, json};

use mesh::desired::{Bundle, Owner};
use mesh::drift::Finding;
use mesh::names::Id;
use mesh::workload::{Interception, Proxy, Runtime};
use plugin::Value;
use vm::program::{Offload, Token};

use super::plans::planned;
use super::{full, none, provider, state, usual, with};
use crate::workload::archive::{self, There};
use crate::workload::input::{BundleInput, WorkloadInput};
use crate::workload::output::WorkloadOutput;

/// The usual workload, carried by an archive.
fn carried() -> Json {
    let mut config = usual();
    config["ssh"] = Json::Null;
    config["bundle"] = json!({ "path": "out/ratings.tar.gz", "token_version": 1 });
    config
}

#[tokio::test]
async fn an_archive_is_written_again_for_what_would_bootstrap_again_and_for_a_token() {
    let edits = [
        ("/labels/version", json!("v2")),
        ("/bundle/token_version", json!(2)),
        ("/services/ratings/hosts", json!(["ratings.other"])),
    ];
    let mut text = String::new();
    for (at, value) in edits {
        let plan = planned(&carried(), &none(), &with(carried(), at, value)).await;
        text.push_str(&format!("{at}: {plan}"));
    }
    expect![[r#"
        /labels/version: Update
          last_bootstrap_reasons: ["created"] -> ["labels.version: v1 -> v2"]
          machine_id: "4711" -> null
          proxy_version: "1.31.0" -> null
          unknown: bootstrapped_at, bundle_digest
        /bundle/token_version: Update
          last_bootstrap_reasons: ["created"] -> ["bundle.token_version: 1 -> 2"]
          machine_id: "4711" -> null
          proxy_version: "1.31.0" -> null
          unknown: bootstrapped_at, bundle_digest
        /services/ratings/hosts: Update
          machine_id: "4711" -> null
          proxy_version: "1.31.0" -> null
    "#]]
    .assert_eq(&text);
}

#[tokio::test]
async fn from_ssh_to_an_archive_and_back_is_a_bootstrap() {
    expect![[r#"
        Update
          last_bootstrap_reasons: ["created"] -> ["bundle.path: unset -> out/ratings.tar.gz","bundle.token_version: unset -> 1","ssh: removed"]
          machine_id: "4711" -> null
          proxy_version: "1.31.0" -> null
          unknown: bootstrapped_at, bundle_digest
    "#]].assert_eq(&planned(&usual(), &none(), &carried()).await);
    expect![[r#"
        Update
          last_bootstrap_reasons: ["created"] -> ["bundle.path: out/ratings.tar.gz -> unset","bundle.token_version: 1 -> unset","ssh: added"]
          unknown: bootstrapped_at, bundle_digest, machine_id, proxy_version
    "#]].assert_eq(&planned(&carried(), &none(), &usual()).await);
}

#[tokio::test]
async fn a_mesh_that_changed_since_the_archive_was_written_is_a_reason() {
    let line = "mesh: revision is 'default', should be 'canary'";
    let drift = json!({ "objects": [], "vm": [line] });
    expect![[r#"
        Update
          drift: {"objects":[],"vm":["mesh: revision is 'default', should be 'canary'"]} -> {"objects":[],"vm":[]}
          last_bootstrap_reasons: ["created"] -> ["drift: mesh: revision is 'default', should be 'canary'"]
          machine_id: "4711" -> null
          proxy_version: "1.31.0" -> null
          unknown: bootstrapped_at, bundle_digest, revision
    "#]].assert_eq(&planned(&carried(), &drift, &carried()).await);
}

#[tokio::test]
async fn an_archive_that_is_asked_for_is_written_whatever_is_held_back() {
    let mut held = carried();
    held["rebootstrap_on"] = json!([]);
    let client = provider(&json!({})).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let prior = state(&resource, &held, &none()).await;
    let after = with(held, "/bundle/token_version", json!(2));
    let plan = resource.plan(Some(&prior), &after).await.unwrap();
    let reasons = plan.ok().unwrap().planned["last_bootstrap_reasons"].to_json();
    assert_eq!(reasons, json!(["bundle.token_version: 1 -> 2"]));
}

#[test]
fn an_archive_differs_from_a_mesh_that_says_something_else_and_from_no_other() {
    let before = WorkloadOutput {
        revision: Value::Known("default".into()),
        control_plane: Value::Known("istiod.istio-system.svc:15012".into()),
        bundle_digest: Value::Known("0123".into()),
        ..WorkloadOutput::default()
    };
    let now = WorkloadOutput {
        bundle_digest: Value::Null,
        ..before.clone()
    };
    assert_eq!(before.facts().compare(&now.facts()), []);
    let now = WorkloadOutput {
        revision: Value::Known("canary".into()),
        control_plane: Value::Known("istiod-canary.istio-system.svc:15012".into()),
        ..now
    };
    let lines = [
        "mesh: revision is 'default', should be 'canary'",
        "mesh: control_plane is 'istiod.istio-system.svc:15012', should be 'istiod-canary.istio-system.svc:15012'",
    ];
    assert_eq!(
        before.facts().compare(&now.facts()),
        lines.map(Finding::from)
    );
}

#[tokio::test]
async fn two_ways_to_the_vm_are_refused() {
    let client = provider(&json!({})).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let mut both = usual();
    both["bundle"] = carried()["bundle"].clone();
    let reported = resource.validate(&both).await.unwrap().diagnostics;
    let [reported] = &reported[..] else {
        panic!("{reported:?}");
    };
    assert!(
        reported
            .to_string()
            .contains("ssh and bundle are both set at bundle")
    );
}

#[tokio::test]
async fn a_destroy_says_how_the_vm_is_cleaned_that_terraform_does_not_reach() {
    let client = provider(&json!({})).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let prior = state(&resource, &carried(), &none()).await;
    let reported = resource.plan_destroy(&prior).await.unwrap().diagnostics;
    let reported: Vec<_> = reported.iter().map(ToString::to_string).collect();
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert!(reported[0].contains("sh install.sh remove"), "{reported:?}");
}

#[tokio::test]
async fn what_a_bundle_is_asked_for_is_checked_as_a_workload_is_but_needs_no_address() {
    let client = provider(&json!({})).await;
    let source = client.data_source("mesh_vm_bundle").unwrap();
    let ephemeral = client.ephemeral_resource("mesh_vm_bundle").unwrap();
    let cases = [
        ("ratings", "cat /run/token", None),
        (
            "ratings",
            " ",
            Some("The token command cannot be used at token_command"),
        ),
        (
            "rat.ings",
            "cat /run/token",
            Some("Invalid workload at name"),
        ),
    ];
    for (name, command, expected) in cases {
        let mut config = json!({ "namespace": "bookinfo", "name": name, "token_command": command });
        let reported = source.validate(&config).await.unwrap().diagnostics;
        let reported: Vec<_> = reported.iter().map(ToString::to_string).collect();
        assert_eq!(
            reported.len(),
            usize::from(expected.is_some()),
            "{reported:?}"
        );
        for (reported, expected) in reported.iter().zip(expected) {
            assert!(reported.contains(expected), "{reported}");
        }
        config["token_command"] = json!(UNKNOWN);
        let reported = source.validate(&config).await.unwrap().diagnostics;
        assert_eq!(
            reported.len(),
            usize::from(name == "rat.ings"),
            "{reported:?}"
        );
        config.as_object_mut().unwrap().remove("token_command");
        let reported = ephemeral.validate(&config).await.unwrap().diagnostics;
        assert_eq!(
            reported.len(),
            usize::from(name == "rat.ings"),
            "{reported:?}"
        );
    }
}

/// The same of the proxy, wherever that is described.
#[tokio::test]
async fn a_token_command_of_the_proxy_that_does_nothing_is_refused() {
    let client = provider(&json!({})).await;
    let workload = client.resource("mesh_vm_workload").unwrap();
    let source = client.data_source("mesh_vm_bundle").unwrap();
    let ephemeral = client.ephemeral_resource("mesh_vm_bundle").unwrap();
    let cases = [
        (json!("cat /run/token"), ["", "", ""]),
        (json!(UNKNOWN), ["", "", ""]),
        (json!(null), ["", "", ""]),
        // The data source has one that is not the proxy's.
        (
            json!("cat /run/other"),
            ["", "must be the same as token_command", ""],
        ),
        (json!(" \n"), ["must be a shell command"; 3]),
    ];
    for (command, expected) in cases {
        let proxy = json!({ "token_command": command });
        let mut config = json!({ "namespace": "bookinfo", "name": "ratings", "proxy": proxy });
        let of_ephemeral = ephemeral.validate(&config).await.unwrap().diagnostics;
        config["token_command"] = json!("cat /run/token");
        let of_source = source.validate(&config).await.unwrap().diagnostics;
        let of_workload = with(full(), "/proxy/token_command", command);
        let of_workload = workload.validate(&of_workload).await.unwrap().diagnostics;
        for (reported, expected) in [of_workload, of_source, of_ephemeral].iter().zip(expected) {
            let texts: Vec<_> = reported.iter().map(ToString::to_string).collect();
            assert_eq!(texts.is_empty(), expected.is_empty(), "{config}: {texts:?}");
            let all = texts.concat();
            assert!(all.contains(expected), "{config}: {all}");
            assert!(
                all.is_empty()
                    || all.contains("[token-command]") && all.contains("proxy.token_command"),
                "{config}: {all}"
            );
        }
    }
}

#[tokio::test]
async fn an_address_of_the_package_that_may_hold_a_password_goes_into_no_user_data() {
    let client = provider(&json!({})).await;
    let source = client.data_source("mesh_vm_bundle").unwrap();
    for (url, refused) in [
        ("https://packages.example.com/istio.deb", false),
        ("https://me:secret@packages.example.com/istio.deb", true),
        (
            "https://packages.example.com/istio.deb?signature=secret",
            true,
        ),
    ] {
        let install = json!({ "url": url, "sha256": "a".repeat(64) });
        let config = json!({
            "namespace": "bookinfo", "name": "ratings", "token_command": "cat /run/token", "proxy": { "install": install },
        });
        let reported = source.validate(&config).await.unwrap().diagnostics;
        let reported: Vec<_> = reported.iter().map(ToString::to_string).collect();
        assert_eq!(reported.len(), usize::from(refused), "{reported:?}");
        assert!(
            reported
                .iter()
                .all(|reported| reported.contains("bundle-url") && !reported.contains("secret")),
            "{reported:?}"
        );
    }
}

#[test]
fn the_archive_of_another_workload_is_neither_overwritten_nor_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = &folder.path().join("ratings.tar.gz");
    let [ours, other] =
        ["bookinfo/ratings", "bookinfo/reviews"].map(|id| id.parse::<Id>().unwrap());
    let [none, of_ours, of_other] =
        [None, Some("10.0.0.1"), Some("10.0.0.2")].map(|address| wrote(&bundle(&other, address)));
    assert_eq!(archive::there(path, &ours, Some(&of_ours)), There::Nothing);
    let written = bundle(&other, Some("10.0.0.2"));
    let carried = Offload::new(&written, Token::Command("cat /token"));
    std::fs::write(path, carried.archive().unwrap()).unwrap();
    // Another name, and the same on another mesh.
    for (id, last) in [(&ours, &of_other), (&other, &of_ours), (&other, &none)] {
        let There::Other(found) = archive::there(path, id, Some(last)) else {
            panic!("{id}")
        };
        assert_eq!(found.owner, other);
        assert!(!found.leads_where(&bundle(&other, Some("10.0.0.1"))));
        // A create that was killed wrote it, and nobody remembers.
        assert!(found.leads_where(&written));
        assert!(archive::remove(path, id, last).is_empty());
    }
    assert_eq!(archive::there(path, &other, Some(&of_other)), There::Ours);
    assert!(std::fs::exists(path).unwrap());
    assert!(archive::remove(path, &other, &of_other).is_empty());
    assert!(!std::fs::exists(path).unwrap());

    // The user's own file, perhaps an archive that was packed again.
    std::fs::write(path, "the application's release").unwrap();
    assert_eq!(
        archive::there(path, &other, Some(&of_other)),
        There::Stranger
    );
    assert!(archive::remove(path, &other, &of_other).is_empty());
    assert!(std::fs::exists(path).unwrap());
}

#[test]
fn an_archive_goes_to_the_home_folder_that_its_path_names() {
    let bundle = BundleInput {
        path: Value::Known("~/ratings.tar.gz".to_owned()),
        ..BundleInput::default()
    };
    let input = WorkloadInput {
        bundle: Value::Known(bundle),
        ..WorkloadInput::default()
    };
    let home = std::env::home_dir().unwrap();
    assert_eq!(archive::path(&input), Some(home.join("ratings.tar.gz")));
}

#[test]
fn another_spelling_of_a_path_is_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (file, spelled) = (path("r.tar.gz"), path("./r.tar.gz"));
    assert!(archive::is_same(&file, &file));
    assert!(!archive::is_same(&file, &path("other.tar.gz")));
    for name in ["r.tar.gz", "other.tar.gz"] {
        std::fs::write(path(name), "").unwrap();
    }
    assert!(archive::is_same(&file, &spelled) && archive::is_same(&spelled, &file));
    assert!(!archive::is_same(&file, &path("other.tar.gz")));
}

/// What a state remembers of an archive.
fn wrote(bundle: &Bundle) -> WorkloadOutput {
    WorkloadOutput {
        bundle_digest: Value::Known(bundle.digest().to_string()),
        ..WorkloadOutput::default()
    }
}

fn bundle(id: &Id, istiod: Option<&str>) -> Bundle {
    Bundle {
        files: vec![],
        proxy: Proxy {
            runtime: Runtime::Systemd,
            image: None,
            pull_policy: None,
            interception: Interception::None,
            install: None,
            version: None,
            exclude_inbound_ports: vec![],
            exclude_cidrs: vec![],
            dns_capture: None,
            config: None,
            token_command: None,
        },
        own: std::collections::BTreeSet::new(),
        release: None,
        identity: "spiffe://cluster.local/ns/bookinfo/sa/reviews"
            .parse()
            .unwrap(),
        owner: Owner {
            uid: String::new(),
            id: id.clone(),
        },
        hosts_line: istiod.map(|address| format!("{address} istiod.istio-system.svc")),
        control_plane: "istiod.istio-system.svc:15012".into(),
        control_plane_san: "istiod.istio-system.svc".into(),
        has_other_root: false,
        authority: None,
        taken: vec![],
        inbound: mesh::desired::Inbound::default(),
        ports: mesh::ports::OF_EACH_PROXY.to_vec(),
        finds_address: false,
    }
}
