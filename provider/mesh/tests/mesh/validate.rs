use expect_test::{Expect, expect};
use mesh::render::render;
use mesh::validate::validate;
use mesh::workload::{Install, Interception, PullPolicy, Runtime, Sidecar, Workload};

use crate::sample::{facts, p, port, service, workload};

/// Checks the problems of a changed sample, each as `rule: attribute, attribute`.
fn check(change: impl FnOnce(&mut Workload), expected: &str) {
    let mut broken = workload();
    change(&mut broken);
    let problems = validate(&broken);
    let lines: Vec<_> = problems
        .iter()
        .map(|found| format!("{}: {}", found.rule, found.concerns.join(", ")))
        .collect();
    assert_eq!(lines.join("\n"), expected);
    let sentences = problems
        .iter()
        .all(|found| found.text.ends_with('.') && found.text.len() > 40);
    assert!(sentences, "{problems:#?}");
    assert_eq!(
        render(&broken, &facts()).err().unwrap_or_default(),
        problems
    );
}

/// Checks the texts of the problems of a changed sample.
fn check_text(change: impl FnOnce(&mut Workload), expected: &Expect) {
    let mut broken = workload();
    change(&mut broken);
    let texts: Vec<_> = validate(&broken)
        .into_iter()
        .map(|found| found.text)
        .collect();
    expected.assert_eq(&texts.join("\n"));
}

#[test]
fn a_valid_workload_has_no_problems() {
    check(|_| {}, "");
}

#[test]
fn the_address_must_reach_the_machine() {
    check(|w| w.address = None, "address-required: address");
    check(
        |w| w.address = Some(p("0.0.0.0")),
        "address-of-one-machine: address",
    );
    check(
        |w| w.address = Some(p("127.0.0.1")),
        "address-of-one-machine: address",
    );
    check(
        |w| w.instance_ip = Some(p("ff02::1")),
        "address-of-one-machine: instance_ip",
    );
    let named = |w: &mut Workload| (w.address, w.instance_ip) = (Some(p("vm.example.com")), None);
    check(named, "fqdn-needs-instance-ip: instance_ip, address");
    check_text(
        named,
        &expect![
            "The address is the name vm.example.com, and instance_ip is not set. The proxy must know an IP address of its own, because it does not resolve the name. Set instance_ip to the address of the VM's interface."
        ],
    );
}

#[test]
fn each_runtime_has_its_own_source() {
    let image = || Some(p("istio/proxyv2:1.31.0"));
    let install = || {
        Some(Install {
            url: "https://packages.example.com/istio.deb".to_owned(),
            sha256: p(&"a".repeat(64)),
        })
    };
    check(
        |w| (w.proxy.runtime, w.proxy.image) = (Runtime::Podman, image()),
        "",
    );
    check(
        |w| (w.proxy.runtime, w.proxy.install) = (Runtime::Docker, install()),
        "image-required: proxy.runtime, proxy.image\n\
         runtime-source: proxy.install, proxy.runtime",
    );
    check(
        |w| (w.proxy.install, w.proxy.version) = (install(), Some(p("1.31.0"))),
        "version-or-install: proxy.version, proxy.install",
    );
    check(
        |w| {
            (w.proxy.runtime, w.proxy.image) = (Runtime::Docker, image());
            w.proxy.version = Some(p("1.31.0"));
        },
        "runtime-source: proxy.version, proxy.runtime",
    );
    check(
        |w| {
            (w.proxy.runtime, w.proxy.image) = (Runtime::Docker, image());
            (w.proxy.interception, w.sidecar) = (Interception::Tproxy, None);
        },
        "tproxy-runtime: proxy.interception, proxy.runtime",
    );
    check(
        |w| (w.proxy.image, w.proxy.pull_policy) = (image(), Some(PullPolicy::Never)),
        "runtime-source: proxy.image, proxy.runtime\n\
         runtime-source: proxy.pull_policy, proxy.runtime",
    );
}

#[test]
fn the_proxys_id_must_have_two_parts() {
    check(|w| w.id = p("bookinfo/a.b"), "name-is-label: name");
    check(|w| w.id.name = p(&"a".repeat(64)), "name-is-label: name");
}

