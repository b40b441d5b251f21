//! Open connections to the VM survive, and new ones are intercepted as declared.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use acceptance_tests::workload::{Workload, fails, texts};
use acceptance_tests::{Done, Failure, Result, Scenario, wait_for};
use bed::Vm;
use serde_json::json;

/// A server that stands in for a database connection: it echoes each line.
const ECHO: &str = r#"
import socketserver, sys
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
socketserver.ThreadingTCPServer(("0.0.0.0", 5432), Echo).serve_forever()
"#;
/// A database client on the VM, which sends what it reads.
const CLIENT: &str = r#"
import socket, sys
stream = socket.create_connection((sys.argv[1], int(sys.argv[2]))).makefile("rwb", buffering=0)
for line in stream:
    stream.write(line)
"#;

#[tokio::test]
async fn ssh_and_database_connections_survive_bootstraps() -> Done {
    let scenario = Scenario::begin("survive")?;
    let vm = &scenario.vm;
    vm.write("/tmp/echo.py", ECHO.as_bytes())?;
    vm.write("/tmp/client.py", CLIENT.as_bytes())?;
    vm.shell("systemd-run --quiet --unit=echo python3 /tmp/echo.py")?;
    let inbound = || -> Result<TcpStream> {
        wait_for("the database listens", || {
            TcpStream::connect((vm.address, 5432)).map(|_| true)
        })?;
        Ok(TcpStream::connect((vm.address, 5432))?)
    };
    let mut held = vec![
        Held::new("inbound", inbound()?)?,
        Held::new("outbound", outbound(&scenario)?)?,
    ];
    let busy = [
        Busy::new("inbound", inbound()?)?,
        Busy::new("outbound", outbound(&scenario)?)?,
    ];
    let mut ssh = Ssh::new(vm)?;
    let mut workload = Workload::new(&scenario)?;
    for version in ["v1", "v2"] {
        workload.config["labels"]["version"] = json!(version);
        workload.converge().await?;
        for connection in &mut held {
            connection.ask(version)?;
        }
        ssh.ask(version)?;
    }
    for connection in busy {
        connection.end()?;
    }
    assert_eq!(texts(&workload.destroy().await?), "");
    for connection in &mut held {
        connection.ask("destroyed")?;
    }
    ssh.ask("destroyed")
}

/// Otherwise the second connection, which confirms the rules, would reach the proxy.
#[tokio::test]
async fn an_sshd_on_another_port_remains_reachable() -> Done {
    let scenario = Scenario::begin("port-2222")?;
    scenario
        .vm
        .shell("echo Port 2222 >>/etc/ssh/sshd_config.d/bed.conf && systemctl restart ssh")?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["ssh"]["port"] = json!(2222);
    workload.converge().await?;
    let rules = scenario.vm.shell("iptables-save")?;
    assert!(rules.contains("--dport 2222 -j ACCEPT"), "{rules}");
    assert_eq!(texts(&workload.destroy().await?), "");
    Ok(())
}

/// A port that a user forwards is an application port like any other.
#[tokio::test]
async fn a_port_that_ssh_forwards_does_not_bypass_the_proxy() -> Done {
    let scenario = Scenario::begin("forwarded")?;
    let vm = &scenario.vm;
    let mut ssh = Ssh::with(vm, &["-R", "127.0.0.1:8099:127.0.0.1:1"])?;
    let listens = vm.shell("ss -Hltnp 'sport = :8099'")?;
    assert!(listens.contains("sshd"), "{listens}");
    let mut workload = Workload::new(&scenario)?;
    workload.converge().await?;
    let guard = vm.read("/var/lib/istio/mesh/guard")?;
    assert!(guard.contains("--dport 22 "), "{guard}");
    assert!(!guard.contains("8099"), "{guard}");
    ssh.ask("joined")
}

/// Before the run is confirmed, all logins are blocked, and its worker and follower are dead: only the rollback timer is
/// left.
const LOCKED_OUT: &str = r#"
field() { case $1 in wait.ready | wait.verdict) emit 5 ;; *) cat "$run_dir/in/$1" 2>/dev/null ;; esac; }
hook() {
  [ "$1" = ready ] || return 0
  iptables -t nat -N ISTIO_DROP
  iptables -t nat -A ISTIO_DROP -p tcp --dport 22 -j REDIRECT --to-ports 1
  iptables -t nat -I PREROUTING -j ISTIO_DROP
  kill -KILL "$(cat "$run_dir/follower")"
  pkill -KILL -f '[s]shd: ubuntu'
  kill -KILL $$
}
"#;

