//! What keeps the proxy's token fresh on a VM: a script that runs the user's command, and the units that run the script.

use mesh::desired::{Bundle, File, Watch};

use super::pack::packed;
use super::text::REFRESH;

/// Its group is the proxy's, whose calls are not intercepted: when the certificate has expired,
/// no proxy could carry them until there is a token.
const SERVICE: &str = "[Unit]
Description=Fetches the token of the mesh's proxy
Wants=network-online.target
After=network-online.target
PartOf=istio.service

[Service]
Type=oneshot
Group=istio-proxy
TimeoutStartSec=60
ExecStart=/bin/sh /var/lib/istio/mesh-vm-token
";

/// It starts and ends with the proxy.
const TIMER: &str = "[Unit]
Description=Keeps the token of the mesh's proxy fresh
PartOf=istio.service

[Timer]
OnActiveSec=5min
OnUnitInactiveSec=5min
AccuracySec=10s
";

/// The token is on tmpfs, so that a boot needs one before the proxy starts.
const DROP_IN: &str = "[Unit]
Wants=mesh-vm-token.service mesh-vm-token.timer
After=mesh-vm-token.service
";

/// Returns the files that run the command of a bundle: they are placed, restored and removed as the bundle's own.
pub(super) fn files(bundle: &Bundle) -> Vec<File> {
    let file = |path: &str, mode, content: &str| File {
        path: path.into(),
        owner: "root",
        mode,
        content: content.into(),
        watch: Watch::No,
    };
    if !bundle.renews_token() {
        return vec![];
    }
    vec![
        file("/var/lib/istio/mesh-vm-token", 0o700, &packed(REFRESH)),
        file("/etc/systemd/system/mesh-vm-token.service", 0o644, SERVICE),
        file("/etc/systemd/system/mesh-vm-token.timer", 0o644, TIMER),
        file(
            "/etc/systemd/system/istio.service.d/token.conf",
            0o644,
            DROP_IN,
        ),
    ]
}
