//! The certificate authority that the VM is checked against, if it is not istiod.

use std::collections::BTreeMap;

use mesh::desired::{Authority, AuthorityRoot};
use mesh::facts::{Facts, ca_address};
use mesh::render::render;
use mesh::workload::Runtime;
use serde_json::json;

use crate::sample::{facts, p, workload};

fn authority(facts: &Facts, env: &[(&str, &str)]) -> Option<Authority> {
    let mut workload = workload();
    workload.env = BTreeMap::new();
    for (key, value) in env {
        workload.env.insert(p(key), (*value).to_owned());
    }
    render(&workload, facts).unwrap().bundle.authority
}

fn at(address: &str) -> Facts {
    Facts {
        ca_address: Some(address.to_owned()),
        ..facts()
    }
}

#[test]
fn an_authority_is_checked_only_where_it_is_not_istiod() {
    assert_eq!(authority(&facts(), &[]), None);
    let own = mesh_istiod();
    assert_eq!(authority(&at(&own), &[]), None);
    for (address, expected) in [
        ("csr.example.com:443", "csr.example.com:443"),
        // gRPC's default port.
        ("csr.example.com", "csr.example.com:443"),
        ("[fd00::2]:8443", "[fd00::2]:8443"),
        // Another port of istiod, or another name.
        ("istiod.istio-system.svc:443", "istiod.istio-system.svc:443"),
    ] {
        let found = authority(&at(address), &[]).unwrap();
        assert_eq!(found.address, expected);
        assert_eq!(found.root, AuthorityRoot::Mesh);
    }
    // The wrapped agent asks istiod.
    let mut by_name = facts();
    by_name.control_plane.san = Some("istiod.istio-system.svc".into());
    assert_eq!(authority(&by_name, &[]), None);
}

fn mesh_istiod() -> String {
    render(&workload(), &facts()).unwrap().bundle.control_plane
}

#[test]
fn the_root_of_the_authority_is_the_one_that_the_agent_uses() {
    let file = |path: &str| AuthorityRoot::File(path.to_owned());
    let cases = [
        ("csr.example.com:443", vec![], AuthorityRoot::Mesh),
        (
            "csr.example.com:443",
            vec![("CA_PROVIDER", "Citadel")],
            AuthorityRoot::Mesh,
        ),
        (
            "csr.example.com:443",
            vec![("CA_ROOT_CA", "SYSTEM")],
            AuthorityRoot::System,
        ),
        (
            "csr.example.com:443",
            vec![("CA_ROOT_CA", "/etc/ssl/corp.pem")],
            file("/etc/ssl/corp.pem"),
        ),
        (
            "csr.example.com:443",
            vec![("CA_ROOT_CA", "./etc/ssl/corp.pem")],
            file("/etc/ssl/corp.pem"),
        ),
        ("istiod.example.com:15010", vec![], AuthorityRoot::Unknown),
        (
            "privateca.googleapis.com:443",
            vec![],
            AuthorityRoot::Unknown,
        ),
        (
            "csr.example.com:443",
            vec![("CA_PROVIDER", "GoogleCAS")],
            AuthorityRoot::Unknown,
        ),
    ];
    for (address, env, root) in cases {
        let found = authority(&at(address), &env).unwrap();
        assert_eq!(found.root, root, "{address} {env:?}");
    }
}

/// The VM has this root before the first bootstrap wrote it.
#[test]
fn a_path_of_the_meshs_root_means_the_meshs_root() {
    for path in [
        "/etc/certs/root-cert.pem",
        "./etc/certs/root-cert.pem",
        "etc/certs//./root-cert.pem",
        "/etc/ssl/../certs/root-cert.pem",
    ] {
        let found = authority(&at("csr.example.com:443"), &[("CA_ROOT_CA", path)]);
        assert_eq!(found.unwrap().root, AuthorityRoot::Mesh, "{path}");
    }
}

#[test]
fn a_file_of_an_image_is_unknown_to_the_vm() {
    let corporate = AuthorityRoot::File("/etc/certs/corp.pem".into());
    for runtime in [Runtime::Docker, Runtime::Podman] {
        for (path, root) in [
            ("SYSTEM", AuthorityRoot::Unknown),
            ("/etc/ssl/corp.pem", AuthorityRoot::Unknown),
            ("/etc/certs/../ssl/corp.pem", AuthorityRoot::Unknown),
            ("./etc/certs/corp.pem", corporate.clone()),
            ("./etc/certs/root-cert.pem", AuthorityRoot::Mesh),
            ("", AuthorityRoot::Mesh),
        ] {
            let mut workload = workload();
            workload.proxy.runtime = runtime;
            workload.proxy.image = Some(p("istio/proxyv2:1.31.0"));
            workload.env = BTreeMap::from([(p("CA_ROOT_CA"), path.to_owned())]);
            let bundle = render(&workload, &at("csr.example.com:443"))
                .unwrap()
                .bundle;
            assert_eq!(bundle.authority.unwrap().root, root, "{runtime} {path}");
        }
    }
}

#[test]
fn istiod_is_verified_against_another_root_where_the_environment_names_one() {
    for (path, is_other) in [
        ("", false),
        ("./etc/certs/root-cert.pem", false),
        ("SYSTEM", true),
        ("/etc/ssl/corp.pem", true),
    ] {
        let mut own = workload();
        own.env = BTreeMap::from([(p("XDS_ROOT_CA"), path.to_owned())]);
        let by_env = render(&own, &facts()).unwrap().bundle.has_other_root;
        let mut of_mesh = facts();
        of_mesh.mesh_config["defaultConfig"]["proxyMetadata"]["XDS_ROOT_CA"] = json!(path);
        let by_mesh = render(&workload(), &of_mesh).unwrap().bundle.has_other_root;
        assert_eq!((by_env, by_mesh), (is_other, is_other), "{path}");
    }
}

#[test]
fn the_mesh_config_names_the_authority_of_all_proxies() {
    let of = |metadata| ca_address(&json!({ "defaultConfig": { "proxyMetadata": metadata } }));
    let csr = of(json!({ "CA_ADDR": "csr.example.com:443" }));
    assert_eq!(csr.as_deref(), Some("csr.example.com:443"));
    assert_eq!(of(json!({ "CA_ADDR": "" })), None);
    assert_eq!(of(json!({})), None);
    assert_eq!(ca_address(&json!({})), None);
}
