//! Health check of the application on the VM: the proxy probes it and reports the result to istiod, which sends traffic
//! to the VM only while the probe succeeds.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use crate::change::Problem;
use crate::names::{Address, Invalid, Port};
use crate::rule::Rule;

/// Host that a probe without a host connects to.
const LOOPBACK: &str = "127.0.0.1";

/// A health check, as in Istio's `ReadinessProbe`. Unset numbers have the agent's defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HealthCheck {
    /// Probe of the application: exactly one.
    pub methods: Vec<Probe>,
    /// Seconds between the proxy's start and the first probe.
    pub initial_delay: Option<u16>,
    /// Seconds to wait for a response.
    pub timeout: Option<u16>,
    /// Seconds between two probes.
    pub period: Option<u16>,
    /// Consecutive successes after which the application is healthy.
    pub success_threshold: Option<u16>,
    /// Consecutive failures after which the application is unhealthy.
    pub failure_threshold: Option<u16>,
}

/// A probe of the application. Without a host, it connects to the loopback interface.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// A GET request; a status from 200 to 399 is a success.
    Http {
        /// Host to connect to.
        host: Option<Address>,
        /// Port to connect to.
        port: Port,
        /// Path and query; `None`: `/`.
        path: Option<String>,
        /// Protocol; `None`: HTTP.
        scheme: Option<Scheme>,
        /// Headers by name.
        headers: BTreeMap<String, String>,
    },
    /// A TCP connection; accepting it is a success.
    Tcp {
        /// Host to connect to.
        host: Option<Address>,
        /// Port to connect to.
        port: Port,
    },
    /// A command, run as the proxy's user; exit status 0 is a success.
    Exec(Vec<String>),
    /// A request of the gRPC health checking protocol.
    Grpc {
        /// Port to connect to.
        port: Port,
        /// Name of the gRPC service; `None`: the server as a whole.
        service: Option<String>,
    },
}

/// Protocol of an HTTP probe. Certificates are not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl FromStr for Scheme {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "HTTP" => Ok(Self::Http),
            "HTTPS" => Ok(Self::Https),
            _ => Err(Invalid::new(text, "a scheme", "\"HTTP\" or \"HTTPS\"")),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
        })
    }
}

/// Returns the probe as the proxy configuration holds it, with Istio's field names.
pub(crate) fn readiness_probe(check: &HealthCheck) -> Option<Value> {
    let (body, method) = match check.methods.first()? {
        Probe::Http {
            host,
            port,
            path,
            scheme,
            headers,
        } => {
            let headers: Vec<Value> = headers
                .iter()
                .map(|(name, value)| json!({ "name": name, "value": value }))
                .collect();
            let fields = [
                ("host", host.as_ref().map(|host| json!(host.to_string()))),
                ("path", path.as_ref().map(|path| json!(path))),
                ("scheme", scheme.map(|scheme| json!(scheme.to_string()))),
                ("httpHeaders", (!headers.is_empty()).then(|| json!(headers))),
            ];
            (with_port(*port, fields), "httpGet")
        }
        Probe::Tcp { host, port } => {
            let host = host.as_ref().map(|host| json!(host.to_string()));
            (with_port(*port, [("host", host)]), "tcpSocket")
        }
        Probe::Exec(command) => (json!({ "command": command }), "exec"),
        Probe::Grpc { port, service } => {
            let service = service.as_ref().map(|service| json!(service));
            (with_port(*port, [("service", service)]), "grpc")
        }
    };
    let mut probe = Map::from_iter([(method.to_owned(), body)]);
    let numbers = [
        ("initialDelaySeconds", check.initial_delay),
        ("timeoutSeconds", check.timeout),
        ("periodSeconds", check.period),
        ("successThreshold", check.success_threshold),
        ("failureThreshold", check.failure_threshold),
    ];
    // Istio treats 0 as unset.
    let set = numbers
        .into_iter()
        .filter_map(|(key, number)| Some((key, number.filter(|number| *number > 0)?)));
    probe.extend(set.map(|(key, number)| (key.to_owned(), json!(number))));
    Some(probe.into())
}

/// Returns the probe of a `WorkloadGroup`. Other tools run it on the VMs, and without a host they would connect to the
/// VM's own address.
pub(crate) fn group_probe(check: &HealthCheck) -> Option<Value> {
    let mut probe = readiness_probe(check)?;
    for method in ["httpGet", "tcpSocket"] {
        if probe[method].is_object() && probe[method]["host"].is_null() {
            probe[method]["host"] = json!(LOOPBACK);
        }
    }
    Some(probe)
}

