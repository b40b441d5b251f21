//! What a package's address leads to, by curl and wget themselves, with and without TLS.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::stage::{SHELLS, Stage};

const TOOLS: [&str; 2] = ["curl", "wget"];

/// A server for as long as the test lasts. `/to/ADDRESS` leads there, `/SIZE` is so many bytes, and all else its protocol.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(protocol: &'static str, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(vec![]));
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, seen, tls) = (stream.unwrap(), Arc::clone(&seen), tls.clone());
                thread::spawn(move || match tls {
                    Some(config) => {
                        let session = ServerConnection::new(config).unwrap();
                        serve(StreamOwned::new(session, stream), protocol, &seen);
                    }
                    None => serve(stream, protocol, &seen),
                });
            }
        });
        let address = format!("{protocol}://localhost:{port}");
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn serve(stream: impl Read + Write, protocol: &str, seen: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    let mut lines = vec![];
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Ok(read) if read > 0 && line != "\r\n" => lines.push(line),
            _ => break,
        }
    }
    let Some(path) = lines.first().and_then(|line| line.split(' ').nth(1)) else {
        return;
    };
    seen.lock().unwrap().push(path.to_owned());
    let size: Option<usize> = path.trim_start_matches('/').parse().ok();
    let body = size.map_or_else(|| protocol.to_owned(), |size| "x".repeat(size));
    let head = match path.strip_prefix("/to/") {
        Some(there) => format!("HTTP/1.1 302 Found\r\nLocation: {there}\r\n"),
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    // Nobody may listen any more.
    let _ = write!(
        stream.get_mut(),
        "{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.get_mut().flush();
}

/// Servers over plain HTTP and over TLS, and what makes both tools trust the latter.
fn servers() -> (Server, Server, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let plain = Server::start("http", None);
    let secure = Server::start("https", Some(Arc::new(config)));
    (plain, secure, made.cert.pem())
}

/// Calls `fetch` with one of the tools. Returns its output and what it fetched.
fn fetch(
    shell: &'static str,
    tool: &str,
    trusted: &str,
    address: &str,
    most: &str,
) -> (String, String) {
    let stage = Stage::new(shell);
    fs::create_dir_all(stage.path("in")).unwrap();
    fs::write(stage.path("in/wait.fetch"), "20").unwrap();
    fs::write(stage.path("trusted.pem"), trusted).unwrap();
    let config = format!("ca_certificate = {}\n", stage.path("trusted.pem").display());
    fs::write(stage.path("wgetrc"), config).unwrap();
    let printed = stage.part(&format!(
        "export CURL_CA_BUNDLE=\"$run_dir/trusted.pem\" WGETRC=\"$run_dir/wgetrc\" no_proxy='*'
         have() {{ [ \"$1\" = {tool} ]; }}
         if fetch '{address}' \"$run_dir/package\" {most} 2>&1; then emit 'it came'; else emit failed; fi"
    ));
    let file = fs::read_to_string(stage.path("package"));
    (printed, file.unwrap_or_default())
}

#[test]
fn a_redirect_leads_from_https_to_nothing_else() {
    let (plain, secure, trusted) = servers();
    for shell in SHELLS {
        for tool in TOOLS {
            let fetch = |address: &str| fetch(shell, tool, &trusted, address, "");
            for there in [
                format!("{}/evil", plain.address),
                plain.address.replace("http", "ftp"),
                // Over TLS.
                format!("{}/to/{}/evil", secure.address, plain.address),
            ] {
                let (printed, file) = fetch(&format!("{}/to/{there}", secure.address));
                let expected = "the address redirects from https:// to another protocol";
                assert!(
                    printed.contains(expected),
                    "{shell}, {tool}, {there}: {printed}"
                );
                assert!(printed.ends_with("failed\n"), "{shell}, {tool}: {printed}");
                assert_eq!(file, "", "{shell}, {tool}");
                assert_eq!(plain.asked(), [""; 0], "{shell}, {tool}, {there}");
            }
            let (printed, file) = fetch(&format!("{0}/to/{0}/good", secure.address));
            assert_eq!(
                (printed.ends_with("it came\n"), file.as_str()),
                (true, "https"),
                "{shell}, {tool}: {printed}"
            );
            // Who writes http:// pins the package by its digest.
            let (printed, file) = fetch(&format!("{}/to/{}/good", plain.address, plain.address));
            assert_eq!(
                (printed.ends_with("it came\n"), file.as_str()),
                (true, "http"),
                "{shell}, {tool}: {printed}"
            );
            let (printed, file) = fetch(&format!("{}/to/{}/good", plain.address, secure.address));
            assert_eq!(
                (printed.ends_with("it came\n"), file.as_str()),
                (true, "https"),
                "{shell}, {tool}: {printed}"
            );
            plain.asked();
        }
    }
}

/// The digest of a release is fetched by the same words, and decides which package is installed.
#[test]
fn a_digest_is_fetched_over_https_only_and_must_be_a_digest() {
    let (plain, secure, trusted) = servers();
    let released = |shell, tool: &str, address: &str| {
        let stage = Stage::new(shell);
        fs::create_dir_all(stage.path("in")).unwrap();
        fs::write(stage.path("in/wait.fetch"), "20").unwrap();
        fs::write(stage.path("in/release"), address).unwrap();
        fs::write(stage.path("trusted.pem"), &trusted).unwrap();
        let config = format!("ca_certificate = {}\n", stage.path("trusted.pem").display());
        fs::write(stage.path("wgetrc"), config).unwrap();
        stage.part(&format!(
            "export CURL_CA_BUNDLE=\"$run_dir/trusted.pem\" WGETRC=\"$run_dir/wgetrc\"
             have() {{ [ \"$1\" = {tool} ] || [ \"$1\" = dpkg ]; }}
             find_release 2>&1 || emit failed"
        ))
    };
    for shell in SHELLS {
        for tool in TOOLS {
            let away = format!("{}/to/{}/", secure.address, plain.address);
            let printed = released(shell, tool, &away);
            assert!(
                printed.contains("redirects from https://") && printed.ends_with("failed\n"),
                "{shell}, {tool}: {printed}"
            );
            assert_eq!(plain.asked(), [""; 0], "{shell}, {tool}");
            let printed = released(shell, tool, &secure.address);
            assert!(
                printed.contains(".sha256 holds no SHA-256\nfailed\n"),
                "{shell}, {tool}: {printed}"
            );
        }
    }
}

#[test]
fn a_download_that_is_too_large_is_given_up() {
    let (plain, _, trusted) = servers();
    for shell in SHELLS {
        for tool in TOOLS {
            let fetch = |size: u32| {
                fetch(
                    shell,
                    tool,
                    &trusted,
                    &format!("{}/{size}", plain.address),
                    "8",
                )
            };
            let (printed, file) = fetch(1 << 20);
            assert!(
                printed.contains("the package is too large\n") && printed.ends_with("failed\n"),
                "{shell}, {tool}: {printed}"
            );
            assert!(file.len() <= 8192, "{shell}, {tool}");
            let (printed, file) = fetch(4000);
            assert_eq!(
                (printed.ends_with("it came\n"), file.len()),
                (true, 4000),
                "{shell}, {tool}: {printed}"
            );
        }
    }
}
