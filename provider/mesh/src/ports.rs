//! Ports that the proxy reserves (istio.io/latest/docs/ops/deployment/application-requirements).

/// Inbound traffic, which the VM's rules redirect to it.
pub const INBOUND: u16 = 15006;
/// Tunnels from pods (HBONE), if the proxy serves them.
pub const TUNNEL: u16 = 15008;
/// SSH, used to connect to the VM.
pub const SSH: u16 = 22;
/// Status port of the agent, with its metrics, unless the proxy configuration sets another.
pub const STATUS: u16 = 15020;
/// Readiness endpoint of the proxy.
pub const HEALTH: u16 = 15021;
/// Metrics of Envoy.
pub const METRICS: u16 = 15090;

/// Envoy's admin API.
pub const ADMIN: u16 = 15000;
/// Intercepted outbound traffic.
pub const OUTBOUND: u16 = 15001;

/// Ports on which every proxy listens unless it is configured otherwise.
pub const OF_EACH_PROXY: [u16; 6] = [ADMIN, OUTBOUND, INBOUND, STATUS, HEALTH, METRICS];
/// Ports on which a proxy listens only if configured: debugging, HBONE and DNS.
const OF_SOME_PROXIES: [u16; 3] = [15004, TUNNEL, 15053];

/// Returns true if the proxy reserves a port.
pub fn is_of_proxy(port: u16) -> bool {
    OF_EACH_PROXY.contains(&port) || OF_SOME_PROXIES.contains(&port)
}
