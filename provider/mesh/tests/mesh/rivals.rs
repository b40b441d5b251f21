use expect_test::{Expect, expect};
use mesh::desired::Kind;
use mesh::fleet::Fleet;
use mesh::mark::{FLEET_LABEL, MANAGED_BY_LABEL, MANAGER, Mark};
use mesh::rivals::{Claims, Rival};
use mesh::workload::Workload;
use serde_json::{Value, json};

use crate::sample::{p, service, workload};

fn sidecar(name: &str, selector: &Value) -> (Kind, Value) {
    let spec = json!({ "workloadSelector": selector, "egress": [{ "hosts": ["./*"] }] });
    (
        Kind::Sidecar,
        json!({ "metadata": { "name": name }, "spec": spec }),
    )
}

fn service_entry(name: &str, host: &str) -> (Kind, Value) {
    let spec = json!({ "hosts": [host], "workloadSelector": { "labels": { "app": "ratings" } } });
    (
        Kind::ServiceEntry,
        json!({ "metadata": { "name": name }, "spec": spec }),
    )
}

/// Marks an object as written for that owner.
fn marked((kind, mut object): (Kind, Value), mark: &Mark) -> (Kind, Value) {
    object["metadata"]["labels"] =
        json!({ MANAGED_BY_LABEL: MANAGER, mark.label(): mark.name().as_str() });
    (kind, object)
}

