//! How it is found out whether the application on the VM answers: the proxy probes it and tells
//! istiod, which gives the VM traffic while it does.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use crate::change::Problem;
use crate::names::{Address, Invalid, Port};
use crate::rule::Rule;

/// Where an application is asked of which nothing else is said.
const LOOPBACK: &str = "127.0.0.1";

/// A probe of the application, as Istio's `ReadinessProbe`. Unset numbers are the agent's defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HealthCheck {
    /// How it is asked: exactly one.
    pub methods: Vec<Probe>,
    /// Seconds between the proxy's start and the first probe.
    pub initial_delay: Option<u16>,
    /// Seconds that an answer may take.
    pub timeout: Option<u16>,
    /// Seconds between two probes.
    pub period: Option<u16>,
    /// Answers in a row that make it healthy.
    pub success_threshold: Option<u16>,
    /// Failures in a row that make it unhealthy.
    pub failure_threshold: Option<u16>,
}

/// One way to ask an application. Without a host, it is asked on the loopback interface.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// A GET that is answered with 200 to 399.
    Http {
        /// Who is asked.
        host: Option<Address>,
        /// Where it listens.
        port: Port,
        /// Path and query; `None`: `/`.
        path: Option<String>,
        /// `None`: HTTP.
        scheme: Option<Scheme>,
        /// Headers by name.
        headers: BTreeMap<String, String>,
    },
    /// A connection that is accepted.
    Tcp {
        /// Who is asked.
        host: Option<Address>,
        /// Where it listens.
        port: Port,
    },
    /// A command that ends with 0, run by the proxy's user.
    Exec(Vec<String>),
    /// gRPC's health protocol.
    Grpc {
        /// Where it listens.
        port: Port,
        /// The service that is asked about; `None`: the server as a whole.
        service: Option<String>,
    },
}

/// What an HTTP probe speaks. Certificates are not verified.
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

/// Returns the probe as the proxy's configuration has it, in Istio's names.
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
    // As in Istio's own form, 0 is the same as unset.
    let set = numbers
        .into_iter()
        .filter_map(|(key, number)| Some((key, number.filter(|number| *number > 0)?)));
    probe.extend(set.map(|(key, number)| (key.to_owned(), json!(number))));
    Some(probe.into())
}

/// Returns the probe of a `WorkloadGroup`: what runs of it on the VMs is made by other tools, which ask on the VM's
/// own address where no host is said.
pub(crate) fn group_probe(check: &HealthCheck) -> Option<Value> {
    let mut probe = readiness_probe(check)?;
    for method in ["httpGet", "tcpSocket"] {
        if probe[method].is_object() && probe[method]["host"].is_null() {
            probe[method]["host"] = json!(LOOPBACK);
        }
    }
    Some(probe)
}

/// Reads the probe of a `WorkloadGroup`; `None` if it asks in no way that can be declared.
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

/// Adds what is wrong with a check.
pub(crate) fn validate(check: &HealthCheck, problems: &mut Vec<Problem>) {
    if check.methods.len() != 1 {
        let concerns: Vec<&str> = std::iter::once("health_check").chain(METHODS).collect();
        let text = format!(
            "A health check asks in one way, and this one has {}. Set one of http, tcp, exec and grpc.",
            check.methods.len()
        );
        problems.push(problem(Rule::HealthCheckMethod, &concerns, text));
    }
    for method in &check.methods {
        match method {
            Probe::Exec(command) if command.first().is_none_or(String::is_empty) => {
                let text =
                    "The command is empty. Name a program, and each of its arguments by itself.";
                problems.push(problem(
                    Rule::HealthCheckExec,
                    &["health_check.exec"],
                    text.to_owned(),
                ));
            }
            Probe::Http { path, headers, .. } => {
                if let Some(path) = path.as_ref().filter(|path| !path.starts_with('/')) {
                    let text =
                        format!("The path {path:?} does not begin with \"/\". Write /{path}.");
                    problems.push(problem(
                        Rule::HealthCheckPath,
                        &["health_check.http.path"],
                        text,
                    ));
                }
                for name in headers.keys().filter(|name| !is_header(name)) {
                    let at = format!("health_check.http.headers.{name}");
                    let text = format!(
                        "{name:?} is no name of a header: it has letters, digits and '-' only."
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
