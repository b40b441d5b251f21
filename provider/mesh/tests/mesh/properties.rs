//! Properties of all workloads.

use std::collections::BTreeMap;

use mesh::drift::compare;
use mesh::facts::Facts;
use mesh::import::workload_from_objects;
use mesh::render::render;
use mesh::validate::validate;
use mesh::workload::{Sidecar, Workload};
use proptest::prelude::*;
use serde_json::json;

use crate::import::objects;
use crate::sample::{facts, p, service, workload};

/// Reads `KEY=word` lines as a POSIX shell does, for words of plain characters and quotes.
fn shell(text: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let mut chars = text.chars().peekable();
    while chars.peek().is_some() {
        let key: String = chars.by_ref().take_while(|c| *c != '=').collect();
        let (mut value, mut quote) = (String::new(), None);
        for c in chars.by_ref() {
            match (quote, c) {
                (None, '\n') => break,
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (Some('"'), '$' | '`' | '\\') => panic!("an expansion in {text}"),
                (None, c) if " \t;&|<>()$`\\*?[]#~!{}\r".contains(c) => {
                    panic!("{c:?} unquoted in {text}")
                }
                (_, c) => value.push(c),
            }
        }
        variables.insert(key, value);
    }
    variables
}

prop_compose! {
    fn any_workload()(
        name in "[a-z][a-z0-9-]{0,8}[a-z0-9]",
        address in prop_oneof![6 => Just("10.0.0.1"), 4 => Just("fd00::7"), 3 => Just("vm.example.com"), 1 => Just("0.0.0.0")],
        instance_ip in proptest::option::of(prop_oneof![Just("10.0.0.1"), Just("10.0.0.2"), Just("::1")]),
        labels in prop::collection::btree_map("[a-z]{1,3}(/[a-z]{1,3})?", "[a-z0-9]{0,4}", 0..4),
        weight in proptest::option::of(any::<u32>()),
        numbers in prop::collection::btree_map("[a-z]{1,3}", 1_u16.., 0..4),
        app in proptest::option::of(1_u16..),
        sidecar in proptest::option::of(prop::collection::vec("[a-z]{1,3}/\\*|\\./\\*\\.[a-z]{1,3}", 0..3)),
        env in prop::collection::btree_map("[A-Z_]{1,6}", "\\PC{0,12}|[ -~]{0,12}", 0..4),
        dns_capture in any::<Option<bool>>(),
    ) -> Workload {
        let mut any = workload();
        any.id.name = p(&name);
        any.address = Some(p(address));
        any.instance_ip = instance_ip.map(p);
        any.labels = labels.iter().map(|(key, value)| (p(key), p(value))).collect();
        any.weight = weight;
        any.services = numbers.iter().map(|(name, number)| (p(name), service(&format!("{name}.vm"), *number))).collect();
        if let Some(first) = any.services.values_mut().next() {
            first.ports.values_mut().for_each(|port| port.app_port = app.filter(|_| sidecar.is_some()).map(|app| app.try_into().unwrap()));
        }
        any.sidecar = sidecar.map(|hosts: Vec<String>| Sidecar { egress_hosts: hosts.iter().map(|host| p(host)).collect(), ..Sidecar::default() });
        any.env = env.iter().map(|(key, value)| (p(key), value.clone())).collect();
        any.proxy.dns_capture = dns_capture;
        any
    }
}

prop_compose! {
    /// Says again what a default is.
    fn any_wordy_workload()(
        workload in any_workload(),
        bind in proptest::option::of(prop_oneof![Just("10.0.0.1"), Just("10.0.0.2"), Just("127.0.0.1")]),
        app_address in proptest::option::of(prop_oneof![Just("127.0.0.1"), Just("0.0.0.0")]),
        target in proptest::option::of(1_u16..),
        excluded in prop::collection::vec(prop_oneof![Just(22_u16), Just(15090), Just(2222), Just(9999)], 0..4),
        cidrs in prop::collection::vec(prop_oneof![Just("10.0.0.1"), Just("10.0.0.1/32"), Just("168.63.129.16")], 0..4),
    ) -> Workload {
        let mut any = workload;
        for port in any.services.values_mut().flat_map(|service| service.ports.values_mut()) {
            port.target_port = target.map(|of| of.try_into().unwrap());
            if any.sidecar.is_some() {
                port.bind = bind.map(p);
                port.app_address = app_address.map(p);
            }
        }
        any.proxy.exclude_inbound_ports = excluded.into_iter().map(|port| port.try_into().unwrap()).collect();
        any.proxy.exclude_cidrs = cidrs.into_iter().map(p).collect();
        any
    }
}

