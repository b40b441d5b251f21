//! The ports that are the proxy's own (istio.io/latest/docs/ops/deployment/application-requirements).

/// SSH, by which the VM is reached.
pub const SSH: u16 = 22;
/// The agent's own port, with its metrics, unless the proxy's configuration sets another.
pub const STATUS: u16 = 15020;
/// Whether the proxy is ready.
pub const HEALTH: u16 = 15021;
/// Envoy's metrics.
pub const METRICS: u16 = 15090;

/// Ports on which each proxy listens: its administration, outbound and inbound traffic, and those above.
pub const OF_EACH_PROXY: [u16; 6] = [15000, 15001, 15006, STATUS, HEALTH, METRICS];
/// Ports on which a proxy listens if it is told to: debugging, HBONE and DNS.
const OF_SOME_PROXIES: [u16; 3] = [15004, 15008, 15053];

/// Tells whether a port is the proxy's own.
pub fn is_of_proxy(port: u16) -> bool {
    OF_EACH_PROXY.contains(&port) || OF_SOME_PROXIES.contains(&port)
}