#[test]
fn reserved_labels_and_annotations_are_rejected() {
    check(
        |w| drop(w.labels.insert(p("mesh.vm/workload"), p("x"))),
        "label-is-ours: labels.mesh.vm/workload",
    );
    let annotations = |keys: &[(&str, usize)]| {
        let keys: Vec<_> = keys
            .iter()
            .map(|&(key, size)| (key.to_owned(), "x".repeat(size)))
            .collect();
        move |w: &mut Workload| w.annotations.extend(keys)
    };
    check(annotations(&[("a.io/b", 9)]), "");
    check(
        annotations(&[
            ("istio.io/dry-run", 1),
            ("istio.io/connectedAt", 1),
            ("proxy.istio.io/config", 1),
        ]),
        "annotation-reserved: annotations.istio.io/connectedAt, annotations\n\
         annotation-reserved: annotations.istio.io/dry-run, annotations\n\
         annotation-reserved: annotations.proxy.istio.io/config, annotations",
    );
    check(
        annotations(&[("proxy.istio.io/health-checks-enabled", 4)]),
        "annotation-reserved: annotations.proxy.istio.io/health-checks-enabled, annotations",
    );
    check(
        annotations(&[("a b", 1)]),
        "annotation-key: annotations.a b, annotations",
    );
    check(
        annotations(&[("a", 200_000), ("b", 100_000)]),
        "annotations-size: annotations",
    );
    // The API server's limit of 262144 bytes includes the annotations of the provider and of istiod.
    check(annotations(&[("a", 261_119)]), "");
    check(
        annotations(&[("a", 261_120)]),
        "annotations-size: annotations",
    );
}

/// The provider's own labels count: `mesh.vm/workload`, and `mesh.vm/fleet` of a member.
#[test]
fn as_many_labels_are_accepted_as_are_written() {
    let written = |of: &Workload| {
        let entry = mesh::objects::declared(of).remove(0);
        entry.body["spec"]["labels"].as_object().unwrap().len()
    };
    for fleet in [None, Some(p("bookinfo/ratings"))] {
        let mut most = workload();
        if fleet.is_some() {
            (most.fleet, most.sidecar) = (fleet, None);
            most.services.clear();
        }
        let mut more = (0..).map(|n| (p(&format!("l{n}")), p("v")));
        let missing = 256 - written(&most);
        most.labels.extend(more.by_ref().take(missing));
        assert_eq!((validate(&most), written(&most)), (vec![], 256));
        most.labels.extend(more.next());
        let rules: Vec<_> = validate(&most).iter().map(|of| of.rule.name()).collect();
        assert_eq!(rules, ["too-many"]);
    }
}

#[test]
fn counts_are_limited_as_in_the_crd() {
    let labels = |w: &mut Workload| {
        w.labels
            .extend((0..254).map(|n| (p(&format!("l{n}")), p("v"))));
    };
    check(labels, "too-many: labels");
    // The sample already has two labels.
    check(
        |w| {
            let all = (0..253).map(|n| (p(&format!("l{n}")), p("v")));
            w.labels.extend(all);
        },
        "",
    );
    let free = |w: &mut Workload| {
        w.services.clear();
        let all = (0..128).map(|n| (p(&format!("p{n}")), p("80")));
        w.ports.extend(all);
    };
    check(free, "");
    let ports = |w: &mut Workload| {
        w.services.clear();
        w.ports
            .extend((0..129).map(|n| (p(&format!("p{n}")), p("80"))));
    };
    check(ports, "too-many: ports");
}

#[test]
fn the_providers_variables_are_set_by_attributes() {
    for key in [
        "ISTIO_SVC_IP",
        "INSTANCE_IP",
        "PROXY_GID",
        "FORCE_IPTABLES_BINARY",
        "ISTIO_META_NETWORK",
        "POD_NAME",
        "CA_ADDR",
    ] {
        check(
            |w| drop(w.env.insert(p(key), "x".into())),
            &format!("env-is-ours: env.{key}"),
        );
    }
    check(
        |w| drop(w.env.insert(p("A"), "x\ny".into())),
        "env-value: env.A",
    );
    check_text(
        |w| drop(w.env.insert(p("ISTIO_META_DNS_CAPTURE"), "true".into())),
        &expect![
            "ISTIO_META_DNS_CAPTURE is written by the provider. Set proxy.dns_capture instead."
        ],
    );
}

