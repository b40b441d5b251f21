//! The arguments of `ssh`. OpenSSH goes by the first value that it meets: options given here win over any file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::agent::Agent;
use super::{AgentUse, Credentials, Hop, Trust};

pub(super) const KNOWN_HOSTS: &str = "known_hosts";

/// What a login needs besides the hop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login<'a> {
    pub(super) credentials: &'a Credentials,
    pub(super) agent: Option<&'a Agent>,
    pub(super) connect_timeout: Duration,
}

/// Whatever a configuration file says, these hold: nothing asks, nothing is forwarded, nothing is
/// started here or there, and nothing is written to the user's files.
const ALWAYS: [&str; 21] = [
    "ForkAfterAuthentication=no",
    "LogLevel=DEBUG1",
    "BatchMode=yes",
    "ControlPersist=no",
    "RequestTTY=no",
    "RemoteCommand=none",
    "PermitLocalCommand=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "GSSAPIDelegateCredentials=no",
    "Tunnel=no",
    "CanonicalizeHostname=no",
    "UpdateHostKeys=no",
    "AddKeysToAgent=no",
    "ConnectionAttempts=1",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "EscapeChar=none",
    // The log is compared with the expected key.
    "FingerprintHash=sha256",
    // A VM behind a local tunnel has the address of this machine, and must prove its key all the same.
    "NoHostAuthenticationForLocalhost=no",
];

/// A configuration file cannot let a host prove itself by other means than those that the user set for this hop.
const PROVEN_BY_US: [&str; 5] = [
    "GlobalKnownHostsFile=/dev/null",
    "VerifyHostKeyDNS=no",
    "KnownHostsCommand=none",
    // A patch of Debian, Ubuntu and Fedora: Kerberos proves the host, and its key is ignored.
    "GSSAPIKeyExchange=no",
    // SHA-1 signatures of an authority can be forged. The list is the client's own, less these.
    "CASignatureAlgorithms=-ssh-rsa,ssh-dss",
];
/// Options of ours that not every client knows: OpenSSH before 8.5 and 8.7, and builds without the patch.
const RECENT: &str = "KnownHostsCommand,ForkAfterAuthentication,GSSAPIKeyExchange";

/// OpenSSH goes by the first value that it meets, which is ours: what the user's file ignores, e.g. `UseKeychain`, is
/// ignored here, too.
pub(super) fn ignored(config: Option<&Path>) -> String {
    let text = config.and_then(|path| fs::read_to_string(path).ok());
    let own = text
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| {
            let (option, patterns) = line.trim().split_once([' ', '\t', '='])?;
            let patterns = patterns.trim_matches([' ', '\t', '=', '"']);
            option
                .eq_ignore_ascii_case("IgnoreUnknown")
                .then_some(patterns)
        });
    let all: Vec<&str> = std::iter::once(RECENT).chain(own).collect();
    format!("IgnoreUnknown={}", all.join(","))
}

/// Returns the arguments of `ssh` for the master connection to `hop`, through the socket `via` of a bastion's.
pub(super) fn arguments(
    hop: &Hop,
    login: Login<'_>,
    via: Option<&Path>,
    dir: &Path,
) -> Vec<String> {
    let mut args = configuration(hop, login.credentials);
    args.extend(["-M", "-N", "-S"].map(String::from));
    args.push(dir.join("master").display().to_string());
    let mut options = vec![ignored(login.credentials.config_file.as_deref())];
    options.extend(ALWAYS.map(String::from));
    options.push(format!(
        "ConnectTimeout={}",
        login.connect_timeout.as_secs().max(1)
    ));
    options.extend(hop.trust.options());
    if hop.trust != Trust::UserConfig {
        options.extend(PROVEN_BY_US.map(String::from));
        options.push(format!(
            "UserKnownHostsFile={}",
            dir.join(KNOWN_HOSTS).display()
        ));
    }
    options.extend(identity(hop, login));
    options.extend(via.into_iter().flat_map(through_bastion));
    args.extend(options.into_iter().flat_map(|option| ["-o".into(), option]));
    args.extend(["-p".into(), hop.port().to_string()]);
    args.extend(hop.user.iter().flat_map(|user| ["-l".into(), user.clone()]));
    args.extend(["--".into(), hop.host.clone()]);
    args
}

