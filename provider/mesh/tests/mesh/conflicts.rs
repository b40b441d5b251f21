use expect_test::{Expect, expect};
use mesh::conflicts::{conflicts, fleet_conflicts, replaced, taken_addresses, taken_services};
use mesh::facts::{Facts, OtherEntry, Pem};
use mesh::observed::ObservedObjects;
use mesh::workload::Interception;
use serde_json::json;

use crate::sample::{facts, p, workload};

fn other(id: &str, address: &str, network: Option<&str>) -> OtherEntry {
    OtherEntry {
        id: p(id),
        address: p(address),
        network: network.map(p),
        ours: false,
    }
}

fn check(facts: &Facts, others: &[OtherEntry], expected: &Expect) {
    let problems = conflicts(&workload(), facts, others);
    let lines: Vec<_> = problems
        .iter()
        .map(|found| format!("{} {}: {}", found.concerns[0], found.rule, found.text))
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn a_healthy_cluster_and_the_workloads_own_entry_are_no_conflict() {
    let mut by_name = facts();
    by_name.control_plane.address = None;
    check(
        &by_name,
        &[other("bookinfo/ratings-vm-1", "203.0.113.7", None)],
        &expect![""],
    );
}

#[test]
fn a_service_account_that_cannot_be_read_is_not_reported_as_missing() {
    check(
        &Facts {
            service_account_exists: None,
            ..facts()
        },
        &[],
        &expect![""],
    );
}

#[test]
fn all_conflicts_are_reported_at_once() {
    let facts = Facts {
        service_account_exists: Some(false),
        root: Pem(String::new()),
        ..facts()
    };
    let others = [
        other("bookinfo/a", "203.0.113.7", Some("x")),
        other("bookinfo/b", "10.99.1.10", None),
    ];
    check(
        &facts,
        &others,
        &expect![[r"
        service_account service-account-exists: There is no service account bookinfo-ratings in the namespace bookinfo, so istiod would not issue a certificate to the VM. Create it, or use one that exists.
        namespace trust-root-exists: The mesh's root certificate in the namespace bookinfo contains no certificate, so the VM could not verify istiod. istiod writes it: check that istiod runs and watches this namespace.
        address address-taken: The address 203.0.113.7 already belongs to the WorkloadEntry bookinfo/a. istiod finds a VM by its address and could not distinguish the two. Use another address, or remove that entry first.
        instance_ip address-taken: The address 10.99.1.10 already belongs to the WorkloadEntry bookinfo/b. istiod finds a VM by its address and could not distinguish the two. Use another address, or remove that entry first."]],
    );
}

#[test]
fn across_namespaces_the_network_distinguishes_equal_addresses() {
    check(
        &facts(),
        &[other("shop/a", "203.0.113.7", Some("other"))],
        &expect![""],
    );
    check(
        &facts(),
        &[other("shop/a", "203.0.113.7", None)],
        &expect![[r"
        address address-taken: The address 203.0.113.7 already belongs to the WorkloadEntry shop/a. istiod finds a VM by its address and could not distinguish the two. Use another address, or remove that entry first."]],
    );
}

#[test]
fn a_vm_must_not_have_an_address_of_an_entry_that_istiod_could_match() {
    let ours = OtherEntry {
        ours: true,
        ..other("bookinfo/replaced", "10.0.0.3", None)
    };
    let others = [
        other("bookinfo/ratings-vm-1", "10.0.0.1", None),
        other("bookinfo/foreign", "10.0.0.2", Some("any")),
        ours,
        other("shop/near", "10.0.0.4", None),
        other("shop/apart", "10.0.0.5", Some("other")),
        other("shop/named", "vm.example.com", None),
    ];
    let taken = taken_addresses(&workload(), &others);
    let expected = [("10.0.0.2", "bookinfo/foreign"), ("10.0.0.4", "shop/near")];
    assert_eq!(taken, expected.map(|(ip, id)| (p(ip), p(id))));
}

#[test]
fn a_managed_entry_in_the_namespace_may_be_replaced_before_it_is_destroyed() {
    let ours = |id| OtherEntry {
        ours: true,
        ..other(id, "203.0.113.7", None)
    };
    let others = [
        ours("bookinfo/ratings-vm-0"),
        ours("shop/a"),
        ours("bookinfo/ratings-vm-1"),
        other("bookinfo/b", "203.0.113.7", None),
    ];
    check(&facts(), &others[..1], &expect![""]);
    assert_eq!(replaced(&workload(), &others), [&others[0].id]);
    check(
        &facts(),
        &[ours("shop/a")],
        &expect![[r"
        address address-taken: The address 203.0.113.7 already belongs to the WorkloadEntry shop/a. istiod finds a VM by its address and could not distinguish the two. Use another address, or remove that entry first."]],
    );
}

#[test]
fn an_application_of_a_fleet_that_tproxy_cannot_reach_is_reported() {
    let objects = |endpoint: &str| {
        let ingress =
            json!([{ "defaultEndpoint": "0.0.0.0:9080" }, { "defaultEndpoint": endpoint }]);
        [
            json!({ "spec": { "hosts": ["a"] } }),
            json!({ "spec": { "ingress": ingress } }),
        ]
    };
    let rules = |fleet: bool, interception, endpoint| {
        let mut member = workload();
        member.fleet = fleet.then(|| p("bookinfo/ratings"));
        member.proxy.interception = interception;
        let problems = fleet_conflicts(&member, &objects(endpoint));
        problems
            .iter()
            .map(|of| format!("{}: {}", of.rule, of.concerns.join(", ")))
            .collect::<String>()
    };
    let problem = "fleet-loopback: proxy.interception, fleet";
    for (fleet, interception, endpoint, expected) in [
        (true, Interception::Tproxy, "127.0.0.1:9080", problem),
        (true, Interception::Tproxy, "[::1]:9080", problem),
        (true, Interception::Tproxy, "unix:///run/a", problem),
        (true, Interception::Tproxy, "[::]:9080", ""),
        (true, Interception::Redirect, "127.0.0.1:9080", ""),
        (false, Interception::Tproxy, "127.0.0.1:9080", ""),
    ] {
        assert_eq!(
            rules(fleet, interception, endpoint),
            expected,
            "{interception} {endpoint}"
        );
    }
}

#[test]
fn a_foreign_entry_is_rewritten_without_istiods_annotations() {
    let entry = serde_json::json!({
        "metadata": {
            "labels": { "a": "b" }, "resourceVersion": "7", "managedFields": [],
            "annotations": { "istio.io/connectedAt": "now", "proxy.istio.io/health-checks-enabled": "false" },
        },
        "spec": { "address": "203.0.113.7", "weight": 3 },
        "status": {},
    });
    let written = mesh::objects::as_observed(&p("bookinfo/a"), &entry).body;
    let expected = serde_json::json!({
        "metadata": { "labels": { "a": "b" }, "annotations": { "proxy.istio.io/health-checks-enabled": "false" } },
        "spec": { "address": "203.0.113.7", "weight": 3 },
    });
    assert_eq!(written, expected);
}

#[test]
fn an_entry_that_we_applied_is_rewritten_with_only_our_fields() {
    let ours = json!({
        "f:metadata": { "f:labels": { "f:a": {} }, "f:annotations": { "f:mesh.vm/withdrawn": {} } },
        "f:spec": { "f:address": {}, "f:labels": { ".": {}, "f:app": {} } },
    });
    let of = |manager, operation, fields| json!({ "manager": manager, "operation": operation, "fieldsV1": fields });
    let entry = json!({
        "metadata": {
            "labels": { "a": "b", "theirs": "yes" },
            "annotations": { "theirs": "yes", "mesh.vm/withdrawn": "true", "proxy.istio.io/health-checks-enabled": "false" },
            "managedFields": [
                of("canary", "Apply", json!({ "f:spec": { "f:weight": {} } })),
                of("terraform-provider-mesh", "Update", json!({ "f:spec": { "f:network": {} } })),
                of("terraform-provider-mesh", "Apply", ours),
            ],
        },
        "spec": { "address": "203.0.113.7", "weight": 3, "network": "n", "labels": { "app": "ratings", "theirs": "yes" } },
    });
    let written = mesh::objects::as_observed(&p("bookinfo/a"), &entry).body;
    let expected = json!({
        "metadata": { "labels": { "a": "b" }, "annotations": { "proxy.istio.io/health-checks-enabled": "false" } },
        "spec": { "address": "203.0.113.7", "labels": { "app": "ratings" } },
    });
    assert_eq!(written, expected);
}

#[test]
fn a_service_entry_of_another_workload_with_the_same_name_is_a_conflict() {
    for (owner, is_taken) in [("ratings-vm-1", false), ("ratings", true)] {
        let labels = json!({ "app.kubernetes.io/managed-by": "terraform-provider-mesh", "mesh.vm/workload": owner });
        let object = json!({ "metadata": { "labels": labels } });
        let observed = ObservedObjects {
            services: [(p("ratings-vm-1-ratings"), object)].into(),
            ..ObservedObjects::default()
        };
        let problems = taken_services(&workload(), &observed);
        let at: Vec<_> = problems
            .iter()
            .map(|of| (of.concerns[0].as_str(), of.rule.name()))
            .collect();
        let expected = [("services.ratings", "service-entry-taken")];
        assert_eq!(at, &expected[..usize::from(is_taken)], "of {owner}");
    }
}

/// istiod refuses what is no text in `proxyMetadata`, and drops a null.
#[test]
fn a_mesh_config_that_istio_refuses_is_reported() {
    let texts = |of_mesh: serde_json::Value| {
        let mut facts = facts();
        facts.mesh_config = json!({ "defaultConfig": of_mesh });
        let problems = conflicts(&workload(), &facts, &[]);
        problems.iter().map(|of| of.rule.name()).collect::<Vec<_>>()
    };
    for wrong in [
        json!({ "proxyMetadata": { "A": true } }),
        json!({ "proxyMetadata": { "A": 1 } }),
        json!({ "proxyMetadata": { "A": ["b"] } }),
        json!({ "concurrency": "two" }),
        json!({ "holdApplicationUntilProxyStarts": "maybe" }),
        json!("text"),
    ] {
        assert_eq!(texts(wrong.clone()), ["mesh-config"], "{wrong}");
    }
    for fine in [
        json!({ "proxyMetadata": { "A": null, "B": "true" } }),
        json!({ "holdApplicationUntilProxyStarts": "yes" }),
        json!({ "aSettingOfTomorrow": 1 }),
        json!(null),
    ] {
        assert_eq!(texts(fine.clone()), [""; 0], "{fine}");
    }
}
