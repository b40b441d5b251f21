//! Valid and invalid edits of a workload, of which cases consist.

use mesh::names::{Host, Listen, Port, PortName};
use mesh::workload::{
    Capture, EgressListener, Interception, OutboundTraffic, Service, ServicePort, Sidecar, Workload,
};

/// Parses a valid value.
pub(super) fn p<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    match text.parse() {
        Ok(value) => value,
        Err(error) => panic!("{text:?}: {error:?}"),
    }
}

/// Pseudo-random numbers that are the same in each run (`SplitMix64`).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 32).unwrap_or_default() % limit
    }

    pub(super) fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn some(&mut self, of: &[&str], most: usize) -> Vec<String> {
        let count = self.below(most + 1);
        (0..count).map(|_| self.pick(of).to_owned()).collect()
    }
}

/// An edit and the seed of its choices.
#[derive(Clone, Copy)]
pub(super) struct Edit {
    pub(super) name: &'static str,
    make: fn(&mut Workload, &mut Numbers),
    seed: u64,
}

impl Edit {
    pub(super) fn any(numbers: &mut Numbers) -> Self {
        let (name, make) = EDITS[numbers.below(EDITS.len())];
        let seed = numbers.0;
        numbers.below(2);
        Self { name, make, seed }
    }

    pub(super) fn apply(&self, workload: &mut Workload) {
        (self.make)(workload, &mut Numbers(self.seed));
    }
}

const PORTS: [&str; 7] = ["80", "81", "443", "3306", "8080", "9080", "15006"];
const NAMES: [&str; 4] = ["http", "grpc", "tcp-db", "a"];
const PROTOCOLS: [&str; 8] = [
    "HTTP", "GRPC", "TCP", "TLS", "MYSQL", "UDP", "HTTP2", "HTTPS",
];
const HOSTS: [&str; 8] = [
    "a.vm",
    "b.vm",
    "*.corp",
    "A.Corp",
    "single",
    "final.dot.",
    "*.a.b",
    "xn--d.x",
];
const EGRESS: [&str; 10] = [
    "./*", "*/*", "~/*", "ns/a.b", "ns/*.b", "./*.vm", "*/a.b", "~ns/*", "~./a.b", "ns/*",
];

type Make = fn(&mut Workload, &mut Numbers);