#[tokio::test]
async fn rules_that_lock_everyone_out_are_rolled_back() -> Done {
    let scenario = Scenario::begin("locked-out")?;
    let vm = &scenario.vm;
    crate::steps::hooked(vm, LOCKED_OUT)?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["timeouts"]["create"] = json!("2m");
    let nobody = async {
        let (vm, address) = (vm.clone(), (vm.address, vm.ssh_port));
        let look = tokio::task::spawn_blocking(move || {
            wait_for("the rules are there", || {
                vm.shell("iptables-save -t nat | grep -c -- '-j ISTIO_DROP' || true")
                    .map(|count| count != "0\n")
            })?;
            Ok::<_, Failure>(TcpStream::connect(address).is_err())
        });
        look.await
            .map_err(|error| Failure::new(error.to_string()))?
    };
    let (reported, locked_out) = tokio::join!(workload.apply(), nobody);
    assert!(locked_out?, "the rules lock no one out");
    fails(&reported?, "vm-reverted", &["the VM is as it was before"])?;
    assert!(crate::failures::clean(&scenario)?);
    let rules = vm.shell("iptables-save; iptables-legacy-save; true")?;
    assert!(!rules.contains("ISTIO_"), "{rules}");
    vm.write("/var/tmp/walk/hook", b"")?;
    workload.converge().await
}

#[tokio::test]
async fn without_interception_pods_reach_the_application_and_no_rule_is_written() -> Done {
    let scenario = Scenario::begin("no-rules")?;
    let mut workload = Workload::new(&scenario)?;
    // Rules are removed with the settings that created them: first those for DNS, then all.
    workload.converge().await?;
    let dns = "{ iptables-save; iptables-legacy-save; } | grep -c 15053; true";
    assert_ne!(scenario.vm.shell(dns)?, "0\n");
    workload.config["proxy"]["dns_capture"] = json!(false);
    workload.converge().await?;
    assert_eq!(scenario.vm.shell(dns)?, "0\n");
    workload.config["proxy"]["interception"] = json!("none");
    // For egress, the proxy would also listen on 127.0.0.1, like the application.
    workload.config["sidecar"]["egress_hosts"] = json!(["~/*"]);
    workload.converge().await?;
    let rules = "for f in iptables ip6tables; do $f-nft-save; $f-legacy-save; done; true";
    let rules = scenario.vm.shell(rules)?;
    assert!(
        !rules.contains("ISTIO_") && !rules.contains("MESH_"),
        "{rules}"
    );
    let listens = scenario.vm.shell("ss -Hltnp 'sport = :9080'")?;
    assert!(listens.contains("127.0.0.1:9080"), "{listens}");
    crate::demo::call_vm(&scenario)
}

/// A connection that is used occasionally.
struct Held {
    name: &'static str,
    stream: BufReader<TcpStream>,
}

impl Held {
    fn new(name: &'static str, stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut held = Self {
            name,
            stream: BufReader::new(stream),
        };
        held.ask("before")?;
        Ok(held)
    }

    fn ask(&mut self, text: &str) -> Done {
        let line = format!("{text}\n");
        self.stream.get_mut().write_all(line.as_bytes())?;
        answered(self.name, &mut self.stream, &line)
    }
}

/// A connection that is never idle.
struct Busy {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Done>,
}

impl Busy {
    fn new(name: &'static str, stream: TcpStream) -> Result<Self> {
        let mut held = Held::new(name, stream)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                held.ask("busy")?;
                thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        });
        Ok(Self { stop, thread })
    }

    fn end(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| Failure::new("a busy connection panicked"))?
    }
}

/// An SSH session of a user.
struct Ssh {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Ssh {
    fn new(vm: &Vm) -> Result<Self> {
        Self::with(vm, &[])
    }

    /// Opens a session with the user's options.
    fn with(vm: &Vm, options: &[&str]) -> Result<Self> {
        let mut ssh = Command::new("ssh");
        ssh.args(options).args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
            "-i",
        ]);
        ssh.arg(&vm.private_key_path)
            .arg(format!("{}@{}", vm.user, vm.address))
            .arg("cat");
        let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let no_pipe = || Failure::new("ssh has no pipe");
        let stdin = child.stdin.take().ok_or_else(no_pipe)?;
        let stdout = BufReader::new(child.stdout.take().ok_or_else(no_pipe)?);
        let mut session = Self {
            child,
            stdin,
            stdout,
        };
        session.ask("before")?;
        Ok(session)
    }

    fn ask(&mut self, text: &str) -> Done {
        let line = format!("{text}\n");
        self.stdin.write_all(line.as_bytes())?;
        answered("ssh", &mut self.stdout, &line)
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a connection from the VM to a server outside the mesh.
fn outbound(scenario: &Scenario) -> Result<TcpStream> {
    let gateway = scenario.control_plane_address();
    let listener = TcpListener::bind((gateway.as_str(), 0))?;
    let port = listener.local_addr()?.port();
    scenario.vm.shell(&format!(
        "systemd-run --quiet python3 /tmp/client.py {gateway} {port}"
    ))?;
    Ok(listener.accept()?.0)
}

fn answered<R: Read>(name: &str, stream: &mut BufReader<R>, line: &str) -> Done {
    let mut answer = String::new();
    match stream.read_line(&mut answer) {
        Ok(_) if answer == line => Ok(()),
        other => Err(Failure::new(format!(
            "the {name} connection broke at {line:?}: {other:?}, {answer:?}"
        ))),
    }
}
