//! Effects of the objects in the cluster and on traffic.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use acceptance_tests::workload::{NAME, Workload, fails, holds, texts};
use acceptance_tests::{Done, Failure, Result, Scenario, Terraform, wait_for};
use bed::{Kubectl, Machine};
use serde_json::{Value as Json, json};

use crate::cluster::endpoint;
use crate::demo::{call, call_vm, can_call_pod, vm_id};
use crate::failures::{clean, set};

/// An application that responds with its name, at `HOST:PORT` or a socket path.
const APPLICATION: &str = r#"
import http.server, os, socket, socketserver, sys
name, at = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words): pass
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", str(len(name)))
        self.end_headers()
        self.wfile.write(name.encode())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
host, _, port = at.rpartition(":")
if at.startswith("/"):
    Server.address_family = socket.AF_UNIX
    os.umask(0)
elif ":" in host:
    Server.address_family = socket.AF_INET6
Server(at if at.startswith("/") else (host, int(port)), Handler).serve_forever()
"#;

/// Starts an application on the VM that responds with its name.
fn start(vm: &Machine, name: &str, at: &str) -> Done {
    let run = format!(
        "systemd-run --quiet --unit=app-{name} python3 /usr/local/lib/named.py {name} {at}"
    );
    vm.shell(&run).map(drop)?;
    Ok(())
}

/// Sends requests until the response is the name of the expected application.
fn answers(from: &Machine, url: &str, name: &str) -> Done {
    wait_for(&format!("{name} answers at {url}"), || {
        let answer = from.curl(url, &[]).map_err(|error| error.chain())?;
        if answer.body == name {
            Ok(true)
        } else {
            Err(format!("{} {}", answer.status, answer.body))
        }
    })
}

/// Returns the variables that the examples share.
fn variables(scenario: &Scenario, vm: &Json) -> Json {
    let (url, sha256) = scenario.package();
    json!({
        "kubeconfig": scenario.kubectl().kubeconfig(),
        "control_plane_address": scenario.control_plane_address(),
        "private_key_path": scenario.vm.private_key_path,
        "package": { "url": url, "sha256": sha256 },
        "namespace": scenario.namespace,
        "vm": vm,
    })
}

#[test]
fn three_applications_on_a_vm_are_distinguished_by_host_and_port() -> Done {
    let scenario = Scenario::begin("three")?;
    let (vm, pod) = (&scenario.vm, &scenario.pods[0]);
    // istiod forwards to ::1 only if the proxy has an IPv6 address, and otherwise to 127.0.0.1.
    vm.shell("systemctl stop ratings; ip address add fd00:99::7/64 dev eth0 nodad")?;
    // Written once: an application that is still starting would read a partial file.
    vm.write("/usr/local/lib/named.py", APPLICATION.as_bytes())?;
    for (name, at) in [
        ("ratings", "127.0.0.1:9080"),
        ("admin", "127.0.0.1:9091"),
        ("reviews", "::1:9081"),
        ("details", "/run/details.sock"),
    ] {
        start(vm, name, at)?;
    }
    let known = json!({ "address": vm.address, "host_key": vm.host_key });
    let mut variables = variables(&scenario, &known);
    variables["called"] = json!(format!(
        "{}/{}.{}.svc.cluster.local",
        pod.namespace, pod.name, pod.namespace
    ));
    let terraform = Terraform::of_example(&scenario, "three-applications", variables)?;
    terraform.apply()?;
    let namespace = &scenario.namespace;
    for (name, url) in [
        ("ratings", format!("http://ratings.vm.{namespace}/")),
        ("admin", format!("http://ratings.vm.{namespace}:81/")),
        ("reviews", format!("http://reviews.vm.{namespace}/")),
    ] {
        answers(pod, &url, name)?;
    }
    // It is exported only to its own namespace, and the pod is in another one.
    let details = format!("http://details.vm.{namespace}/");
    assert_ne!(
        pod.curl(&details, &[])
            .map(|answer| answer.body)
            .unwrap_or_default(),
        "details"
    );
    answers(vm, &details, "details")?;
    // Through its own listener, and not to hosts outside the registry.
    call(
        vm,
        "http://127.0.0.2:9080/hello",
        &vm_id(&scenario),
        &pod.spiffe_id(),
    )?;
    let stranger = format!("http://{}:18080/ready", scenario.control_plane_address());
    let refused = vm.curl(&stranger, &[]).map(|answer| answer.status);
    assert_ne!(refused.unwrap_or_default(), 200, "{stranger}");
    assert!(terraform.plan(&[])?.is_empty());
    Ok(())
}

