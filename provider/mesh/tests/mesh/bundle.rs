use std::fmt::Write as _;

use expect_test::{Expect, expect};
use mesh::facts::Facts;
use mesh::health::{HealthCheck, Probe, Scheme};
use mesh::render::render;
use mesh::workload::{Interception, Workload};
use serde_json::json;

use crate::sample::{facts, p, workload};

/// The whole bundle as text.
fn text(workload: &Workload, facts: &Facts) -> String {
    let bundle = render(workload, facts).unwrap().bundle;
    let mut text = String::new();
    for file in &bundle.files {
        let content = String::from_utf8(file.content.clone()).unwrap();
        writeln!(
            text,
            "== {} {} {:o} {:?}\n{content}",
            file.path, file.owner, file.mode, file.watch
        )
        .unwrap();
    }
    let owner = format!("{} {}", bundle.owner.uid, bundle.owner.id);
    write!(
        text,
        "{} | {owner} | {:?} | {}",
        bundle.identity, bundle.hosts_line, bundle.control_plane
    )
    .unwrap();
    text
}

fn check(workload: &Workload, facts: &Facts, expected: &Expect) {
    expected.assert_eq(&text(workload, facts));
}

/// The lines of `cluster.env` that set one of these variables.
fn env(workload: &Workload, facts: &Facts, names: &[&str]) -> String {
    let text = text(workload, facts);
    let lines = text.lines().filter(|line| {
        names
            .iter()
            .any(|name| line.starts_with(&format!("{name}=")))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plain_workload() {
    check(
        &workload(),
        &facts(),
        &expect![[r#"
            == /var/lib/istio/envoy/cluster.env root 644 Yes
            CANONICAL_REVISION=v2
            CANONICAL_SERVICE=ratings
            ISTIO_INBOUND_PORTS='*'
            ISTIO_LOCAL_EXCLUDE_PORTS=22,15090,15021,15020
            ISTIO_METAJSON_LABELS='{"app":"ratings","mesh.vm/workload":"ratings-vm-1","service.istio.io/canonical-name":"ratings","service.istio.io/canonical-revision":"v2","version":"v2"}'
            ISTIO_META_CLUSTER_ID=Kubernetes
            ISTIO_META_MESH_ID=cluster.local
            ISTIO_META_NETWORK=''
            ISTIO_META_WORKLOAD_ENTRY=ratings-vm-1
            ISTIO_META_WORKLOAD_NAME=ratings-vm-1
            ISTIO_NAMESPACE=bookinfo
            ISTIO_SERVICE=ratings-vm-1.bookinfo
            ISTIO_SERVICE_CIDR='*'
            ISTIO_SERVICE_EXCLUDE_CIDR=169.254.169.254/32,168.63.129.16/32
            ISTIO_SVC_IP=203.0.113.7
            POD_NAME=ratings-vm-1
            POD_NAMESPACE=bookinfo
            SERVICE_ACCOUNT=bookinfo-ratings
            TRUST_DOMAIN=cluster.local

            == /etc/istio/config/mesh istio-proxy 644 Yes
            {
              "defaultConfig": {
                "proxyMetadata": {
                  "CANONICAL_REVISION": "v2",
                  "CANONICAL_SERVICE": "ratings",
                  "ISTIO_METAJSON_LABELS": "{\"app\":\"ratings\",\"mesh.vm/workload\":\"ratings-vm-1\",\"service.istio.io/canonical-name\":\"ratings\",\"service.istio.io/canonical-revision\":\"v2\",\"version\":\"v2\"}",
                  "ISTIO_META_CLUSTER_ID": "Kubernetes",
                  "ISTIO_META_MESH_ID": "cluster.local",
                  "ISTIO_META_NETWORK": "",
                  "ISTIO_META_WORKLOAD_ENTRY": "ratings-vm-1",
                  "ISTIO_META_WORKLOAD_NAME": "ratings-vm-1",
                  "POD_NAME": "ratings-vm-1",
                  "POD_NAMESPACE": "bookinfo",
                  "SERVICE_ACCOUNT": "bookinfo-ratings",
                  "TRUST_DOMAIN": "cluster.local"
                }
              }
            }

            == /etc/certs/root-cert.pem istio-proxy 644 No
            -----BEGIN CERTIFICATE-----
            MIIB
            -----END CERTIFICATE-----

            spiffe://cluster.local/ns/bookinfo/sa/bookinfo-ratings | 5f0c bookinfo/ratings-vm-1 | Some("10.99.0.2 istiod.istio-system.svc") | istiod.istio-system.svc:15012"#]],
    );
}

#[test]
fn a_revisioned_control_plane_without_an_ip_address() {
    let mut facts = facts();
    facts.revision = "rev-1".into();
    facts.control_plane.host = "istiod-rev-1.istio-system.svc".into();
    facts.control_plane.address = None;
    facts.entry_uid = None;
    facts.mesh_config = json!({ "defaultConfig": {
        "discoveryAddress": "istiod.istio-system.svc:15012",
        "holdApplicationUntilProxyStarts": true,
        "concurrency": 2,
        "proxyMetadata": { "CUSTOM": "it's", "ISTIO_META_INTERCEPTION_MODE": "TPROXY", "no name": "x", "ISTIO_META_DNS_CAPTURE": "true" },
    } });
    check(
        &workload(),
        &facts,
        &expect![[r#"
            == /var/lib/istio/envoy/cluster.env root 644 Yes
            CANONICAL_REVISION=v2
            CANONICAL_SERVICE=ratings
            CA_ADDR=istiod-rev-1.istio-system.svc:15012
            CUSTOM='it'"'"'s'
            ISTIO_INBOUND_PORTS='*'
            ISTIO_LOCAL_EXCLUDE_PORTS=22,15090,15021,15020
            ISTIO_METAJSON_LABELS='{"app":"ratings","mesh.vm/workload":"ratings-vm-1","service.istio.io/canonical-name":"ratings","service.istio.io/canonical-revision":"v2","version":"v2"}'
            ISTIO_META_CLUSTER_ID=Kubernetes
            ISTIO_META_DNS_CAPTURE=true
            ISTIO_META_MESH_ID=cluster.local
            ISTIO_META_NETWORK=''
            ISTIO_META_WORKLOAD_ENTRY=ratings-vm-1
            ISTIO_META_WORKLOAD_NAME=ratings-vm-1
            ISTIO_NAMESPACE=bookinfo
            ISTIO_SERVICE=ratings-vm-1.bookinfo
            ISTIO_SERVICE_CIDR='*'
            ISTIO_SERVICE_EXCLUDE_CIDR=169.254.169.254/32,168.63.129.16/32
            ISTIO_SVC_IP=203.0.113.7
            POD_NAME=ratings-vm-1
            POD_NAMESPACE=bookinfo
            SERVICE_ACCOUNT=bookinfo-ratings
            TRUST_DOMAIN=cluster.local

            == /etc/istio/config/mesh istio-proxy 644 Yes
            {
              "defaultConfig": {
                "concurrency": 2,
                "discoveryAddress": "istiod-rev-1.istio-system.svc:15012",
                "holdApplicationUntilProxyStarts": true,
                "proxyMetadata": {
                  "CANONICAL_REVISION": "v2",
                  "CANONICAL_SERVICE": "ratings",
                  "CUSTOM": "it's",
                  "ISTIO_METAJSON_LABELS": "{\"app\":\"ratings\",\"mesh.vm/workload\":\"ratings-vm-1\",\"service.istio.io/canonical-name\":\"ratings\",\"service.istio.io/canonical-revision\":\"v2\",\"version\":\"v2\"}",
                  "ISTIO_META_CLUSTER_ID": "Kubernetes",
                  "ISTIO_META_DNS_CAPTURE": "true",
                  "ISTIO_META_MESH_ID": "cluster.local",
                  "ISTIO_META_NETWORK": "",
                  "ISTIO_META_WORKLOAD_ENTRY": "ratings-vm-1",
                  "ISTIO_META_WORKLOAD_NAME": "ratings-vm-1",
                  "POD_NAME": "ratings-vm-1",
                  "POD_NAMESPACE": "bookinfo",
                  "SERVICE_ACCOUNT": "bookinfo-ratings",
                  "TRUST_DOMAIN": "cluster.local",
                  "no name": "x"
                }
              }
            }

            == /etc/certs/root-cert.pem istio-proxy 644 No
            -----BEGIN CERTIFICATE-----
            MIIB
            -----END CERTIFICATE-----

            spiffe://cluster.local/ns/bookinfo/sa/bookinfo-ratings |  bookinfo/ratings-vm-1 | None | istiod-rev-1.istio-system.svc:15012"#]],
    );
}

#[test]
fn every_setting_of_the_proxy() {
    let mut all = workload();
    all.network = Some(p("gcp-vms"));
    all.ports.insert(p("http"), p("9080"));
    all.proxy.interception = Interception::None;
    all.proxy.dns_capture = Some(false);
    all.proxy.exclude_inbound_ports = vec![p("2222"), p("22"), p("9100")];
    all.proxy.exclude_cidrs = vec![
        p("10.1.0.0/16"),
        p("10.2.0.1"),
        p("168.63.129.16"),
        p("fd00::1"),
    ];
    all.labels
        .insert(p("service.istio.io/canonical-name"), p("stars"));
    all.env.insert(
        p("ISTIO_AGENT_FLAGS"),
        "--log_output_level=debug --x='a b'".into(),
    );
    check(
        &all,
        &facts(),
        &expect![[r#"
            == /var/lib/istio/envoy/cluster.env root 644 Yes
            CANONICAL_REVISION=v2
            CANONICAL_SERVICE=stars
            ISTIO_AGENT_FLAGS='--log_output_level=debug --x='"'"'a b'"'"''
            ISTIO_CUSTOM_IP_TABLES=true
            ISTIO_INBOUND_PORTS=9080
            ISTIO_LOCAL_EXCLUDE_PORTS=22,15090,15021,15020,2222,9100
            ISTIO_METAJSON_LABELS='{"app":"ratings","mesh.vm/workload":"ratings-vm-1","service.istio.io/canonical-name":"stars","service.istio.io/canonical-revision":"v2","version":"v2"}'
            ISTIO_META_CLUSTER_ID=Kubernetes
            ISTIO_META_DNS_CAPTURE=false
            ISTIO_META_INTERCEPTION_MODE=NONE
            ISTIO_META_MESH_ID=cluster.local
            ISTIO_META_NETWORK=gcp-vms
            ISTIO_META_POD_PORTS='[{"name":"http","containerPort":9080,"protocol":""}]'
            ISTIO_META_WORKLOAD_ENTRY=ratings-vm-1
            ISTIO_META_WORKLOAD_NAME=ratings-vm-1
            ISTIO_NAMESPACE=bookinfo
            ISTIO_SERVICE=ratings-vm-1.bookinfo
            ISTIO_SERVICE_CIDR='*'
            ISTIO_SERVICE_EXCLUDE_CIDR=169.254.169.254/32,168.63.129.16/32,10.1.0.0/16,10.2.0.1/32,fd00::1/128
            ISTIO_SVC_IP=203.0.113.7
            POD_NAME=ratings-vm-1
            POD_NAMESPACE=bookinfo
            SERVICE_ACCOUNT=bookinfo-ratings
            TRUST_DOMAIN=cluster.local

            == /etc/istio/config/mesh istio-proxy 644 Yes
            {
              "defaultConfig": {
                "proxyMetadata": {
                  "CANONICAL_REVISION": "v2",
                  "CANONICAL_SERVICE": "stars",
                  "ISTIO_AGENT_FLAGS": "--log_output_level=debug --x='a b'",
                  "ISTIO_METAJSON_LABELS": "{\"app\":\"ratings\",\"mesh.vm/workload\":\"ratings-vm-1\",\"service.istio.io/canonical-name\":\"stars\",\"service.istio.io/canonical-revision\":\"v2\",\"version\":\"v2\"}",
                  "ISTIO_META_CLUSTER_ID": "Kubernetes",
                  "ISTIO_META_DNS_CAPTURE": "false",
                  "ISTIO_META_INTERCEPTION_MODE": "NONE",
                  "ISTIO_META_MESH_ID": "cluster.local",
                  "ISTIO_META_NETWORK": "gcp-vms",
                  "ISTIO_META_POD_PORTS": "[{\"name\":\"http\",\"containerPort\":9080,\"protocol\":\"\"}]",
                  "ISTIO_META_WORKLOAD_ENTRY": "ratings-vm-1",
                  "ISTIO_META_WORKLOAD_NAME": "ratings-vm-1",
                  "POD_NAME": "ratings-vm-1",
                  "POD_NAMESPACE": "bookinfo",
                  "SERVICE_ACCOUNT": "bookinfo-ratings",
                  "TRUST_DOMAIN": "cluster.local"
                }
              }
            }

            == /etc/certs/root-cert.pem istio-proxy 644 No
            -----BEGIN CERTIFICATE-----
            MIIB
            -----END CERTIFICATE-----

            spiffe://cluster.local/ns/bookinfo/sa/bookinfo-ratings | 5f0c bookinfo/ratings-vm-1 | Some("10.99.0.2 istiod.istio-system.svc") | istiod.istio-system.svc:15012"#]],
    );
}

#[test]
fn a_vm_whose_address_is_a_name_uses_its_own_ip_address() {
    let mut named = workload();
    named.address = Some(p("vm.example.com"));
    assert_eq!(
        env(&named, &facts(), &["ISTIO_SVC_IP"]),
        "ISTIO_SVC_IP=10.99.1.10"
    );
    assert_eq!(
        env(&workload(), &facts(), &["ISTIO_SVC_IP"]),
        "ISTIO_SVC_IP=203.0.113.7"
    );
}

#[test]
fn certificates_from_elsewhere_and_an_ipv6_control_plane() {
    let mut facts = facts();
    facts.ca_address = Some("cert-manager-istio-csr.cert-manager.svc:443".into());
    assert_eq!(
        env(&workload(), &facts, &["CA_ADDR"]),
        "CA_ADDR=cert-manager-istio-csr.cert-manager.svc:443"
    );
    facts.ca_address = None;
    facts.control_plane.host = "fd00::2".into();
    facts.control_plane.address = None;
    assert_eq!(
        env(&workload(), &facts, &["CA_ADDR"]),
        "CA_ADDR='[fd00::2]:15012'"
    );
}

#[test]
fn services_and_settings_of_objects_are_not_in_the_bundle() {
    let mut other = workload();
    other.services.clear();
    other.sidecar = None;
    other.weight = Some(3);
    other.locality = Some(p("r/z"));
    other.annotations.insert("a.io/b".into(), "c".into());
    assert_eq!(text(&other, &facts()), text(&workload(), &facts()));
}

#[test]
fn the_digest_covers_the_hosts_line_but_not_the_trust_root_and_the_owner() {
    let digest = |facts: &Facts| render(&workload(), facts).unwrap().bundle.digest();
    let mut other = facts();
    other.root.0.insert_str(0, "-----BEGIN CERTIFICATE-----\n");
    other.entry_uid = None;
    assert_eq!(digest(&other), digest(&facts()));
    other.control_plane.address = Some(p("10.99.0.3"));
    assert_ne!(digest(&other), digest(&facts()));
    assert_eq!(digest(&facts()).0.len(), 64);
}

/// The mesh config, and the lines of `cluster.env` that a health check or a status port affects.
fn checked(check: HealthCheck, config: Option<&str>) -> String {
    let mut workload = workload();
    workload.health_check = Some(check);
    workload.proxy.config = config.map(p);
    let mut facts = facts();
    facts.mesh_config = json!({ "defaultConfig": {
        "status_port": 15099, "concurrency": 4, "tracing": { "sampling": 1 }, "holdApplicationUntilProxyStarts": null,
    } });
    let text = text(&workload, &facts);
    let mesh = text.split("== /etc/istio/config/mesh").nth(1).unwrap();
    let mesh = mesh.split("== ").next().unwrap();
    let kept: Vec<&str> = mesh
        .lines()
        .skip(1)
        .filter(|line| !line.contains('_'))
        .collect();
    let names = [
        "ISTIO_LOCAL_EXCLUDE_PORTS",
        "REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION",
    ];
    format!("{}\n{}", env(&workload, &facts, &names), kept.join("\n"))
}

#[test]
fn each_health_check_becomes_an_istio_readiness_probe() {
    let one = |method| HealthCheck {
        methods: vec![method],
        period: Some(5),
        failure_threshold: Some(0),
        ..HealthCheck::default()
    };
    let http = Probe::Http {
        host: None,
        port: p("9080"),
        path: Some("/health".into()),
        scheme: Some(Scheme::Https),
        headers: [("Host".to_owned(), "ratings".to_owned())].into(),
    };
    let tcp = Probe::Tcp {
        host: Some(p("10.0.0.5")),
        port: p("3306"),
    };
    let grpc = Probe::Grpc {
        port: p("9090"),
        service: Some("ratings".into()),
    };
    let exec = Probe::Exec(vec!["/bin/true".into()]);
    let all = [http, tcp, grpc, exec].map(|method| checked(one(method), None));
    expect![[r#"
        ISTIO_LOCAL_EXCLUDE_PORTS=22,15090,15021,15099
        REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION=true
        {
          "defaultConfig": {
            "concurrency": 4,
            "proxyMetadata": {
            },
            "readinessProbe": {
              "httpGet": {
                "httpHeaders": [
                  {
                    "name": "Host",
                    "value": "ratings"
                  }
                ],
                "path": "/health",
                "port": 9080,
                "scheme": "HTTPS"
              },
              "periodSeconds": 5
            },
            "statusPort": 15099,
            "tracing": {
              "sampling": 1
            }
          }
        }

        ISTIO_LOCAL_EXCLUDE_PORTS=22,15090,15021,15099
        REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION=true
        {
          "defaultConfig": {
            "concurrency": 4,
            "proxyMetadata": {
            },
            "readinessProbe": {
              "periodSeconds": 5,
              "tcpSocket": {
                "host": "10.0.0.5",
                "port": 3306
              }
            },
            "statusPort": 15099,
            "tracing": {
              "sampling": 1
            }
          }
        }

        ISTIO_LOCAL_EXCLUDE_PORTS=22,15090,15021,15099
        REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION=true
        {
          "defaultConfig": {
            "concurrency": 4,
            "proxyMetadata": {
            },
            "readinessProbe": {
              "grpc": {
                "port": 9090,
                "service": "ratings"
              },
              "periodSeconds": 5
            },
            "statusPort": 15099,
            "tracing": {
              "sampling": 1
            }
          }
        }

        ISTIO_LOCAL_EXCLUDE_PORTS=22,15090,15021,15099
        REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION=true
        {
          "defaultConfig": {
            "concurrency": 4,
            "proxyMetadata": {
            },
            "readinessProbe": {
              "exec": {
                "command": [
                  "/bin/true"
                ]
              },
              "periodSeconds": 5
            },
            "statusPort": 15099,
            "tracing": {
              "sampling": 1
            }
          }
        }
    "#]]
    .assert_eq(&all.join("\n"));
}

#[test]
fn settings_of_the_workload_override_those_of_the_mesh() {
    let check = HealthCheck {
        methods: vec![Probe::Tcp {
            host: None,
            port: p("80"),
        }],
        ..HealthCheck::default()
    };
    expect![[r#"
        ISTIO_LOCAL_EXCLUDE_PORTS=22,15090,15021
        REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION=true
        {
          "defaultConfig": {
            "concurrency": 4,
            "proxyMetadata": {
            },
            "readinessProbe": {
              "tcpSocket": {
                "port": 80
              }
            },
            "statusPort": 15021,
            "tracing": {
              "zipkin": {
                "address": "z:1"
              }
            }
          }
        }
    "#]]
    .assert_eq(&checked(
        check,
        Some("statusPort: 15021\ntracing: {zipkin: {address: z:1}}"),
    ));
}

#[test]
fn a_setting_that_has_its_own_attribute_is_rejected() {
    for (text, hint) in [
        ("discoveryAddress: x:1", "istio block"),
        ("discovery_address: x:1", "istio block"),
        ("proxyMetadata: {A: b}", "env"),
        ("readinessProbe: {}", "health_check"),
        ("- a", "YAML"),
        ("a: b: c", "YAML"),
    ] {
        let refused = text.parse::<mesh::proxy_config::ProxyConfig>().unwrap_err();
        assert!(refused.rule.contains(hint), "{text}: {refused}");
    }
}

/// On the connection for certificates, the agent uses `ISTIOD_SAN` only without `CA_ADDR`.
#[test]
fn a_different_name_in_the_certificate_is_verified_on_both_connections() {
    let mut facts = facts();
    facts.control_plane.host = "lb.example.com".into();
    facts.control_plane.address = None;
    let names = ["CA_ADDR", "ISTIOD_SAN", "ISTIO_BIN_BASE"];
    let mut all = vec![];
    for (san, authority) in [
        (None, None),
        (Some("istiod.istio-system.svc"), None),
        (Some("istiod.istio-system.svc"), Some("csr.example.com:443")),
    ] {
        facts.control_plane.san = san.map(str::to_owned);
        facts.ca_address = authority.map(str::to_owned);
        let text = text(&workload(), &facts);
        let agent = text.find("== /var/lib/istio/bin");
        let agent = agent.map_or("", |at| &text[at..]);
        let env = env(&workload(), &facts, &names);
        all.push(format!("{env}\n{agent}\n"));
    }
    expect![[r#"
        CA_ADDR=lb.example.com:15012


        CA_ADDR=lb.example.com:15012
        ISTIOD_SAN=istiod.istio-system.svc
        ISTIO_BIN_BASE=/var/lib/istio/bin
        == /var/lib/istio/bin/pilot-agent root 755 Yes
        #!/bin/sh
        unset CA_ADDR
        exec /usr/local/bin/pilot-agent "$@"

        spiffe://cluster.local/ns/bookinfo/sa/bookinfo-ratings | 5f0c bookinfo/ratings-vm-1 | None | lb.example.com:15012

        CA_ADDR=csr.example.com:443
        ISTIOD_SAN=istiod.istio-system.svc

    "#]].assert_eq(&all.join("\n"));
}

#[test]
fn the_discovery_address_of_the_mesh_is_a_service_or_a_name_outside_the_cluster() {
    let own = Some(("istiod", "istio-system"));
    let cases = [
        (
            "istiod.example.com:15012",
            Some(("istiod.example.com", 15012, None)),
        ),
        (
            "istiod.svc.example.com:443",
            Some(("istiod.svc.example.com", 443, None)),
        ),
        (
            "istiod.istio-system.svc:15012",
            Some(("istiod.istio-system.svc", 15012, own)),
        ),
        (
            "istiod.istio-system.svc.cluster.local:15013",
            Some(("istiod.istio-system.svc.cluster.local", 15013, own)),
        ),
        (
            "istiod.istio-system:15012",
            Some(("istiod.istio-system", 15012, own)),
        ),
        (
            "a.elsewhere.svc:15012",
            Some(("a.elsewhere.svc", 15012, Some(("a", "elsewhere")))),
        ),
        ("istiod:15012", None),
        ("192.0.2.1:15012", None),
        ("[2001:db8::1]:15012", None),
        ("istiod.example.com", None),
        ("istiod.example.com:port", None),
        ("not a name:15012", None),
    ];
    for (address, expected) in cases {
        for key in ["discoveryAddress", "discovery_address"] {
            let config = json!({ "defaultConfig": { key: address } });
            let found = mesh::facts::discovery_address(&config, "istio-system");
            let found = found.as_ref().map(|found| {
                let service = found.service.as_ref();
                let service = service.map(|(name, namespace)| (name.as_str(), namespace.as_str()));
                (found.host.as_str(), found.port, service)
            });
            assert_eq!(found, expected, "{address}");
        }
    }
    assert_eq!(
        mesh::facts::discovery_address(&json!({}), "istio-system"),
        None
    );
}

#[test]
fn no_value_of_the_mesh_config_is_ambiguous() {
    let mut workload = workload();
    workload.labels.insert(p("app"), p("n"));
    workload.env.insert(p("NUMBER"), "0x1F".into());
    let text = text(&workload, &facts());
    for line in [r#""CANONICAL_SERVICE": "n""#, r#""NUMBER": "0x1F""#] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn the_package_has_the_configured_version_or_that_of_the_control_plane() {
    let release = |change: fn(&mut Workload), version: Option<&str>| {
        let mut workload = workload();
        change(&mut workload);
        let facts = Facts {
            version: version.map(p),
            releases: p("https://mirror.example.com"),
            ..facts()
        };
        let release = render(&workload, &facts).unwrap().bundle.release;
        release.map(|of| (of.url, of.version.map(|version| version.to_string())))
    };
    let url = |version: &str| format!("https://mirror.example.com/{version}");
    assert_eq!(release(|_| {}, None), None);
    assert_eq!(release(|_| {}, Some("1.31.0")), Some((url("1.31.0"), None)));
    let asked = Some((url("1.30.2"), Some("1.30.2".to_owned())));
    let asks: fn(&mut Workload) = |w| w.proxy.version = Some(p("1.30.2"));
    assert_eq!(release(asks, None), asked);
    assert_eq!(release(asks, Some("1.31.0")), asked);
    let named = |w: &mut Workload| {
        w.proxy.install = Some(mesh::workload::Install {
            url: "https://packages.example.com/istio.deb".to_owned(),
            sha256: p(&"a".repeat(64)),
        });
    };
    assert_eq!(release(named, Some("1.31.0")), None);
    let contained = |w: &mut Workload| {
        (w.proxy.runtime, w.proxy.image) = (
            mesh::workload::Runtime::Docker,
            Some(p("istio/proxyv2:1.31.0")),
        );
    };
    assert_eq!(release(contained, Some("1.31.0")), None);
}

/// Istio's page about Prometheus sets `OUTPUT_CERTS` for all pods: the agent of a VM has no such folder and never gets
/// ready.
#[test]
fn variables_that_only_a_pod_can_use_are_left_out_and_named() {
    let mut facts = facts();
    facts.mesh_config["defaultConfig"]["proxyMetadata"]["OUTPUT_CERTS"] =
        json!("/etc/istio-output-certs");
    let mut workload = workload();
    workload.env.insert(p("PROV_CERT"), "/etc/own".into());
    workload.env.insert(p("SECRET_TTL"), "1h".into());
    let desired = render(&workload, &facts).unwrap();
    for file in &desired.bundle.files {
        let text = String::from_utf8_lossy(&file.content);
        let named = ["OUTPUT_CERTS", "PROV_CERT"].map(|name| text.contains(name));
        assert_eq!(named, [false; 2], "{}: {text}", file.path);
    }
    let of_mesh = mesh::bundle::left_out_of_mesh(&facts);
    let own = mesh::bundle::left_out_of_own(&workload);
    let left_out: Vec<_> = of_mesh.into_iter().chain(own).collect();
    assert_eq!(left_out, ["OUTPUT_CERTS", "PROV_CERT"]);
}

/// Istio's documentation lets each of these ports be moved, for example off one that an application has.
#[test]
fn the_ports_of_the_proxy_are_those_of_its_configuration() {
    let mut facts = facts();
    facts.mesh_config = json!({
        "proxyListenPort": 15011,
        "proxyInboundListenPort": 15016,
        "defaultConfig": {
            "proxyAdminPort": 15099,
            "statusPort": 15030,
            "proxyMetadata": { "ENVOY_STATUS_PORT": "15031", "ENVOY_PROMETHEUS_PORT": "15091" },
        },
    });
    let mut workload = workload();
    let bundle = render(&workload, &facts).unwrap().bundle;
    assert_eq!(bundle.ports, [15099, 15011, 15016, 15030, 15031, 15091]);
    let variables = String::from_utf8(bundle.files[0].content.clone()).unwrap();
    for line in [
        "ENVOY_PORT=15011",
        "INBOUND_CAPTURE_PORT=15016",
        "ENVOY_STATUS_PORT=15031",
        "ISTIO_LOCAL_EXCLUDE_PORTS=22,15091,15031,15030",
    ] {
        let has = variables.lines().any(|of| of == line);
        assert!(has, "{line}: {variables}");
    }
    workload.proxy.config = Some(p("proxyAdminPort: 15098"));
    let bundle = render(&workload, &facts).unwrap().bundle;
    assert_eq!(bundle.ports[0], 15098, "the workload's own setting wins");
    let bundle = render(&workload, &crate::sample::facts()).unwrap().bundle;
    let variables = String::from_utf8(bundle.files[0].content.clone()).unwrap();
    assert!(!variables.contains("ENVOY_PORT"), "{variables}");
}