prop_compose! {
    fn any_facts()(
        metadata in prop::collection::btree_map("[A-Z_]{1,6}|[a-z ='\n]{1,4}", "\\PC{0,12}|[ -~\n]{0,12}", 0..4),
        cluster_id in "[ -~]{0,8}",
    ) -> Facts {
        let mut any = facts();
        any.mesh_config = json!({ "defaultConfig": { "proxyMetadata": metadata, "concurrency": 2 } });
        any.cluster_id = cluster_id;
        any
    }
}

proptest! {
    #[test]
    fn a_shell_reads_the_same_values_from_cluster_env_as_the_mesh_config_has(workload in any_workload(), facts in any_facts()) {
        let Ok(mesh::desired::Desired { bundle, .. }) = render(&workload, &facts) else { return Ok(()) };
        let read = shell(std::str::from_utf8(&bundle.files[0].content).unwrap());
        let config: serde_json::Value = serde_yaml_ng::from_slice(&bundle.files[1].content).unwrap();
        for (key, value) in config["defaultConfig"]["proxyMetadata"].as_object().unwrap() {
            if key.parse::<mesh::names::EnvName>().is_ok() {
                prop_assert_eq!(read.get(key).map(String::as_str), value.as_str());
            } else {
                prop_assert!(!read.contains_key(key));
            }
        }
        prop_assert_eq!(&read["ISTIO_INBOUND_PORTS"], "*");
    }

    #[test]
    fn rendering_is_deterministic_and_rendered_objects_have_no_drift(workload in any_workload(), facts in any_facts()) {
        let desired = render(&workload, &facts);
        prop_assert_eq!(&desired, &render(&workload, &facts));
        let Ok(desired) = desired else {
            prop_assert!(!validate(&workload).is_empty());
            return Ok(());
        };
        let drift = compare(&desired, &objects(&workload), None, &crate::drift::expectations());
        prop_assert!(drift.is_empty(), "{drift:?}");
    }

    #[test]
    fn a_workload_and_its_meaning_render_the_same(workload in any_wordy_workload(), facts in any_facts()) {
        let meant = mesh::meaning::meaning(&workload);
        prop_assert_eq!(&mesh::meaning::meaning(&meant), &meant);
        let (Ok(one), Ok(other)) = (render(&workload, &facts), render(&meant, &facts)) else { return Ok(()) };
        prop_assert_eq!(one.objects(), other.objects());
        prop_assert_eq!(one.bundle.files, other.bundle.files);
    }

    #[test]
    fn the_digest_differs_if_and_only_if_a_watched_file_does(one in any_workload(), facts in any_facts(), other in any_workload()) {
        let (Ok(one), Ok(other)) = (render(&one, &facts), render(&other, &facts)) else { return Ok(()) };
        let watched = |of: &mesh::desired::Desired| (of.bundle.files[..2].to_vec(), of.bundle.hosts_line.clone());
        prop_assert_eq!(one.bundle.digest() == other.bundle.digest(), watched(&one) == watched(&other));
    }

    #[test]
    fn an_imported_workload_renders_the_objects_that_it_was_imported_from(workload in any_workload()) {
        let Ok(desired) = render(&workload, &facts()) else { return Ok(()) };
        let imported = workload_from_objects(&objects(&workload)).unwrap();
        match render(&imported.workload, &facts()) {
            Ok(again) => prop_assert_eq!(again.objects(), desired.objects()),
            // No object contains the VM's own address unless a listener binds it.
            Err(problems) => {
                prop_assert_eq!(problems[0].rule.name(), "fqdn-needs-instance-ip");
                prop_assert!(imported.notes[0].contains(&problems[0].text));
            }
        }
    }
}