#[tokio::test]
async fn the_same_port_twice_is_rejected_with_both_names() -> Done {
    let scenario = Scenario::begin("twice")?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["services"]["stars"] = json!({
        "hosts": ["stars.vm"], "ports": { "web": { "number": 80, "protocol": "HTTP", "target_port": 9080 } },
    });
    let client = workload.provider().await?;
    let reported = client
        .resource("mesh_vm_workload")?
        .validate(&workload.config)
        .await?;
    let both = [
        "services.ratings.ports.http",
        "services.stars.ports.web",
        "9080",
    ];
    fails(&reported.diagnostics, "same-port-twice", &both)
}

/// Forwards connections to an address of the host to the VM, like NAT.
fn nat(from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(from)?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || -> io::Result<()> {
                let server = TcpStream::connect(to)?;
                let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
                thread::spawn(move || io::copy(&mut from_client, &mut to_server));
                let (mut from_server, mut to_client) = (server, client);
                io::copy(&mut from_server, &mut to_client).map(drop)
            });
        }
    });
    Ok(())
}

/// An address on the host's loopback interface that all machines of the bed can reach.
struct External(String);

impl External {
    fn add(address: Ipv4Addr) -> Result<Self> {
        let address = format!("{address}/32");
        ip(&["address", "add", &address, "dev", "lo"])?;
        Ok(Self(address))
    }
}

impl Drop for External {
    fn drop(&mut self) {
        // A remaining address does no harm.
        let _ = ip(&["address", "delete", &self.0, "dev", "lo"]);
    }
}

fn ip(words: &[&str]) -> Done {
    let status = Command::new("ip").args(words).status()?;
    if status.success() {
        Ok(())
    } else {
        let command = format!("ip {}: {status}", words.join(" "));
        Err(Failure::new(command))
    }
}

#[test]
fn a_vm_behind_nat_is_reached_at_its_external_address() -> Done {
    let scenario = Scenario::begin("nat")?;
    let vm = &scenario.vm;
    let [a, b, c, d] = vm.address.octets();
    let external = Ipv4Addr::new(a, b, c, d ^ 0xc0);
    let _held = External::add(external)?;
    nat((external, 9080).into(), (vm.address, 9080).into())?;
    let known = json!({
        "external_address": external, "internal_address": vm.address, "host_key": vm.host_key,
    });
    let terraform = Terraform::of_example(&scenario, "behind-nat", variables(&scenario, &known))?;
    terraform.apply()?;
    let entry = scenario.object("workloadentries", "ratings-vm");
    let entry = scenario.kubectl().get(&entry)?;
    assert_eq!(entry["spec"]["address"], external.to_string());
    let sidecar = scenario
        .kubectl()
        .get(&scenario.object("sidecars", "ratings-vm"))?;
    assert_eq!(
        sidecar["spec"]["ingress"][0]["bind"],
        vm.address.to_string()
    );
    call_vm(&scenario)?;
    can_call_pod(&scenario)?;
    assert!(terraform.plan(&[])?.is_empty());
    Ok(())
}

/// The address belongs to Kubernetes; the workload only has the listeners.
#[tokio::test]
async fn a_kubernetes_service_that_selects_the_vms_labels_reaches_it() -> Done {
    let scenario = Scenario::begin("service")?;
    let namespace = &scenario.namespace;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": namespace, "name": "stars" },
        "spec": { "selector": { "app": "ratings" }, "ports": [{ "name": "http", "port": 80, "targetPort": 9080 }] },
    });
    scenario.kubectl().apply(&service)?;
    let mut workload = Workload::new(&scenario)?;
    let services = json!({ "ratings": {
        "hosts": [], "ports": { "http": { "number": 9080, "protocol": "HTTP" } },
    } });
    set(&mut workload, "/config/services", services);
    workload.converge().await?;
    let (entry, sidecar) = (format!("WorkloadEntry/{NAME}"), format!("Sidecar/{NAME}"));
    assert_eq!(scenario.objects()?, [entry, sidecar]);
    let pod = &scenario.pods[0];
    let url = format!("http://stars.{namespace}/ratings/7");
    call(pod, &url, &pod.spiffe_id(), &vm_id(&scenario))
}

/// Removes the VM from the configuration, so that only objects are written.
fn without_vm(workload: &mut Workload) {
    for gone in ["/ssh", "/proxy"] {
        take_out(&mut workload.config, gone);
    }
    workload.config["objects_only"] = json!(true);
}

