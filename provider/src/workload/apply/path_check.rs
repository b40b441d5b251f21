//! The check of the VM's paths to istiod and to another certificate authority, before anything is written.

use plugin::Diagnostic;
use vm::program::Verdict;

use super::no_ssh;
use super::work::Work;
use crate::messages::report::reverted;

/// The checks of the paths to istiod and to another certificate authority.
const PATHS: [&str; 7] = [
    "dns",
    "hosts",
    "control-plane",
    "tls-name",
    "ca-dns",
    "ca",
    "ca-certificate",
];

impl Work<'_> {
    /// Checks that the VM finds istiod, before anything is written, if somebody else has to publish the name or to put
    /// it into the certificate; and another certificate authority, if there is one.
    pub(super) async fn check_vm(&mut self) -> Result<(), Diagnostic> {
        let (desired, facts) = (&self.preflight.desired, &self.preflight.facts);
        let bundle = &desired.bundle;
        let is_plain = bundle.hosts_line.is_some() && facts.control_plane.san.is_none();
        if is_plain && bundle.authority.is_none() {
            return Ok(());
        }
        let machine = self.machine.as_mut().ok_or_else(no_ssh)?;
        let checks = machine.check(bundle).await.unwrap_or_default();
        let bad = checks
            .iter()
            .find(|check| PATHS.contains(&check.name.as_str()) && check.verdict == Verdict::Bad);
        let Some(bad) = bad else {
            return Ok(());
        };
        machine.close().await;
        let lines = [format!("{}: {}", bad.name, bad.found.trim())];
        Err(reverted("check", Some(&bad.name), &lines))
    }
}
