//! The ports on which the proxy of a VM listens, as the mesh and the workload configure them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::environment::text;
use crate::facts::Facts;
use crate::ports;
use crate::proxy_config;
use crate::workload::Workload;

/// Ports of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxyPorts {
    /// Envoy's admin API: `proxyAdminPort`.
    pub(crate) admin: u16,
    /// Intercepted outbound traffic: the mesh's `proxyListenPort`.
    pub(crate) outbound: u16,
    /// Intercepted inbound traffic: the mesh's `proxyInboundListenPort`.
    pub(crate) inbound: u16,
    /// The agent's status port: `statusPort`.
    pub(crate) status: u16,
    /// Envoy's readiness endpoint: the agent's variable `ENVOY_STATUS_PORT`.
    pub(crate) health: u16,
    /// Envoy's metrics: the agent's variable `ENVOY_PROMETHEUS_PORT`.
    pub(crate) metrics: u16,
}

impl ProxyPorts {
    /// Returns the ports of a workload's proxy. `metadata` holds the variables of its agent.
    pub(crate) fn of(
        workload: &Workload,
        facts: &Facts,
        metadata: &BTreeMap<String, String>,
    ) -> Self {
        let own = workload.proxy.config.as_ref();
        let settings = proxy_config::settings(&facts.mesh_config, own);
        let setting = |name: &str, default| set(settings.get(name), default);
        let of_mesh = |name: &str, default| set(facts.mesh_config.get(name), default);
        let variable = |name: &str, default| {
            let port = metadata.get(name).and_then(|port| port.parse().ok());
            port.unwrap_or(default)
        };
        Self {
            admin: setting("proxyAdminPort", ports::ADMIN),
            outbound: of_mesh("proxyListenPort", ports::OUTBOUND),
            inbound: of_mesh("proxyInboundListenPort", ports::INBOUND),
            status: setting("statusPort", ports::STATUS),
            health: variable("ENVOY_STATUS_PORT", ports::HEALTH),
            metrics: variable("ENVOY_PROMETHEUS_PORT", ports::METRICS),
        }
    }

    /// Returns all of them.
    pub(crate) fn all(self) -> [u16; 6] {
        [
            self.admin,
            self.outbound,
            self.inbound,
            self.status,
            self.health,
            self.metrics,
        ]
    }
}

/// Istio treats 0 as unset, and reads a quoted number.
fn set(port: Option<&Value>, default: u16) -> u16 {
    let port = port.map(text).and_then(|port| port.parse().ok());
    port.filter(|port| *port != 0).unwrap_or(default)
}