#[tokio::test]
async fn a_vm_of_another_namespace_is_rejected_before_anything_is_written() -> Done {
    let scenario = Scenario::begin("elsewhere")?;
    let (kubectl, other) = (scenario.kubectl(), format!("{}-other", scenario.namespace));
    kubectl.create_namespace(&other, &[])?;
    let entry = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
        "metadata": { "namespace": other, "name": "taken" }, "spec": { "address": scenario.vm.address },
    });
    // It would conflict with each later scenario on this VM.
    let held = Held(kubectl.clone(), other.clone());
    kubectl.apply(&entry)?;
    let mut workload = Workload::new(&scenario)?;
    let named = format!("{other}/taken");
    fails(&workload.apply().await?, "address-taken", &[&named])?;
    assert_eq!(scenario.objects()?, [""; 0]);
    assert!(workload.state.is_none());
    // The same address on another network is another machine.
    without_vm(&mut workload);
    workload.config["network"] = json!("vms");
    let done = workload.converge().await;
    drop(held);
    done
}

/// Entries in another namespace. Dropping this value removes them.
struct Held(Kubectl, String);

impl Drop for Held {
    fn drop(&mut self) {
        let all = ["delete", "workloadentries", "--all", "--namespace", &self.1];
        // A remaining entry is reported by the next scenario on the VM.
        let _ = self.0.call(&all, b"");
    }
}

#[tokio::test]
async fn a_vm_with_an_address_of_another_entry_is_rejected_and_not_changed() -> Done {
    let scenario = Scenario::begin("interface")?;
    let entry = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
        "metadata": { "namespace": scenario.namespace, "name": "other" }, "spec": { "address": "10.99.250.7" },
    });
    scenario.kubectl().apply(&entry)?;
    scenario
        .vm
        .shell("ip address add 10.99.250.7/32 dev eth0")?;
    let mut workload = Workload::new(&scenario)?;
    let named = format!("10.99.250.7 belongs to {}/other", scenario.namespace);
    fails(&workload.apply().await?, "vm-reverted", &[&named, "check"])?;
    assert_eq!(scenario.objects()?, ["WorkloadEntry/other"]);
    assert!(workload.state.is_none() && clean(&scenario)?);
    // Once the address is removed from the interface, the VM no longer matches another entry.
    scenario
        .vm
        .shell("ip address delete 10.99.250.7/32 dev eth0")?;
    workload.converge().await
}

#[tokio::test]
async fn a_role_for_a_single_namespace_causes_a_warning() -> Done {
    let scenario = Scenario::begin("unseen")?;
    let (kubectl, namespace) = (scenario.kubectl(), scenario.namespace.as_str());
    let role = include_str!("../../../examples/rbac.yaml").replace("bookinfo", namespace);
    let (role, _) = role.split_once("# In all namespaces").unwrap_or_default();
    let role = role.replace("terraform-provider-mesh", &format!("role-{namespace}"));
    kubectl.call(&["apply", "--server-side", "-f", "-"], role.as_bytes())?;
    let (host, authority) = endpoint(&scenario)?;
    let token = kubectl.token(namespace, "terraform", None)?;
    let mut workload = Workload::new(&scenario)?;
    workload.block["kubernetes"] =
        json!({ "host": host, "token": token, "cluster_ca_certificate": authority });
    without_vm(&mut workload);
    let reported = workload.apply().await?;
    assert_eq!(reported.len(), 1, "{}", texts(&reported));
    holds(&reported[0], "entries-unseen", &["examples/rbac.yaml"])
}

#[tokio::test]
async fn two_workloads_on_one_vm_are_reported() -> Done {
    let scenario = Scenario::begin("shared")?;
    let mut first = Workload::new(&scenario)?;
    without_vm(&mut first);
    first.converge().await?;
    let mut second = Workload::new(&scenario)?;
    without_vm(&mut second);
    second.config["name"] = json!("stars-vm");
    let reported = second.apply().await?;
    assert_eq!(reported.len(), 1, "{}", texts(&reported));
    let names = [format!("{}/{NAME}", scenario.namespace), "stars-vm".into()];
    holds(&reported[0], "vm-shared", &[&names[0], &names[1]])
}

