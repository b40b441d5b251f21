//! Addresses of istiod and of the certificate authority, and the agent that connects to them.

use crate::facts::{ControlPlane, Facts};

/// Folder of the wrapped agent, if the start script does not use Istio's own.
pub(super) const AGENT_FOLDER: &str = "/var/lib/istio/bin";
/// Default address of istiod in the agent and the start script.
pub(super) const DEFAULT_CONTROL_PLANE: &str = "istiod.istio-system.svc:15012";

/// Returns true if the wrapped agent is needed: certificates come from a control plane whose certificate holds another
/// name than its address. A separate authority is verified by its own name.
pub(super) fn needs_wrapped_agent(facts: &Facts) -> bool {
    facts.control_plane.san.is_some() && facts.ca_address.is_none()
}

/// Returns the address of the certificate authority, unless it is the start script's default.
pub(super) fn ca_address(facts: &Facts) -> Option<String> {
    let istiod = host_port(&facts.control_plane);
    facts
        .ca_address
        .clone()
        .or_else(|| (istiod != DEFAULT_CONTROL_PLANE).then_some(istiod))
}

/// Returns `host:port` of istiod.
pub(super) fn host_port(at: &ControlPlane) -> String {
    let host = if at.host.contains(':') {
        format!("[{}]", at.host)
    } else {
        at.host.clone()
    };
    format!("{host}:{}", at.port)
}
