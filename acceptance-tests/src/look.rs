//! Observes a VM from inside: its files, users, units, rules and proxy.

use std::collections::BTreeSet;

use bed::Machine;
use serde_json::Value;

use crate::{Failure, Result};

/// Listing of a machine: a line for each file, user, group, unit, packet filter rule and routing rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing(BTreeSet<String>);

/// Paths that change by themselves: logs, caches, and working data of systemd and the package manager.
/// The package manager's record of a removed package is its own.
const LIST: &str = r#"
set -e
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp \
  -o -path /var/log/journal -o -path /var/log/dpkg.log -o -path /var/log/apt -o -path /var/log/alternatives.log \
  -o -path /var/log/lastlog -o -path /var/log/wtmp -o -path /var/log/btmp \
  -o -path /var/lib/dpkg -o -path /var/lib/systemd -o -path /var/cache \
  -o -path /var/lib/private -o -path /home/ubuntu/.cache -o -path '/etc/*-' -o -path /etc/.pwd.lock \) -prune -o -printf '%p %M %u:%g\n' | sed 's/^/file /'
find /run -maxdepth 2 \( -path '/run/systemd/*' -o -path '/run/log/*' -o -path '/run/user/*' -o -path '/run/udev/*' \
  -o -path '/run/sshd*' -o -path '/run/sudo*' -o -path '/run/credentials*' -o -path '/run/lock/*' \
  -o -path /run/xtables.lock -o -path /run/motd.dynamic -o -path /run/agetty.reload \) -prune -o -printf '%p %M %u:%g\n' | sed 's/^/file /'
find /tmp /var/tmp -mindepth 1 -not -path '*systemd-private*' | sed 's/^/file /'
find /etc -xdev -type f -not -path '/etc/*-' -not -path /etc/ld.so.cache -not -path /etc/.pwd.lock -print0 | xargs -0 sha256sum | sed 's/^/content /'
sed 's/^/user /' /etc/passwd
sed 's/^/group /' /etc/group
systemctl list-unit-files --no-legend --no-pager | awk '{ print "unit " $1 " " $2 }'
systemctl list-units --all --no-legend --no-pager --plain --type=service,timer,socket | awk '$1 ~ /istio|mesh/ && $2 != "not-found" { print "active " $0 }'
for tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
  $tool-save 2>/dev/null | grep -E '^(-A|:[A-Z]+_)' | sed "s/^/rule $tool /" || true
done
for family in -4 -6; do
  ip $family rule | sed "s/^/rule ip $family /"
  ip $family route show table 133 2>/dev/null | sed "s/^/route ip $family /" || true
done
ps -eo comm= | grep -E 'envoy|pilot-agent' | sed 's/^/process /' || true
dpkg-query -W -f 'package ${Package} ${db:Status-Status}\n' 2>/dev/null | grep -E 'installed|config-files|half' || true
"#;

/// Lists a machine.
///
/// # Errors
/// Fails if the machine is off or a tool fails.
pub fn listing(machine: &Machine) -> Result<Listing> {
    Ok(Listing(
        machine.shell(LIST)?.lines().map(str::to_owned).collect(),
    ))
}

impl Listing {
    /// Returns lines that are only in this listing as `+ …`, and lines that are only in the other one as `- …`.
    pub fn since(&self, before: &Self) -> Vec<String> {
        let more = self.0.difference(&before.0).map(|line| format!("+ {line}"));
        let less = before.0.difference(&self.0).map(|line| format!("- {line}"));
        more.chain(less).collect()
    }
}

/// Returns the node of a machine's running proxy, as sent to istiod: `id`, `metadata`.
///
/// # Errors
/// Fails if the proxy's admin port on the machine does not respond.
pub fn proxy(machine: &Machine) -> Result<Value> {
    let answer = machine.curl("http://127.0.0.1:15000/server_info", &[])?;
    if answer.status != 200 {
        return Err(Failure::new(format!(
            "the proxy's admin port responded with {}: {}",
            answer.status, answer.body
        )));
    }
    let info: Value = serde_json::from_str(&answer.body)?;
    Ok(info["node"].clone())
}