#[test]
fn reserved_names_are_rejected_with_the_attribute_to_set_instead() {
    let mut texts = String::new();
    for key in [
        "PROXY_CONFIG",
        "ISTIO_META_INTERCEPTION_MODE",
        "ISTIO_CUSTOM_IP_TABLES",
        "ISTIO_INBOUND_INTERCEPTION_MODE",
        "ISTIO_LOCAL_EXCLUDE_PORTS",
        "ISTIO_SERVICE_EXCLUDE_CIDR",
        "ISTIO_INBOUND_PORTS",
        "ISTIO_SVC_IP",
        "INSTANCE_IP",
        "ISTIO_META_NETWORK",
        "ISTIO_METAJSON_LABELS",
    ] {
        let mut broken = workload();
        broken.env.insert(p(key), "x".into());
        for problem in validate(&broken) {
            texts += &format!("{}\n", problem.text);
        }
    }
    for key in [
        "istio.io/dry-run",
        "istio.io/x",
        "proxy.istio.io/config",
        "proxy.istio.io/health-checks-enabled",
    ] {
        let mut broken = workload();
        broken.annotations.insert(key.into(), "x".into());
        for problem in validate(&broken) {
            texts += &format!("{}\n", problem.text);
        }
    }
    expect![[r#"
        PROXY_CONFIG is written by the provider. Set proxy.config instead.
        ISTIO_META_INTERCEPTION_MODE is written by the provider. Set proxy.interception instead.
        ISTIO_CUSTOM_IP_TABLES is written by the provider. Set proxy.interception instead.
        ISTIO_INBOUND_INTERCEPTION_MODE is written by the provider. Set proxy.interception instead.
        ISTIO_LOCAL_EXCLUDE_PORTS is written by the provider. Set proxy.exclude_inbound_ports instead.
        ISTIO_SERVICE_EXCLUDE_CIDR is written by the provider. Set proxy.exclude_cidrs instead.
        ISTIO_INBOUND_PORTS is written by the provider: every port is captured unless ports is set.
        ISTIO_SVC_IP is written by the provider. Set address or instance_ip instead.
        INSTANCE_IP is written by the provider. Set address or instance_ip instead.
        ISTIO_META_NETWORK is written by the provider. Set network instead.
        ISTIO_METAJSON_LABELS is written by the provider. Set labels instead.
        The annotation istio.io/dry-run is rejected by Istio on a WorkloadEntry. Remove it.
        The annotation istio.io/x is written by istiod itself. Remove it.
        The annotation proxy.istio.io/config has no effect on a WorkloadEntry. Set proxy.config instead.
        The annotation proxy.istio.io/health-checks-enabled is written by the provider. Set health_check instead.
    "#]].assert_eq(&texts);
}

#[test]
fn a_package_is_downloaded_from_a_url() {
    let url = |url: &str| {
        let url = url.to_owned();
        move |w: &mut Workload| {
            w.proxy.install = Some(Install {
                url,
                sha256: p(&"0".repeat(64)),
            });
        }
    };
    for good in ["https://a/b.deb", "http://a/b", "file:///b.deb"] {
        check(url(good), "");
    }
    for bad in [
        "",
        "https://",
        "ftp://a",
        "/b.deb",
        "https://a/b c",
        "https://a/\n",
        "file://a",
    ] {
        check(url(bad), "install-url: proxy.install.url");
    }
    check_text(
        url("https://user:hunter2@mirror/a b"),
        &expect![[
            r#""https://…@mirror/a b" is not a URL that the VM can download from. It must begin with https://, http:// or file:/// and must not contain spaces."#
        ]],
    );
}

#[test]
fn a_service_must_have_hosts_and_ports() {
    let no_ports = |w: &mut Workload| w.services.values_mut().for_each(|s| s.ports.clear());
    check(no_ports, "ports-required: services.ratings.ports");
    let long = "a".repeat(250);
    let named = |w: &mut Workload| w.services = [(p(&long), service("a", 80))].into();
    check(named, &format!("object-name: services.{long}"));
    let many = |w: &mut Workload| {
        w.services
            .values_mut()
            .for_each(|s| s.hosts = (0..257).map(|n| p(&format!("h{n}"))).collect());
    };
    check(many, "too-many: services.ratings.hosts");
    let most = |w: &mut Workload| {
        w.services
            .values_mut()
            .for_each(|s| s.hosts = (0..256).map(|n| p(&format!("h{n}"))).collect());
    };
    check(most, "");
}

#[test]
fn a_service_without_hosts_only_defines_listeners() {
    let no_hosts = |w: &mut Workload| w.services.values_mut().for_each(|s| s.hosts.clear());
    check(no_hosts, "");
    // The limits of a ServiceEntry do not apply to listeners.
    let many = |w: &mut Workload| {
        no_hosts(w);
        let ports = (1000..1257).map(|number| (p(&format!("p{number}")), port(number)));
        w.services.get_mut(&p("ratings")).unwrap().ports = ports.collect();
    };
    check(many, "");
    let no_sidecar = |w: &mut Workload| {
        no_hosts(w);
        w.sidecar = None;
    };
    check(
        no_sidecar,
        "hosts-required: services.ratings.hosts, sidecar",
    );
    let with_attributes = |w: &mut Workload| {
        no_hosts(w);
        let service = w.services.get_mut(&p("ratings")).unwrap();
        service.addresses = vec![p("240.0.0.1")];
        service.export_to = vec![p(".")];
        service.subject_alt_names = vec!["a".into()];
        service.object_name = Some(p("a"));
    };
    check(
        with_attributes,
        "hosts-required: services.ratings.hosts, services.ratings.addresses\n\
         hosts-required: services.ratings.hosts, services.ratings.export_to\n\
         hosts-required: services.ratings.hosts, services.ratings.subject_alt_names\n\
         hosts-required: services.ratings.hosts, services.ratings.object_name",
    );
}

#[test]
fn each_service_has_its_own_object() {
    let twice = |w: &mut Workload| {
        let named = |name: Option<&str>, port| mesh::workload::Service {
            object_name: name.map(p),
            ..service("a.b", port)
        };
        w.services
            .insert(p("stars"), named(Some("ratings-vm-1-ratings"), 1));
        w.services.insert(p("a"), named(Some("same"), 2));
        w.services.insert(p("b"), named(Some("same"), 3));
    };
    check(
        twice,
        "object-name-twice: services.b.object_name, services.a.object_name\n\
         object-name-twice: services.stars.object_name, services.ratings.object_name",
    );
}

#[test]
fn export_to_has_no_duplicates_and_all_or_none_only_alone() {
    let to = |to: &[&str]| {
        let to: Vec<_> = to.iter().map(|to| p(to)).collect();
        move |w: &mut Workload| w.services.get_mut(&p("ratings")).unwrap().export_to = to
    };
    for good in [&["."][..], &["*"], &["~"], &[".", "other"], &["a", "b"]] {
        check(to(good), "");
    }
    let alone = "export-to: services.ratings.export_to";
    let twice = "export-to: services.ratings.export_to, namespace";
    for (bad, expected) in [
        (&["*", "."][..], alone),
        (&["a", "~"], alone),
        (&[".", "bookinfo"], twice),
        (&["a", "b", "a"], twice),
    ] {
        check(to(bad), expected);
    }
}

#[test]
fn several_hosts_need_a_protocol_that_carries_the_host_name() {
    let hosts = |protocol: &str| {
        let protocol = p(protocol);
        move |w: &mut Workload| {
            let service = w.services.get_mut(&p("ratings")).unwrap();
            service.hosts.push(p("b.example"));
            service
                .ports
                .values_mut()
                .for_each(|port| port.protocol = protocol);
        }
    };
    for good in ["HTTP", "grpc", "TLS", "https"] {
        check(hosts(good), "");
    }
    for bad in ["TCP", "mysql", "udp"] {
        check(
            hosts(bad),
            "several-hosts: services.ratings.hosts, services.ratings.ports.http.protocol",
        );
    }
}

#[test]
fn a_port_can_be_used_only_once() {
    let numbers = |w: &mut Workload| {
        let ports = &mut w.services.get_mut(&p("ratings")).unwrap().ports;
        ports.insert(
            p("other"),
            mesh::workload::ServicePort {
                target_port: Some(p("9081")),
                ..port(9080)
            },
        );
    };
    check(
        numbers,
        "port-numbers: services.ratings.ports.other.number, services.ratings.ports.http.number",
    );
    let targets = |w: &mut Workload| drop(w.services.insert(p("stars"), service("stars", 9080)));
    check(
        targets,
        "same-port-twice: services.stars.ports.http.target_port, services.ratings.ports.http.target_port",
    );
    check_text(
        targets,
        &expect![
            "services.ratings.ports.http and services.stars.ports.http both forward to port 9080 of the VM, and its proxy supports only one service per port. Give one of them another target_port."
        ],
    );
}

#[test]
fn ports_must_be_consistent_with_the_entry_and_the_sidecar() {
    let http = |change: fn(&mut mesh::workload::ServicePort)| {
        move |w: &mut Workload| {
            w.services
                .values_mut()
                .for_each(|s| s.ports.values_mut().for_each(change));
        }
    };
    let both = |w: &mut Workload| {
        http(|port| port.target_port = Some(p("9081")))(w);
        w.ports.insert(p("http"), p("9082"));
    };
    check(
        both,
        "target-port-twice: services.ratings.ports.http.target_port, ports.http",
    );
    check(
        http(|port| port.target_port = Some(p("15006"))),
        "proxy-port: services.ratings.ports.http.target_port",
    );
    check(
        http(|port| port.number = p("15006")),
        "proxy-port: services.ratings.ports.http.number",
    );
    check(
        http(|port| port.app_port = Some(p("15006"))),
        "proxy-port: services.ratings.ports.http.app_port",
    );
    check(
        |w| w.ports.extend([(p("http"), p("15006"))]),
        "proxy-port: ports.http",
    );
    let no_sidecar = |w: &mut Workload| {
        http(|port| port.app_port = Some(p("8080")))(w);
        w.sidecar = None;
    };
    check(
        no_sidecar,
        "app-port-needs-sidecar: services.ratings.ports.http.app_port, sidecar",
    );
    check(
        |w| {
            w.ports
                .extend([(p("grpc"), p("1")), (p("http"), p("9080"))]);
        },
        "entry-port-unknown: ports.grpc, services",
    );
}

#[test]
fn a_service_needs_a_port_that_the_proxy_captures() {
    let http = |change: fn(&mut mesh::workload::ServicePort)| {
        move |w: &mut Workload| {
            w.services
                .values_mut()
                .for_each(|s| s.ports.values_mut().for_each(change));
        }
    };
    let at =
        |attribute: &str| format!("port-not-captured: services.ratings.ports.http.{attribute}");
    check(http(|port| port.number = p("22")), &at("number"));
    check(
        http(|port| port.target_port = Some(p("22"))),
        &at("target_port"),
    );
    check(
        |w| w.proxy.exclude_inbound_ports = vec![p("80"), p("9080")],
        &at("number, proxy.exclude_inbound_ports"),
    );
    let other = |w: &mut Workload| {
        let ratings = w.services.get_mut(&p("ratings")).unwrap();
        ratings.ports.insert(p("other"), port(9081));
        w.ports.insert(p("other"), p("9082"));
    };
    check(other, &at("number, ports"));
    // A listener that clients connect to directly needs no rules, and neither does a proxy without interception.
    let direct = |w: &mut Workload| {
        http(|port| port.capture = Some(mesh::workload::Capture::None))(w);
        w.proxy.exclude_inbound_ports = vec![p("9080")];
    };
    check(direct, "");
    let no_rules = |w: &mut Workload| {
        w.proxy.interception = Interception::None;
        w.proxy.exclude_inbound_ports = vec![p("9080")];
    };
    check(no_rules, "");
    check_text(
        |w| w.proxy.exclude_inbound_ports = vec![p("9080")],
        &expect![
            "Traffic to port 9080 of the VM bypasses the proxy, because it is in proxy.exclude_inbound_ports. The service would answer in plain text. Set a port that the proxy captures."
        ],
    );
    let sshd = |number: &str| mesh::validate::validate_sshd(&workload(), p(number)).len();
    assert_eq!([sshd("22"), sshd("9080"), sshd("2222")], [0, 1, 0]);
}

#[test]
fn without_interception_or_an_ip_address_inbound_traffic_needs_a_sidecar() {
    let no_interception =
        |w: &mut Workload| (w.proxy.interception, w.sidecar) = (Interception::None, None);
    check(
        no_interception,
        "interception-needs-sidecar: proxy.interception, sidecar, services",
    );
    let named = |w: &mut Workload| (w.address, w.sidecar) = (Some(p("vm.example.com")), None);
    check(named, "fqdn-needs-sidecar: sidecar, address, services");
    check(|w| w.proxy.interception = Interception::None, "");
    check(|w| w.sidecar = None, "");
}

#[test]
fn with_tproxy_the_sidecar_must_not_forward_to_a_loopback_address() {
    let at = |app_address: Option<&'static str>, sidecar: bool| {
        move |w: &mut Workload| {
            w.proxy.interception = Interception::Tproxy;
            w.instance_ip = None;
            let ratings = w.services.get_mut(&p("ratings")).unwrap();
            let http = ratings.ports.get_mut(&p("http")).unwrap();
            http.app_address = app_address.map(p);
            http.app_port = None;
            if !sidecar {
                w.sidecar = None;
            }
        }
    };
    let problem =
        "tproxy-loopback: services.ratings.ports.http.app_address, proxy.interception, sidecar";
    check(at(None, true), problem);
    check(at(Some("::1"), true), problem);
    check(at(Some("unix:///run/ratings.sock"), true), problem);
    check(at(Some("0.0.0.0"), true), "");
    check(at(Some("::"), true), "");
    check(at(None, false), "");
}

#[test]
fn services_of_a_vm_with_a_name_follow_the_rules_of_dns_resolution() {
    let named = |w: &mut Workload| {
        w.address = Some(p("vm.example.com"));
        let service = w.services.get_mut(&p("ratings")).unwrap();
        service.hosts = vec![p("*.example.com")];
        service.addresses = vec![p("240.0.0.0/24")];
    };
    check(
        named,
        "dns-without-wildcard: services.ratings.hosts, address\n\
         dns-without-range: services.ratings.addresses, address",
    );
}

#[test]
fn a_sidecar_must_not_be_empty_and_its_hosts_have_namespaces() {
    let egress = |hosts: &[&str]| {
        Some(Sidecar {
            egress_hosts: hosts.iter().map(|&host| p(host)).collect(),
            ..Sidecar::default()
        })
    };
    check(
        |w| w.sidecar = egress(&["*/*", "./a.b", "~/*", "ns/*.b"]),
        "",
    );
    let empty = |w: &mut Workload| {
        w.services.clear();
        w.sidecar = egress(&[]);
    };
    check(
        empty,
        "sidecar-empty: sidecar, services, sidecar.egress_hosts",
    );
    let policy = |w: &mut Workload| {
        empty(w);
        w.sidecar.as_mut().unwrap().outbound_traffic =
            Some(mesh::workload::OutboundTraffic::RegistryOnly);
    };
    check(policy, "");
}

#[test]
fn an_application_must_listen_where_istio_can_forward_to() {
    let at = |address: &str, port: Option<&str>| {
        let (address, port) = (p(address), port.map(p));
        move |w: &mut Workload| {
            let http = w
                .services
                .get_mut(&p("ratings"))
                .unwrap()
                .ports
                .get_mut(&p("http"));
            let http = http.unwrap();
            (http.app_address, http.app_port) = (Some(address), port);
        }
    };
    let of = |attribute: &str| format!("services.ratings.ports.http.{attribute}");
    for good in ["127.0.0.1", "::1", "unix:///run/app.sock", "unix://@app"] {
        check(at(good, None), "");
    }
    check(at("::1", Some("8080")), "");
    let address = of("app_address");
    check(at("127.0.0.2", None), &format!("app-address: {address}"));
    check(at("10.99.1.10", None), &format!("app-address: {address}"));
    let socket = format!("app-socket: {}, {address}", of("app_port"));
    check(at("unix:///run/app.sock", Some("8080")), &socket);
    // No interface of a VM behind NAT has its first address.
    let behind_nat = format!("app-address: {address}, instance_ip, address");
    check(at("0.0.0.0", None), &behind_nat);
    for direct in [None, Some(p("203.0.113.7"))] {
        let any = |w: &mut Workload| {
            w.instance_ip = direct;
            at("0.0.0.0", None)(w);
        };
        check(any, "");
    }
    let no_sidecar = |w: &mut Workload| {
        at("::1", Some("8080"))(w);
        let http = w
            .services
            .get_mut(&p("ratings"))
            .unwrap()
            .ports
            .get_mut(&p("http"));
        let http = http.unwrap();
        (http.bind, http.capture) = (Some(p("10.0.0.9")), Some(mesh::workload::Capture::None));
        w.sidecar = None;
    };
    let needs = ["app_port", "app_address", "bind", "capture"];
    let needs = needs.map(|it| format!("app-port-needs-sidecar: {}, sidecar", of(it)));
    check(no_sidecar, &needs.join("\n"));
}

#[test]
fn an_egress_listener_needs_an_address_and_hosts() {
    let listeners = |change: fn(&mut mesh::workload::EgressListener)| {
        move |w: &mut Workload| {
            let mut mysql = listener("3306");
            change(&mut mysql);
            let all = [(p("a"), listener("3307")), (p("mysql"), mysql)];
            w.sidecar.as_mut().unwrap().egress_listeners = all.into();
        }
    };
    let at = |attribute: &str| format!("sidecar.egress_listeners.mysql.{attribute}");
    check(listeners(|_| {}), "");
    check(
        listeners(|l| (l.bind, l.port) = (Some(p("unix:///run/x")), None)),
        "",
    );
    let port = format!("egress-port: {}, {}", at("port"), at("bind"));
    check(listeners(|l| l.port = None), &port);
    check(listeners(|l| l.bind = Some(p("unix:///run/x"))), &port);
    check(
        listeners(|l| l.port = Some(p("15001"))),
        &format!("proxy-port: {}", at("port")),
    );
    let hosts = format!("egress-hosts-required: {}", at("hosts"));
    check(listeners(|l| l.hosts.clear()), &hosts);
    let captured = |l: &mut mesh::workload::EgressListener| {
        (l.bind, l.port) = (Some(p("unix:///run/x")), None);
        l.capture = Some(mesh::workload::Capture::Iptables);
    };
    let capture = format!("egress-capture: {}, {}", at("capture"), at("bind"));
    check(listeners(captured), &capture);
    let twice = format!(
        "egress-twice: {}, sidecar.egress_listeners.a.port",
        at("port")
    );
    let other_address = |l: &mut mesh::workload::EgressListener| {
        (l.bind, l.port) = (Some(p("127.0.0.3")), Some(p("3307")));
    };
    check(listeners(other_address), &twice);
    let socket_twice = |w: &mut Workload| {
        let socket = mesh::workload::EgressListener {
            bind: Some(p("unix:///run/x")),
            port: None,
            ..listener("1")
        };
        let all = [(p("a"), socket.clone()), (p("mysql"), socket)];
        w.sidecar.as_mut().unwrap().egress_listeners = all.into();
    };
    let twice = format!(
        "egress-twice: {}, sidecar.egress_listeners.a.bind",
        at("bind")
    );
    check(socket_twice, &twice);
}

fn listener(port: &str) -> mesh::workload::EgressListener {
    mesh::workload::EgressListener {
        bind: Some(p("127.0.0.2")),
        port: Some(p(port)),
        protocol: p("MYSQL"),
        hosts: vec![p("./db.corp")],
        capture: None,
    }
}

#[test]
fn without_interception_listeners_cannot_capture_traffic() {
    let captured = |w: &mut Workload| {
        w.proxy.interception = Interception::None;
        let captured = Some(mesh::workload::Capture::Iptables);
        let http = w
            .services
            .get_mut(&p("ratings"))
            .unwrap()
            .ports
            .get_mut(&p("http"));
        http.unwrap().capture = captured;
        let mysql = mesh::workload::EgressListener {
            capture: captured,
            ..listener("3306")
        };
        w.sidecar.as_mut().unwrap().egress_listeners = [(p("mysql"), mysql)].into();
    };
    check(
        captured,
        "capture-needs-interception: services.ratings.ports.http.capture, proxy.interception\n\
         capture-needs-interception: sidecar.egress_listeners.mysql.capture, proxy.interception",
    );
}

#[test]
fn all_problems_are_reported_at_once() {
    let broken = |w: &mut Workload| {
        w.address = None;
        w.id = p("bookinfo/a.b");
        w.env.insert(p("POD_NAME"), "x".into());
        w.sidecar = None;
        w.proxy.interception = Interception::None;
    };
    check(
        broken,
        "address-required: address\nname-is-label: name\nenv-is-ours: env.POD_NAME\n\
         interception-needs-sidecar: proxy.interception, sidecar, services",
    );
}

#[test]
fn a_health_check_has_one_probe_that_istio_supports() {
    use mesh::health::{HealthCheck, Probe};
    let http = |path: &str, header: &str| Probe::Http {
        host: None,
        port: p("80"),
        path: Some(path.into()),
        scheme: None,
        headers: [(header.to_owned(), "1".to_owned())].into(),
    };
    let tcp = || Probe::Tcp {
        host: None,
        port: p("80"),
    };
    let cases: [(Vec<Probe>, &[&str]); 6] = [
        (vec![], &["health-check-method"]),
        (vec![tcp(), http("/", "A")], &["health-check-method"]),
        (vec![Probe::Exec(vec![])], &["health-check-exec"]),
        (
            vec![http("ready", "A b")],
            &["health-check-path", "health-check-header"],
        ),
        (vec![http("/ready", "X-A")], &[]),
        (vec![tcp()], &[]),
    ];
    for (methods, rules) in cases {
        let mut workload = workload();
        workload.health_check = Some(HealthCheck {
            methods: methods.clone(),
            ..HealthCheck::default()
        });
        let found: Vec<_> = mesh::validate::validate(&workload)
            .iter()
            .map(|problem| problem.rule.name())
            .collect();
        assert_eq!(found, rules, "{methods:?}");
    }
}

#[test]
fn settings_of_the_proxy_are_those_of_istio() {
    let config = |text: &'static str| move |w: &mut Workload| w.proxy.config = Some(p(text));
    let rule = "proxy-config-setting: proxy.config";
    for fine in [
        "concurrency: 2",
        "concurrency: '2'",
        "status_port: 15520",
        "holdApplicationUntilProxyStarts: on",
        "drainDuration: 1m30s",
        "tracing: {sampling: 1}",
        "proxyStatsMatcher: ~",
        "<<: {concurrency: 2}",
    ] {
        check(config(fine), "");
    }
    for wrong in [
        "concurency: 2",
        "concurrency: two",
        "concurrency: 1.5",
        "holdApplicationUntilProxyStarts: 1",
        "drainDuration: 5",
        "meshId: 7",
        "tracing: zipkin",
        "extraStatTags: a",
        "runtimeValues: {a: true}",
    ] {
        check(config(wrong), rule);
    }
    check_text(
        config("{concurency: 2, runtimeValues: {a: true}, farAway: 1}"),
        &expect![[r#"
            There is no setting concurency. Did you mean concurrency? The settings are those of Istio's ProxyConfig.
            There is no setting farAway. Remove it. The settings are those of Istio's ProxyConfig.
            runtimeValues.a must be a text and is true or false. Put it in quotes. The settings are those of Istio's ProxyConfig."#]],
    );
}