/// Each part of the configuration and its place in the cluster.
const PARTS: [(&str, &str, &str, &str); 19] = [
    (
        "/labels/version",
        "workloadentries",
        NAME,
        "/spec/labels/version",
    ),
    (
        "/annotations",
        "workloadentries",
        NAME,
        "/metadata/annotations/example.com~1team",
    ),
    ("/network", "workloadentries", NAME, "/spec/network"),
    ("/locality", "workloadentries", NAME, "/spec/locality"),
    ("/weight", "workloadentries", NAME, "/spec/weight"),
    ("/ports/admin", "workloadentries", NAME, "/spec/ports/admin"),
    ("/ports", "workloadentries", NAME, "/spec/ports"),
    (
        "/services/ratings/addresses",
        "serviceentries",
        "ratings",
        "/spec/addresses",
    ),
    (
        "/services/ratings/export_to",
        "serviceentries",
        "ratings",
        "/spec/exportTo",
    ),
    (
        "/services/ratings/subject_alt_names",
        "serviceentries",
        "ratings",
        "/spec/subjectAltNames",
    ),
    (
        "/services/ratings/ports/admin",
        "serviceentries",
        "ratings",
        "/spec/ports/1",
    ),
    (
        "/services/ratings/ports/http/bind",
        "sidecars",
        "own",
        "/spec/ingress/0/bind",
    ),
    (
        "/services/ratings/ports/http/capture",
        "sidecars",
        "own",
        "/spec/ingress/0/captureMode",
    ),
    (
        "/sidecar/egress_listeners",
        "sidecars",
        "own",
        "/spec/egress/1",
    ),
    (
        "/sidecar/outbound_traffic",
        "sidecars",
        "own",
        "/spec/outboundTrafficPolicy",
    ),
    ("/sidecar/name", "sidecars", "own", ""),
    (
        "/services/ratings/object_name",
        "serviceentries",
        "ratings",
        "",
    ),
    (
        "/services/ratings/hosts",
        "serviceentries",
        "ratings-vm-ratings",
        "",
    ),
    ("/sidecar", "sidecars", NAME, ""),
];

#[tokio::test]
async fn parts_removed_from_the_configuration_are_removed_from_the_cluster() -> Done {
    let scenario = Scenario::begin("removed")?;
    let mut workload = Workload::new(&scenario)?;
    without_vm(&mut workload);
    whole(&mut workload.config);
    let client = workload.provider().await?;
    let reported = workload.apply_by(&client).await?;
    assert!(reported.is_empty(), "{reported:?}");
    for (attribute, plural, name, field) in PARTS {
        let found = || -> Result<bool> {
            let object = scenario.kubectl().find(&scenario.object(plural, name))?;
            Ok(object.is_some_and(|object| object.pointer(field).is_some()))
        };
        assert!(found()?, "{attribute} is not in the cluster");
        take_out(&mut workload.config, attribute);
        if attribute == "/sidecar" {
            take_out(&mut workload.config, "/services/ratings");
        }
        let reported = workload.apply_by(&client).await?;
        assert!(reported.is_empty(), "{attribute}: {reported:?}");
        assert!(!found()?, "{attribute} is still in the cluster");
    }
    assert_eq!(scenario.objects()?, [format!("WorkloadEntry/{NAME}")]);
    Ok(())
}

/// Declares every part that can be removed.
fn whole(config: &mut Json) {
    let more = json!({
        "annotations": { "example.com/team": "books" },
        "network": "vms", "locality": "r/z", "weight": 3, "ports": { "http": 9080, "admin": 9090 },
        "services": { "ratings": {
            "hosts": ["ratings.vm"], "addresses": ["240.240.1.1"], "export_to": ["."],
            "subject_alt_names": ["a.example.com"], "object_name": "ratings",
            "ports": {
                "admin": { "number": 9090, "protocol": "HTTP", "bind": "10.9.9.9", "capture": "NONE" },
                "http": { "number": 9080, "protocol": "HTTP", "bind": "10.9.9.9", "capture": "NONE" },
            },
        } },
        "sidecar": {
            "name": "own", "egress_hosts": ["./*"], "outbound_traffic": "REGISTRY_ONLY",
            "egress_listeners": { "db": {
                "bind": "127.0.0.2", "port": 3306, "protocol": "MYSQL", "hosts": ["./db.corp"],
            } },
        },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        config[name] = value.clone();
    }
}

fn take_out(config: &mut Json, pointer: &str) {
    let (above, key) = pointer.rsplit_once('/').unwrap_or_default();
    let above = config.pointer_mut(above).and_then(Json::as_object_mut);
    let required = (key == "hosts").then(|| json!([]));
    let removed = above.map(|above| match required {
        Some(empty) => above.insert(key.to_owned(), empty),
        None => above.remove(key),
    });
    assert!(removed.flatten().is_some(), "{pointer} was not there");
}