const EDITS: [(&str, Make); 35] = [
    ("known by a name", |w, n| {
        w.address = Some(p("vm.example.com"));
        w.instance_ip = Some(p("10.0.0.9"));
        any_service(w).hosts = vec![p(n.pick(&HOSTS))];
        any_service(w).addresses = vec![p(n.pick(&["240.0.0.1", "240.0.0.0/24"]))];
        w.sidecar.get_or_insert_default();
    }),
    ("address", |w, n| {
        let all = ["10.0.0.9", "fd00::9", "vm.example.com", "0.0.0.0", "VM.x."];
        w.address = Some(p(n.pick(&all)));
    }),
    ("instance_ip", |w, n| {
        w.instance_ip = Some(p(n.pick(&["10.0.0.9", "10.0.0.8", "fd00::8", "::"])));
    }),
    ("labels", |w, n| {
        let key = n.pick(&["app", "a.b/c", "x.y-z/Q_w.e", "version"]);
        let value = n.pick(&["", "v1", "A-b_c.d"]);
        w.labels.insert(p(key), p(value));
    }),
    ("many labels", |w, n| {
        let count = [255, 256, 300][n.below(3)];
        let more = (w.labels.len()..count).map(|l| (p(&format!("l{l}")), p("v")));
        w.labels.extend(more.collect::<Vec<_>>());
    }),
    ("long label", |w, _| {
        let most = "a".repeat(63);
        w.labels.insert(p(&format!("b.c/{most}")), p(&most));
    }),
    ("annotations", |w, n| {
        let key = n.pick(&["a", "b.c/d", "a b", "/", "istio.io/dry-run", "é"]);
        w.annotations.insert(key.into(), "any: é\n".into());
    }),
    ("large annotations", |w, n| {
        let size = [200_000, 262_100, 262_200][n.below(3)];
        w.annotations.insert("large".into(), "x".repeat(size));
    }),
    ("service_account", |w, n| {
        let account = "a.".repeat(126) + "a";
        w.service_account = p(n.pick(&["default", "a.b", &account]));
    }),
    ("network", |w, n| {
        w.network = Some(p(n.pick(&["n", "A_b.c"])));
    }),
    ("locality", |w, n| {
        w.locality = Some(p(n.pick(&["r", "r/z", "r/z/s"])));
    }),
    ("weight", |w, n| {
        w.weight = Some([0, 1, u32::MAX][n.below(3)]);
    }),
    ("ports", |w, n| {
        w.ports.insert(p(n.pick(&NAMES)), p(n.pick(&PORTS)));
    }),
    ("many ports", |w, n| {
        let count = [127, 128, 130][n.below(3)];
        w.services.clear();
        w.ports
            .extend((0..count).map(|o| (p(&format!("o{o}")), p("80"))));
    }),
    ("long port name", |w, _| {
        let name: PortName = p(&"n".repeat(62));
        w.ports.insert(name.clone(), p("7"));
        any_service(w).ports.insert(name, port("7", "TCP"));
    }),
    ("a service", |w, n| {
        let service = Service {
            hosts: vec![p(n.pick(&HOSTS))],
            ports: [(p(n.pick(&NAMES)), port(n.pick(&PORTS), n.pick(&PROTOCOLS)))].into(),
            ..Service::default()
        };
        w.services.insert(p(n.pick(&["b", "c", "d"])), service);
    }),
    ("hosts", |w, n| {
        let hosts: Vec<Host> = n.some(&HOSTS, 3).iter().map(|host| p(host)).collect();
        any_service(w).hosts = hosts;
    }),
    ("many hosts", |w, n| {
        let count = [256, 257][n.below(2)];
        any_service(w).hosts = (0..count).map(|h| p(&format!("h{h}.vm"))).collect();
    }),
    ("addresses", |w, n| {
        let all = [
            "240.0.0.1",
            "240.0.0.0/24",
            "fd00::1",
            "fd00::/64",
            "0.0.0.0/0",
        ];
        let addresses = n.some(&all, 3);
        any_service(w).addresses = addresses.iter().map(|address| p(address)).collect();
    }),
    ("many addresses", |w, n| {
        let count = [256, 257][n.below(2)];
        any_service(w).addresses = vec![p("240.0.0.1"); count];
    }),
    ("export_to", |w, n| {
        let to = n.some(&[".", "*", "~", "a", "b"], 3);
        any_service(w).export_to = to.iter().map(|to| p(to)).collect();
    }),
    ("export to the own namespace", |w, _| {
        let own = p(w.id.namespace.as_str());
        any_service(w).export_to.push(own);
    }),
    ("subject_alt_names", |w, n| {
        any_service(w).subject_alt_names = n.some(&["", "a", "spiffe://a/b", "*"], 2);
    }),
    ("a port", |w, n| {
        let (name, port) = (p(n.pick(&NAMES)), port(n.pick(&PORTS), n.pick(&PROTOCOLS)));
        any_service(w).ports.insert(name, port);
    }),
    ("many service ports", |w, n| {
        let count = [256, 257][n.below(2)];
        let port = |o| port(&format!("{}", 20_000 + o), "HTTP");
        any_service(w).ports = (0..count).map(|o| (p(&format!("o{o}")), port(o))).collect();
    }),
    ("no port", |w, _| any_service(w).ports.clear()),
    ("target_port", |w, n| {
        any_port(w).target_port = Some(p(n.pick(&PORTS)));
    }),
    ("app_port", |w, n| {
        any_port(w).app_port = Some(p(n.pick(&PORTS)));
    }),
    ("app_address", |w, n| {
        let all = [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "::",
            "127.0.0.2",
            "10.0.0.9",
            "unix:///run/a",
            "unix://@a",
        ];
        any_port(w).app_address = Some(p(n.pick(&all)));
    }),
    ("bind", |w, n| {
        any_port(w).bind = Some(p(n.pick(&["0.0.0.0", "10.0.0.9", "::"])));
    }),
    ("capture", |w, n| {
        any_port(w).capture = [Some(Capture::None), Some(Capture::Iptables)][n.below(2)];
    }),
    ("sidecar", |w, n| {
        w.sidecar = (n.below(2) == 0).then(Sidecar::default);
    }),
    ("egress_hosts", |w, n| {
        let hosts = n.some(&EGRESS, 4);
        let sidecar = w.sidecar.get_or_insert_default();
        sidecar.egress_hosts = hosts.iter().map(|host| p(host)).collect();
    }),
    ("egress listeners", |w, n| {
        for _ in 0..=n.below(4) {
            let listener = egress_listener(n);
            let sidecar = w.sidecar.get_or_insert_default();
            sidecar.egress_listeners.insert(p(n.pick(&NAMES)), listener);
        }
    }),
    ("outbound_traffic", |w, n| {
        let mode = [OutboundTraffic::AllowAny, OutboundTraffic::RegistryOnly][n.below(2)];
        w.sidecar.get_or_insert_default().outbound_traffic = Some(mode);
        if n.below(3) == 0 {
            w.proxy.interception = Interception::None;
        }
    }),
];

fn egress_listener(n: &mut Numbers) -> EgressListener {
    let port: Option<Port> = [Some(p(n.pick(&PORTS))), None][n.below(2)];
    let binds = ["127.0.0.2", "::1", "unix:///run/x", "unix://@x"];
    let bind: Option<Listen> = [Some(p(n.pick(&binds))), None][n.below(2)].clone();
    EgressListener {
        bind,
        port,
        protocol: p(n.pick(&PROTOCOLS)),
        hosts: n.some(&EGRESS, 2).iter().map(|host| p(host)).collect(),
        capture: [None, Some(Capture::None), Some(Capture::Iptables)][n.below(3)],
    }
}

fn port(number: &str, protocol: &str) -> ServicePort {
    ServicePort::new(p(number), p(protocol))
}

/// Returns the first service, and adds one if there is none.
fn any_service(workload: &mut Workload) -> &mut Service {
    let first = || Service {
        hosts: vec![p("ratings.vm")],
        ports: [(p("http"), port("9080", "HTTP"))].into(),
        ..Service::default()
    };
    let name = workload.services.keys().next().cloned();
    let name = name.unwrap_or_else(|| p("ratings"));
    workload.services.entry(name).or_insert_with(first)
}

fn any_port(workload: &mut Workload) -> &mut ServicePort {
    let ports = &mut any_service(workload).ports;
    ports
        .entry(p("http"))
        .or_insert_with(|| port("9080", "HTTP"))
}
