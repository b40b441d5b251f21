//! Where the proxy finds istiod and its certificates, and which agent calls them.

use crate::facts::{ControlPlane, Facts};

/// Folder of the agent that the start script calls where it is not Istio's own.
pub(super) const AGENT_FOLDER: &str = "/var/lib/istio/bin";
/// Where the agent and the start script look for istiod when nothing says otherwise.
pub(super) const DEFAULT_CONTROL_PLANE: &str = "istiod.istio-system.svc:15012";

/// Whether certificates, too, come from a control plane that has another name in its certificate than it is
/// called by. Another authority is called by its own.
pub(super) fn calls_agent_by_san(facts: &Facts) -> bool {
    facts.control_plane.san.is_some() && facts.ca_address.is_none()
}

/// Returns where certificates come from, if that is not where the start script looks by itself.
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
