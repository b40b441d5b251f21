//! Routes of traffic between two networks with gateways on neither, one or both sides.

use acceptance_tests::{Beside, Done, Failure, Scenario, Terraform, wait_for};
use bed::{Caller, Far, Gateway, Machine};
use contract::{Answer, Client};
use serde_json::json;

const NAMESPACE: &str = "bookinfo";
/// Access log of a proxy for outbound requests, written about once a second.
const ACCESS_LOG: &str = "/var/log/istio/istio.log";

/// A mesh on two networks, and a VM on the second.
struct Networks {
    bed: Beside,
    far: Far,
    terraform: Terraform,
    binary: String,
}

/// One direction: client, target and their identities.
struct Direction<'a> {
    from: &'a Machine,
    url: String,
    caller: String,
    answerer: String,
    gateway: &'a Gateway,
}

#[test]
fn the_gateways_of_both_networks_determine_the_route_of_traffic() -> Done {
    let scenario = Scenario::begin("networks")?;
    let networks = Networks::up(&scenario)?;
    // Gateways of the pods' and the VM's network, and whether requests of pods and of the VM pass through one.
    let cases = [
        ([false, false], [false, false]),
        ([false, true], [true, false]),
        ([true, false], [false, true]),
        ([true, true], [true, true]),
    ];
    for (announced, gateways) in cases {
        networks.announce(announced)?;
        // A network route only for direct connections.
        let callers = [Caller::Pods, Caller::Vms].into_iter().zip(gateways);
        let direct: Vec<_> = callers
            .filter(|(_, through)| !through)
            .map(|(caller, _)| caller)
            .collect();
        networks.far.carry(&direct)?;
        let directions = [networks.to_vm(), networks.to_pod()];
        let taken = [0, 1].map(|at| {
            let direction = &directions[at];
            if gateways[at] {
                direction.takes(Route::Gateway)
            } else {
                direction.takes(Route::Direct)
            }
        });
        let [to_vm, to_pod] = taken;
        let taken = [to_vm?, to_pod?];
        networks.check_network_path(gateways, &taken)?;
    }
    networks.names_in_the_logs()?;
    networks.an_unknown_workload_is_an_error()?;
    networks.terraform.destroy().map(drop)
}

/// Route of a request into the other network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Gateway,
    Direct,
}

impl Networks {
    /// The VM reaches istiod only through the gateway, and joins before any other gateway is announced.
    fn up(scenario: &Scenario) -> acceptance_tests::Result<Self> {
        let bed = Beside::up(scenario, "networks", 0, 1)?;
        bed.kubectl().apply(&json!({
            "apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry",
            "metadata": { "namespace": NAMESPACE, "name": "calls" },
            "spec": { "accessLogging": [{ "providers": [{ "name": "envoy" }] }] },
        }))?;
        let far = Far::up(&bed)?;
        far.vm.shell("systemctl start ratings")?;
        // The VM downloads the package from this host.
        far.carry(&[Caller::Vms])?;
        let before = far.near_gateway.received_for_istiod()?;
        let (url, sha256) = bed.package();
        let variables = json!({
            "kubeconfig": bed.kubectl().kubeconfig(),
            "network": bed::FAR,
            "vm": { "address": far.vm.address, "host_key": far.vm.host_key },
            "user": far.vm.user,
            "private_key_path": far.vm.private_key_path,
            "package": { "url": url, "sha256": sha256 },
        });
        let terraform = Terraform::of_example(scenario, "multi-network", variables)?;
        terraform.apply()?;
        let received = far.near_gateway.received_for_istiod()?;
        if received <= before {
            return Err(Failure::new("istiod was not reached through the gateway"));
        }
        let binary = &scenario.document()["provider_binary"];
        Ok(Self {
            bed,
            far,
            terraform,
            binary: binary.as_str().unwrap_or_default().to_owned(),
        })
    }

    fn announce(&self, [near, far]: [bool; 2]) -> Done {
        let kubectl = self.bed.kubectl();
        let gateways = [&self.far.near_gateway, &self.far.far_gateway];
        for (gateway, announced) in gateways.into_iter().zip([near, far]) {
            if announced {
                gateway.announce(kubectl)?;
            } else {
                gateway.withdraw(kubectl)?;
            }
        }
        Ok(())
    }