fn check_claims(claims: &Claims, objects: &[(Kind, Value)], expected: &Expect) {
    let concerned: Vec<_> = objects
        .iter()
        .filter(|(kind, of)| claims.concern(*kind, of))
        .cloned()
        .collect();
    let rivals = claims.rivals(&concerned);
    let lines = mesh::drift::of_rivals(&rivals);
    let lines: Vec<_> = rivals
        .iter()
        .map(Rival::problem)
        .zip(lines)
        .map(|(problem, line)| format!("{} {}: {line}", problem.concerns[0], problem.rule))
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

fn check(workload: &Workload, objects: &[(Kind, Value)], expected: &Expect) {
    check_claims(&Claims::of_workload(workload, None, []), objects, expected);
}

#[test]
fn a_sidecar_of_others_whose_selector_matches_the_vm_is_a_rival() {
    check(
        &workload(),
        &[
            sidecar("by-app", &json!({ "labels": { "app": "ratings" } })),
            sidecar(
                "by-name",
                &json!({ "labels": { "service.istio.io/canonical-name": "ratings" } }),
            ),
            sidecar("all", &json!({})),
            sidecar(
                "other",
                &json!({ "labels": { "app": "ratings", "version": "v1" } }),
            ),
        ],
        &expect![[r#"
            sidecar sidecar-selects-vm: Sidecar bookinfo/by-app selects the VM as well, and istiod applies only the oldest Sidecar
            sidecar sidecar-selects-vm: Sidecar bookinfo/by-name selects the VM as well, and istiod applies only the oldest Sidecar
            sidecar sidecar-selects-vm: Sidecar bookinfo/all selects the VM as well, and istiod applies only the oldest Sidecar"#]],
    );
}

#[test]
fn a_sidecar_without_a_selector_is_no_rival() {
    check(
        &workload(),
        &[sidecar("default", &Value::Null)],
        &expect![""],
    );
}

#[test]
fn a_workload_without_a_sidecar_may_have_one_of_others() {
    let mut bare = workload();
    bare.sidecar = None;
    let [one, two] =
        ["a", "b"].map(|name| sidecar(name, &json!({ "labels": { "app": "ratings" } })));
    check(&bare, std::slice::from_ref(&one), &expect![""]);
    check(
        &bare,
        &[one, two],
        &expect![[r#"
            labels sidecar-selects-vm: Sidecar bookinfo/a selects the VM as well, and istiod applies only the oldest Sidecar
            labels sidecar-selects-vm: Sidecar bookinfo/b selects the VM as well, and istiod applies only the oldest Sidecar"#]],
    );
}

#[test]
fn labels_that_others_added_to_the_entry_count() {
    let entry = json!({ "metadata": { "labels": { "team": "books" } } });
    let workload = workload();
    let claims = Claims::of_workload(&workload, Some(&entry), []);
    let objects = [sidecar(
        "by-team",
        &json!({ "labels": { "team": "books" } }),
    )];
    check_claims(
        &claims,
        &objects,
        &expect![
            "sidecar sidecar-selects-vm: Sidecar bookinfo/by-team selects the VM as well, and istiod applies only the oldest Sidecar"
        ],
    );
}

/// An apply that leaves a label out removes it from the entry.
#[test]
fn labels_that_the_apply_removes_from_the_entry_do_not_count() {
    let fields = json!({ "f:spec": { "f:labels": { "f:app": {}, "f:mesh.vm/fleet": {} } } });
    let entry = json!({
        "metadata": { "managedFields": [{ "manager": MANAGER, "operation": "Apply", "fieldsV1": fields }] },
        "spec": { "labels": { "app": "web", FLEET_LABEL: "ratings", "team": "books" } },
    });
    let workload = workload();
    let claims = Claims::of_workload(&workload, Some(&entry), []);
    let by = |label: &str, value: &str| sidecar(label, &json!({ "labels": { label: value } }));
    let objects = [
        by("app", "web"),
        by(FLEET_LABEL, "ratings"),
        by("team", "books"),
    ];
    check_claims(
        &claims,
        &objects,
        &expect![
            "sidecar sidecar-selects-vm: Sidecar bookinfo/team selects the VM as well, and istiod applies only the oldest Sidecar"
        ],
    );
}

#[test]
fn the_own_objects_and_those_that_the_apply_removes_are_no_rivals() {
    let workload = workload();
    let selector = json!({ "labels": { "app": "ratings" } });
    let objects = [
        sidecar("ratings-vm-1", &selector),
        marked(sidecar("marked", &selector), &workload.mark()),
        sidecar("former", &selector),
        service_entry("ratings-vm-1-ratings", "ratings.vm.bookinfo"),
    ];
    let prior = [(Kind::Sidecar, p("bookinfo/former"))];
    let claims = Claims::of_workload(&workload, None, prior);
    check_claims(&claims, &objects, &expect![""]);
}

#[test]
fn a_service_entry_of_others_with_one_of_the_hosts_is_a_rival() {
    check(
        &workload(),
        &[
            service_entry("legacy", "ratings.vm.bookinfo"),
            service_entry("alias", "stars.vm.bookinfo"),
            marked(
                service_entry("other-ratings", "ratings.vm.bookinfo"),
                &Mark::Workload(p("other")),
            ),
        ],
        &expect![
            "services.ratings.hosts host-taken: ServiceEntry bookinfo/legacy has the host ratings.vm.bookinfo as well, and istiod uses only the oldest one"
        ],
    );
}

#[test]
fn a_member_shares_the_sidecar_of_its_fleet_with_no_other() {
    let mut member = workload();
    (member.sidecar, member.services) = (None, [].into());
    member.fleet = Some(p("bookinfo/ratings"));
    let of_fleet = marked(
        sidecar("ratings", &json!({ "labels": { FLEET_LABEL: "ratings" } })),
        &Mark::Fleet(p("ratings")),
    );
    check(&member, std::slice::from_ref(&of_fleet), &expect![""]);
    check(
        &member,
        &[
            of_fleet,
            sidecar("by-app", &json!({ "labels": { "app": "ratings" } })),
        ],
        &expect![
            "labels sidecar-selects-vm: Sidecar bookinfo/by-app selects the VM as well, and istiod applies only the oldest Sidecar"
        ],
    );
}

#[test]
fn each_member_of_a_fleet_without_a_sidecar_may_have_one_of_its_own() {
    let fleet = Fleet {
        id: p("bookinfo/ratings"),
        services: [(p("ratings"), service("ratings.vm.bookinfo", 9080))].into(),
        sidecar: None,
        group: None,
        rollout: None,
    };
    let members = ["a", "b"].map(|name| json!({ "spec": { "labels": { "vm": name } } }));
    let claims = Claims::of_fleet(&fleet, &members, []);
    let by = |name: &str, vm: &str| sidecar(name, &json!({ "labels": { "vm": vm } }));
    check_claims(&claims, &[by("one", "a"), by("two", "b")], &expect![""]);
    check_claims(
        &claims,
        &[by("one", "a"), by("two", "b"), by("three", "b")],
        &expect![[r#"
            labels sidecar-selects-vm: Sidecar bookinfo/two selects the VM as well, and istiod applies only the oldest Sidecar
            labels sidecar-selects-vm: Sidecar bookinfo/three selects the VM as well, and istiod applies only the oldest Sidecar"#]],
    );
}

#[test]
fn a_fleet_has_rivals_for_its_hosts_and_for_each_member() {
    let fleet = Fleet {
        id: p("bookinfo/ratings"),
        services: [(p("ratings"), service("ratings.vm.bookinfo", 9080))].into(),
        sidecar: workload().sidecar,
        group: None,
        rollout: None,
    };
    let member = json!({ "spec": { "labels": { "app": "ratings", FLEET_LABEL: "ratings" } } });
    let claims = Claims::of_fleet(&fleet, &[member], []);
    let objects = [
        sidecar("by-app", &json!({ "labels": { "app": "ratings" } })),
        sidecar("ratings", &json!({ "labels": { FLEET_LABEL: "ratings" } })),
        service_entry("legacy", "ratings.vm.bookinfo"),
    ];
    check_claims(
        &claims,
        &objects,
        &expect![[r#"
            sidecar sidecar-selects-vm: Sidecar bookinfo/by-app selects the VM as well, and istiod applies only the oldest Sidecar
            services.ratings.hosts host-taken: ServiceEntry bookinfo/legacy has the host ratings.vm.bookinfo as well, and istiod uses only the oldest one"#]],
    );
}
