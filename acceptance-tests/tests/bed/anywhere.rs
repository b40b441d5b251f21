//! The provider starts, finds names and reaches VMs where hardly anything is installed, and what is there does not fit.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use acceptance_tests::workload::{Workload, fails, texts};
use acceptance_tests::{Cell, Done, Failure, Result, Scenario};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

const FOREIGN: [&str; 3] = ["mdns4_minimal", "resolve", "myhostname"];

#[tokio::test]
async fn the_binary_joins_a_vm_from_a_system_that_has_openssh_and_nothing_else() -> Done {
    let scenario = Scenario::begin("bare-system")?;
    let (mut workload, cell) = in_cell(&scenario)?;
    let passed = Arc::<AtomicUsize>::default();
    let port = proxy(Arc::clone(&passed))?;
    workload.block["kubernetes"]["proxy_url"] = json!(format!("http://proxy.example:{port}"));
    for program in ["ssh", "ssh-agent", "ssh-add"] {
        cell.remove(program)?;
        let words = format!("cannot start {program} of OpenSSH's client");
        fails(&workload.apply().await?, "ssh-client", &[&words])?;
        assert_eq!(scenario.objects()?, [""; 0], "{program}");
        cell.restore(program)?;
    }
    workload.converge().await?;
    assert_eq!(texts(&workload.destroy().await?), "");
    assert!(passed.load(Ordering::SeqCst) > 0);
    Ok(())
}

#[tokio::test]
async fn modules_of_another_glibc_are_not_loaded_to_look_names_up() -> Done {
    let scenario = Scenario::begin("foreign-nss")?;
    let (mut workload, cell) = in_cell(&scenario)?;
    cell.add_modules(&FOREIGN)?;
    let [first, second, third] = FOREIGN;
    let hosts = format!(
        "hosts: {first} [NOTFOUND=return] {second} [!UNAVAIL=return] {third} files dns\n\
         passwd: {second} files\ngroup: {second} files\n"
    );
    cell.write("/etc/nsswitch.conf", &hosts)?;
    workload.converge().await?;
    assert_eq!(texts(&workload.destroy().await?), "");
    Ok(())
}

/// Returns the workload with a provider in a cell, where API server, VM and proxy are known by name only.
fn in_cell(scenario: &Scenario) -> Result<(Workload, Cell)> {
    let mut workload = Workload::new(scenario)?;
    let cell = Cell::around(workload.binary())?;
    let vm = &scenario.vm;
    cell.write(
        "/etc/hosts",
        &format!(
            "127.0.0.1 localhost kubernetes.default.svc proxy.example\n{} vm.example\n",
            vm.address
        ),
    )?;
    cell.write("/kubeconfig", &kubeconfig(scenario)?)?;
    workload.block["kubernetes"]["config_path"] = json!("/kubeconfig");
    workload.config["ssh"]["host"] = json!("vm.example");
    workload.launch_by(cell.launcher()?);
    Ok((workload, cell))
}

/// Returns the administrator's kubeconfig with its files in it, and the API server by name.
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

/// Starts an HTTP proxy for `CONNECT` to this machine, and counts what passes it.
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
        // Either side may end it.
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut reader, &mut server);
    server.shutdown(Shutdown::Both)
}