/// Reads the probe of a `WorkloadGroup`; `None` if its kind cannot be declared.
pub(crate) fn from_probe(probe: &Value) -> Option<HealthCheck> {
    let port = |of: &Value| Port::try_from(u16::try_from(of["port"].as_u64()?).ok()?).ok();
    let host = |of: &Value| {
        of["host"]
            .as_str()
            .filter(|host| *host != LOOPBACK)?
            .parse()
            .ok()
    };
    let text = |of: &Value, key: &str| of[key].as_str().map(str::to_owned);
    let (http, tcp, exec) = (&probe["httpGet"], &probe["tcpSocket"], &probe["exec"]);
    let method = if http.is_object() {
        let headers = http["httpHeaders"].as_array().into_iter().flatten();
        Probe::Http {
            host: host(http),
            port: port(http)?,
            path: text(http, "path"),
            scheme: text(http, "scheme").and_then(|scheme| scheme.parse().ok()),
            headers: headers
                .filter_map(|of| Some((text(of, "name")?, text(of, "value")?)))
                .collect(),
        }
    } else if tcp.is_object() {
        Probe::Tcp {
            host: host(tcp),
            port: port(tcp)?,
        }
    } else {
        let words = exec["command"].as_array()?.iter();
        Probe::Exec(words.filter_map(Value::as_str).map(str::to_owned).collect())
    };
    let number = |key: &str| probe[key].as_u64().and_then(|of| u16::try_from(of).ok());
    Some(HealthCheck {
        methods: vec![method],
        initial_delay: number("initialDelaySeconds"),
        timeout: number("timeoutSeconds"),
        period: number("periodSeconds"),
        success_threshold: number("successThreshold"),
        failure_threshold: number("failureThreshold"),
    })
}

fn with_port<const N: usize>(port: Port, fields: [(&str, Option<Value>); N]) -> Value {
    let set = fields
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let port = ("port".to_owned(), json!(port.get()));
    std::iter::once(port)
        .chain(set)
        .collect::<Map<_, _>>()
        .into()
}

const METHODS: [&str; 4] = [
    "health_check.http",
    "health_check.tcp",
    "health_check.exec",
    "health_check.grpc",
];

/// Adds the problems of a health check.
pub(crate) fn validate(check: &HealthCheck, problems: &mut Vec<Problem>) {
    if check.methods.len() != 1 {
        let concerns: Vec<&str> = std::iter::once("health_check").chain(METHODS).collect();
        let text = format!(
            "A health check must have exactly one probe, got {}. Set one of http, tcp, exec and grpc.",
            check.methods.len()
        );
        problems.push(problem(Rule::HealthCheckMethod, &concerns, text));
    }
    for method in &check.methods {
        match method {
            Probe::Exec(command) if command.first().is_none_or(String::is_empty) => {
                let text = "The command is empty. Set the program, and each of its arguments as a separate element.";
                problems.push(problem(
                    Rule::HealthCheckExec,
                    &["health_check.exec"],
                    text.to_owned(),
                ));
            }
            Probe::Http { path, headers, .. } => {
                if let Some(path) = path.as_ref().filter(|path| !path.starts_with('/')) {
                    let text =
                        format!("The path must begin with \"/\", got {path:?}. Set /{path}.");
                    problems.push(problem(
                        Rule::HealthCheckPath,
                        &["health_check.http.path"],
                        text,
                    ));
                }
                for name in headers.keys().filter(|name| !is_header(name)) {
                    let at = format!("health_check.http.headers.{name}");
                    let text = format!(
                        "A header name must consist of letters, digits and '-', got {name:?}."
                    );
                    problems.push(problem(
                        Rule::HealthCheckHeader,
                        &[&at, "health_check.http.headers"],
                        text,
                    ));
                }
            }
            Probe::Exec(_) | Probe::Tcp { .. } | Probe::Grpc { .. } => {}
        }
    }
}

fn problem(rule: Rule, concerns: &[&str], text: String) -> Problem {
    Problem {
        concerns: concerns.iter().map(|&at| at.to_owned()).collect(),
        rule,
        text,
    }
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
}
