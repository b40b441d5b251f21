//! The provider starts, resolves names and reaches VMs on systems with few or incompatible programs.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use acceptance_tests::workload::{NAME, Workload, fails, holds, texts};
use acceptance_tests::{Cell, Done, Failure, Result, Scenario};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use contract::{Diagnostic, Severity};
use serde_json::{Value, json};

use crate::vm_state;

/// OpenSSH's client.
const PROGRAMS: [&str; 3] = ["ssh", "ssh-agent", "ssh-add"];

#[tokio::test]
async fn the_binary_joins_a_vm_from_a_system_with_only_openssh() -> Done {
    let scenario = Scenario::begin("bare-system")?;
    let (mut workload, _cell) = in_cell(&scenario)?;
    let passed = Arc::<AtomicUsize>::default();
    let port = proxy(Arc::clone(&passed))?;
    workload.block["kubernetes"]["proxy_url"] = json!(format!("http://proxy.example:{port}"));
    workload.converge().await?;
    assert_eq!(texts(&workload.destroy().await?), "");
    assert!(passed.load(Ordering::SeqCst) > 0);
    Ok(())
}

#[tokio::test]
async fn a_missing_program_of_openssh_is_reported_before_anything_is_written() -> Done {
    let scenario = Scenario::begin("no-openssh")?;
    let (mut workload, cell) = in_cell(&scenario)?;
    let missing = |program| format!("cannot start {program} of OpenSSH's client");
    for program in PROGRAMS {
        cell.remove(program)?;
        fails(&workload.apply().await?, "ssh-client", &[&missing(program)])?;
        assert!(workload.state.is_none(), "{program}");
        assert_eq!(scenario.objects()?, [""; 0], "{program}");
        cell.restore(program)?;
    }
    workload.converge().await?;

    let entry = scenario.object("workloadentries", NAME);
    let before = scenario.kubectl().get(&entry)?;
    let objects = scenario.objects()?;
    let vm = vm_state(&scenario.vm)?;
    workload.config["labels"]["version"] = json!("v2");
    for program in PROGRAMS {
        cell.remove(program)?;
        let words = missing(program);
        let warnings = workload.refresh().await?;
        let [warning] = &warnings[..] else {
            return Err(Failure::new(texts(&warnings)));
        };
        assert_eq!(warning.severity, Severity::Warning);
        holds(warning, "ssh-client", &[&words])?;
        let errors = |diagnostics: Vec<Diagnostic>| {
            let all = diagnostics.into_iter();
            all.filter(|one| one.severity == Severity::Error)
                .collect::<Vec<_>>()
        };
        fails(&workload.apply().await?, "ssh-client", &[&words])?;
        let [error, blocked] = &errors(workload.destroy().await?)[..] else {
            return Err(Failure::new("a destroy has two errors"));
        };
        holds(error, "ssh-client", &[&words])?;
        holds(blocked, "destroy-blocked", &[])?;
        assert_eq!(scenario.kubectl().get(&entry)?, before, "{program}");
        assert_eq!(scenario.objects()?, objects, "{program}");
        cell.restore(program)?;
    }
    assert_eq!(vm_state(&scenario.vm)?, vm);
    workload.converge().await?;
    assert_eq!(texts(&workload.destroy().await?), "");
    Ok(())
}

/// A static glibc loads NSS modules together with the system's glibc, and crashes if the versions differ.
#[tokio::test]
async fn nss_modules_of_another_glibc_are_not_loaded() -> Done {
    let scenario = Scenario::begin("foreign-nss")?;
    let mut workload = Workload::new(&scenario)?;
    let cell = Cell::over(bed::another_glibc()?, workload.binary())?;
    for module in ["mdns4_minimal", "resolve", "myhostname"] {
        assert!(cell.has_module(module)?, "{module}");
    }
    enter(&scenario, &mut workload, &cell)?;
    cell.write(
        "/etc/nsswitch.conf",
        "hosts: mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] myhostname files dns\n\
         passwd: files myhostname\n\
         group: files myhostname\n",
    )?;
    workload.converge().await?;
    assert_eq!(texts(&workload.destroy().await?), "");
    Ok(())
}

/// Returns the workload with a provider in a bare cell.
fn in_cell(scenario: &Scenario) -> Result<(Workload, Cell)> {
    let mut workload = Workload::new(scenario)?;
    let cell = Cell::around(workload.binary())?;
    enter(scenario, &mut workload, &cell)?;
    Ok((workload, cell))
}

/// Starts the provider in a cell, in which API server, VM and proxy are addressed only by name.
fn enter(scenario: &Scenario, workload: &mut Workload, cell: &Cell) -> Done {
    let vm = scenario.vm.address;
    cell.write(
        "/etc/hosts",
        &format!("127.0.0.1 localhost kubernetes.default.svc proxy.example\n{vm} vm.example\n"),
    )?;
    cell.write("/kubeconfig", &kubeconfig(scenario)?)?;
    workload.block["kubernetes"]["config_path"] = json!("/kubeconfig");
    workload.config["ssh"]["host"] = json!("vm.example");
    workload.launch_by(cell.launcher()?);
    Ok(())
}

/// Returns the administrator's kubeconfig with embedded files and the API server's name.
fn kubeconfig(scenario: &Scenario) -> Result<String> {
    let text = std::fs::read_to_string(scenario.kubectl().kubeconfig())?;
    let mut config: Value = serde_json::from_str(&text)?;
    for (at, names) in [
        ("/clusters/0/cluster", &["certificate-authority"][..]),
        ("/users/0/user", &["client-certificate", "client-key"]),
    ] {
        let part = config.pointer_mut(at).and_then(Value::as_object_mut);
        let part = part.ok_or_else(|| Failure::new(format!("the kubeconfig has no {at}")))?;
        for name in names {
            let path = part.remove(*name).unwrap_or_default();
            let data = std::fs::read(path.as_str().unwrap_or_default())?;
            part.insert(format!("{name}-data"), json!(STANDARD.encode(data)));
        }
        if let Some(Value::String(server)) = part.get_mut("server") {
            *server = server.replace("127.0.0.1", "kubernetes.default.svc");
        }
    }
    Ok(config.to_string())
}

/// Starts an HTTP proxy for `CONNECT` to this machine, and counts its connections.
fn proxy(passed: Arc<AtomicUsize>) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            passed.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || pass(client));
        }
    });
    Ok(port)
}

/// `CONNECT kubernetes.default.svc:6443 HTTP/1.1`
fn pass(mut client: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") && reader.read_line(&mut request)? > 0 {}
    let target = request.split(' ').nth(1).unwrap_or_default();
    let port = target.rsplit(':').next().unwrap_or_default();
    let port = port.parse().map_err(io::Error::other)?;
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut to_client, mut from_server) = (client, server.try_clone()?);
    thread::spawn(move || {
        // Either side may close it.
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut reader, &mut server);
    server.shutdown(Shutdown::Both)
}