    fn to_vm(&self) -> Direction<'_> {
        Direction {
            from: &self.bed.pods[0],
            url: format!("http://ratings.vm.{NAMESPACE}:9080/ratings/7"),
            caller: self.bed.pods[0].spiffe_id(),
            answerer: vm_id(),
            gateway: &self.far.far_gateway,
        }
    }

    fn to_pod(&self) -> Direction<'_> {
        let pod = &self.bed.pods[0];
        Direction {
            from: &self.far.vm,
            url: format!("http://{}.{NAMESPACE}:9080/hello", pod.name),
            caller: vm_id(),
            answerer: pod.spiffe_id(),
            gateway: &self.far.near_gateway,
        }
    }

    /// Checks that the data source returns the actual routes: its first hop after the caller is the upstream in the access
    /// log.
    fn check_network_path(&self, gateways: [bool; 2], taken: &[String; 2]) -> Done {
        let reported = self.network_path("ratings-far")?.ok()?.to_json();
        let routes = ["to_vm", "to_pod"].into_iter().zip(gateways).zip(taken);
        for ((route, through), taken) in routes {
            let reported = &reported[route];
            assert_eq!(reported["through_gateway"], through, "{route}: {reported}");
            let hop = reported["hops"][1].as_str().unwrap_or_default();
            assert_eq!(
                hop.starts_with(&format!("gateway {taken} ")),
                through,
                "{route}: {taken} and {reported}"
            );
            // Without a gateway, a network route is needed, which the mesh cannot check.
            let missing = reported["missing"].as_array().map_or(0, Vec::len);
            assert_eq!(missing, usize::from(!through), "{route}: {reported}");
        }
        Ok(())
    }

    fn an_unknown_workload_is_an_error(&self) -> Done {
        let reported = match self.network_path("nobody")?.ok() {
            Ok(answer) => return Err(Failure::new(format!("{:?}", answer.to_json()))),
            Err(reported) => reported.to_string(),
        };
        assert!(reported.contains("[no-workload]"), "{reported}");
        Ok(())
    }

    fn network_path(&self, name: &str) -> acceptance_tests::Result<Answer<contract::Value>> {
        let block = json!({ "kubernetes": { "config_path": self.bed.kubectl().kubeconfig() } });
        let input = json!({ "namespace": NAMESPACE, "name": name });
        tokio::runtime::Runtime::new()?.block_on(async {
            let client = Client::launch(&self.binary, &[]).await?;
            client.configure(&block).await?.ok()?;
            let source = client.data_source("mesh_network_path")?;
            Ok(source.read(&input).await?)
        })
    }

    /// Checks that closed connections are in the gateways' access logs with the requested service.
    fn names_in_the_logs(&self) -> Done {
        self.announce([false, false])?;
        self.far.carry(&[Caller::Pods, Caller::Vms])?;
        let pod = &self.bed.pods[0];
        for (gateway, service) in [
            (&self.far.far_gateway, format!("ratings.vm.{NAMESPACE}")),
            (
                &self.far.near_gateway,
                format!("{}.{NAMESPACE}.svc", pod.name),
            ),
        ] {
            wait_for(&format!("{service} in the access log"), || {
                gateway.access_log().map(|log| log.contains(&service))
            })?;
        }
        Ok(())
    }
}

impl Direction<'_> {
    /// Sends requests until one takes the route, reaches the right server and uses mutual TLS. Returns the upstream in the
    /// access log of the caller's proxy.
    fn takes(&self, route: Route) -> acceptance_tests::Result<String> {
        let entrance = format!("{}:15443", self.gateway.entrance());
        let what = format!("{} is reached: {route:?}", self.url);
        let mut calls = 0;
        let mut taken = String::new();
        wait_for(&what, || {
            calls += 1;
            let name = format!("call-{route:?}-{calls}-{}", self.caller);
            let answer = self.from.curl(&self.url, &["--user-agent", &name]);
            let answer = answer.map_err(|error| error.chain())?;
            let seen = [
                format!("URI={}", self.caller),
                format!("By={}", self.answerer),
            ];
            if answer.status != 200 || !seen.iter().all(|part| answer.body.contains(part)) {
                return Err(format!("{} {}", answer.status, answer.body));
            }
            taken = self.logged(&name)?;
            if (taken == entrance) == (route == Route::Gateway) {
                Ok(true)
            } else {
                Err(format!("the call went to {taken}"))
            }
        })?;
        Ok(taken)
    }

    /// Returns the upstream of a request in the access log. The request is identified by its user agent; the upstream is the
    /// third quoted word after it.
    fn logged(&self, name: &str) -> Result<String, String> {
        let script = format!("until grep -m 1 -- '{name}' {ACCESS_LOG}; do sleep 0.1; done");
        let line = self.from.shell(&format!("timeout 20 sh -c \"{script}\""));
        let line = line.map_err(|error| error.chain())?;
        let (_, rest) = line.split_once(name).unwrap_or_default();
        let upstream = rest
            .split('"')
            .filter(|word| !word.trim().is_empty())
            .nth(2);
        Ok(upstream.unwrap_or_default().to_owned())
    }
}

fn vm_id() -> String {
    format!("spiffe://cluster.local/ns/{NAMESPACE}/sa/bookinfo-ratings")
}
