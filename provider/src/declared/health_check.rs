//! The health probe of the application, and its conversions.

use std::collections::BTreeMap;

use mesh::health::{HealthCheck, Probe, Scheme};
use mesh::names::Address;
use plugin::{Text, Value, object};

use super::scalars::PortNumber;
use super::values::{from_map, port, text};
use crate::rule::BOOTSTRAP;

object! {
    /// Health probe of the application. Exactly one of `http`, `tcp`, `exec` and `grpc` must be set.
    pub struct HealthCheckInput {
        /// HTTP GET request. It succeeds with a status from 200 to 399.
        Optional http: HttpCheckInput => BOOTSTRAP,
        /// TCP connection. It succeeds if the connection is accepted.
        Optional tcp: TcpCheckInput => BOOTSTRAP,
        /// Command and arguments, run on the VM as the proxy's user. It succeeds with exit code 0.
        Optional exec: Vec<String> => BOOTSTRAP.hidden(),
        /// Probe with the gRPC health checking protocol, on the loopback interface.
        Optional grpc: GrpcCheckInput => BOOTSTRAP,
        /// Seconds between the proxy's start and the first probe. Default: 0.
        Optional initial_delay_seconds: u16 => BOOTSTRAP,
        /// Time limit for a probe, in seconds. Default: 1.
        Optional timeout_seconds: u16 => BOOTSTRAP,
        /// Seconds between probes. Default: 10.
        Optional period_seconds: u16 => BOOTSTRAP,
        /// Consecutive successes until the application counts as healthy. Default: 1.
        Optional success_threshold: u16 => BOOTSTRAP,
        /// Consecutive failures until the application counts as unhealthy. Default: 1.
        Optional failure_threshold: u16 => BOOTSTRAP,
    }
}

object! {
    /// HTTP probe.
    pub struct HttpCheckInput {
        /// Host to probe. Default: the loopback interface.
        Optional host: Text<Address> => BOOTSTRAP,
        /// Port that the application listens on.
        Required port: PortNumber => BOOTSTRAP,
        /// Path and query. Default: `/`.
        Optional path: String => BOOTSTRAP.hidden(),
        /// `HTTP` or `HTTPS`. Certificates are not verified. Default: `HTTP`.
        Optional scheme: Text<Scheme> => BOOTSTRAP,
        /// Headers by name.
        Optional headers: BTreeMap<String, String> => BOOTSTRAP.hidden(),
    }
}

object! {
    /// TCP probe.
    pub struct TcpCheckInput {
        /// Host to probe. Default: the loopback interface.
        Optional host: Text<Address> => BOOTSTRAP,
        /// Port that the application listens on.
        Required port: PortNumber => BOOTSTRAP,
    }
}

object! {
    /// gRPC health probe.
    pub struct GrpcCheckInput {
        /// Port that the application listens on.
        Required port: PortNumber => BOOTSTRAP,
        /// Service to check. Default: the server as a whole.
        Optional service: String => BOOTSTRAP,
    }
}

/// Returns the health check.
pub(crate) fn health_check(input: &HealthCheckInput) -> HealthCheck {
    let http = input.http.known().and_then(|http| {
        Some(Probe::Http {
            host: text(&http.host),
            port: port(http.port)?,
            path: http.path.known().cloned(),
            scheme: text(&http.scheme),
            headers: http.headers.known().cloned().unwrap_or_default(),
        })
    });
    let tcp = input.tcp.known().and_then(|tcp| {
        Some(Probe::Tcp {
            host: text(&tcp.host),
            port: port(tcp.port)?,
        })
    });
    let grpc = input.grpc.known().and_then(|grpc| {
        Some(Probe::Grpc {
            port: port(grpc.port)?,
            service: grpc.service.known().cloned(),
        })
    });
    let exec = input.exec.known().cloned().map(Probe::Exec);
    HealthCheck {
        methods: [http, tcp, exec, grpc].into_iter().flatten().collect(),
        initial_delay: input.initial_delay_seconds.known().copied(),
        timeout: input.timeout_seconds.known().copied(),
        period: input.period_seconds.known().copied(),
        success_threshold: input.success_threshold.known().copied(),
        failure_threshold: input.failure_threshold.known().copied(),
    }
}

/// Returns the health check as it is declared.
pub(crate) fn from_health_check(check: HealthCheck) -> HealthCheckInput {
    let mut input = HealthCheckInput {
        initial_delay_seconds: check.initial_delay.into(),
        timeout_seconds: check.timeout.into(),
        period_seconds: check.period.into(),
        success_threshold: check.success_threshold.into(),
        failure_threshold: check.failure_threshold.into(),
        ..HealthCheckInput::default()
    };
    match check.methods.into_iter().next() {
        Some(Probe::Http {
            host,
            port,
            path,
            scheme,
            headers,
        }) => {
            input.http = Value::Known(HttpCheckInput {
                host: host.map(Text).into(),
                port: Value::Known(PortNumber(port)),
                path: path.into(),
                scheme: scheme.map(Text).into(),
                headers: from_map(headers),
            });
        }
        Some(Probe::Tcp { host, port }) => {
            input.tcp = Value::Known(TcpCheckInput {
                host: host.map(Text).into(),
                port: Value::Known(PortNumber(port)),
            });
        }
        Some(Probe::Exec(command)) => input.exec = Value::Known(command),
        Some(Probe::Grpc { port, service }) => {
            input.grpc = Value::Known(GrpcCheckInput {
                port: Value::Known(PortNumber(port)),
                service: service.into(),
            });
        }
        None => {}
    }
    input
}