fn reads_configuration(hop: &Hop, credentials: &Credentials) -> bool {
    credentials.config_file.is_some() || hop.trust == Trust::UserConfig
}

fn configuration(hop: &Hop, credentials: &Credentials) -> Vec<String> {
    match &credentials.config_file {
        Some(file) => vec!["-F".into(), file.display().to_string()],
        None if reads_configuration(hop, credentials) => Vec::new(),
        None => vec!["-F".into(), "none".into()],
    }
}

fn identity(hop: &Hop, login: Login<'_>) -> Vec<String> {
    let mut options = login.agent.map(Agent::options).unwrap_or_default();
    if login.agent.is_none() {
        let agent = if login.credentials.agent == AgentUse::User {
            "SSH_AUTH_SOCK"
        } else {
            "none"
        };
        options.push(format!("IdentityAgent={agent}"));
    }
    if !reads_configuration(hop, login.credentials) {
        options.push("PreferredAuthentications=publickey".into());
        // Keys in ~/.ssh are used only where the user's configuration is.
        options.extend(login.agent.is_none().then(|| "IdentityFile=none".into()));
    }
    options
}

/// Goes through a bastion's connection. Should that be gone, `ProxyCommand=false` keeps ssh from
/// connecting by itself. The path is ours and plain; ssh fills in host and port.
fn through_bastion(socket: &Path) -> [String; 2] {
    let socket = socket.display();
    let command = format!(
        "ProxyCommand=ssh -F none -S {socket} -o BatchMode=yes -o ProxyCommand=false -W '[%h]:%p' bastion"
    );
    [command, "ProxyUseFdpass=no".into()]
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    /// Options that a test against an sshd cannot show: there is no Kerberos here, and nothing to forward.
    #[test]
    fn options_of_ours_win_over_a_file_wherever_openssh_knows_them() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        for (line, wins) in [
            ("GSSAPIKeyExchange yes", "gssapikeyexchange no"),
            (
                "GSSAPIDelegateCredentials yes",
                "gssapidelegatecredentials no",
            ),
            ("VerifyHostKeyDNS yes", "verifyhostkeydns false"),
            ("ProxyUseFdpass yes", "proxyusefdpass no"),
            ("ForwardAgent yes", "forwardagent no"),
            ("PermitLocalCommand yes", "permitlocalcommand no"),
            ("UpdateHostKeys yes", "updatehostkeys false"),
            ("AddKeysToAgent yes", "addkeystoagent false"),
            ("FingerprintHash md5", "fingerprinthash SHA256"),
        ] {
            fs::write(&file, format!("IgnoreUnknown *\nHost *\n {line}\n")).unwrap();
            let settings = settings(&file);
            let (name, _) = wins.split_once(' ').unwrap();
            let found: Vec<&str> = settings
                .lines()
                .filter(|line| line.split(' ').next() == Some(name))
                .collect();
            // A client that does not know the option has no such line.
            assert!(found.is_empty() || found == [wins], "{line}: {found:?}");
        }
        assert!(settings(&file).contains("nohostauthenticationforlocalhost no"));
    }

    fn settings(file: &Path) -> String {
        let credentials = Credentials {
            config_file: Some(PathBuf::from(file)),
            ..Credentials::default()
        };
        let login = Login {
            credentials: &credentials,
            agent: None,
            connect_timeout: Duration::from_secs(1),
        };
        let hop = Hop {
            host: "vm".into(),
            port: None,
            user: None,
            trust: Trust::KnownHosts(String::new()),
        };
        let dir = Path::new("/tmp");
        let args = arguments(&hop, login, Some(&dir.join("bastion")), dir);
        let output = Command::new("ssh").arg("-G").args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}
