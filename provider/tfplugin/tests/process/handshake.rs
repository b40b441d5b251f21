//! From the start to the first call.

use std::process::Command;

use contract::{Address, COOKIE, ClientCertificate, Process};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::{call, configured, run, start, toy};

#[test]
fn without_the_cookie_it_explains_itself_and_exits_with_1() {
    for cookie in [None, Some("something else")] {
        let mut command = Command::new(toy());
        command
            .env_remove(COOKIE.0)
            .envs(cookie.map(|value| (COOKIE.0, value)));
        let output = run(&mut command);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(output.stdout, b"");
        let reported = String::from_utf8(output.stderr).unwrap();
        assert!(reported.contains("This binary is a plugin"), "{reported}");
    }
}

#[test]
fn a_client_certificate_that_is_none_is_reported_and_nothing_is_printed() {
    let mut command = Command::new(toy());
    let output = run(command
        .env(COOKIE.0, COOKIE.1)
        .env("PLUGIN_CLIENT_CERT", "no PEM"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let reported = String::from_utf8(output.stderr).unwrap();
    assert!(
        reported.starts_with("PLUGIN_CLIENT_CERT holds no certificate"),
        "{reported}"
    );
}

#[tokio::test]
async fn a_plugin_that_ends_before_the_handshake_is_reported_with_what_it_wrote() {
    let started = Process::start(toy(), &[("PLUGIN_CLIENT_CERT", "no PEM")], None).await;
    let error = started.unwrap_err().to_string();
    assert!(error.contains("exit status: 1"), "{error}");
    assert!(error.contains("holds no certificate"), "{error}");
}

#[tokio::test]
async fn version_6_is_answered_to_any_list() {
    for versions in ["5", "5,6", "6,5", "6"] {
        let process = start(&[("PLUGIN_PROTOCOL_VERSIONS", versions)], None).await;
        assert_eq!(process.handshake.version, 6, "{versions}");
    }
}

#[tokio::test]
async fn the_right_client_is_served_over_mutual_tls_and_http_2() {
    let own = ClientCertificate::new().unwrap();
    let process = start(&[], Some(&own)).await;
    assert!(!process.handshake.certificate.is_empty());
    // The client checks name, validity, purpose and ALPN.
    call(&process, Some(&own)).await.unwrap();
}

#[tokio::test]
async fn a_client_without_or_with_another_certificate_is_refused_and_the_right_one_still_served() {
    let own = ClientCertificate::new().unwrap();
    let other = ClientCertificate::new().unwrap();
    let process = start(&[], Some(&own)).await;
    assert!(call(&process, None).await.is_err());
    assert!(call(&process, Some(&other)).await.is_err());
    call(&process, Some(&own)).await.unwrap();
}

#[tokio::test]
async fn without_a_client_certificate_it_speaks_plaintext() {
    let process = start(&[], None).await;
    assert!(process.handshake.certificate.is_empty());
    call(&process, None).await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_in_the_wanted_directory_goes_with_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let process = start(
        &[("PLUGIN_UNIX_SOCKET_DIR", directory.path().to_str().unwrap())],
        None,
    )
    .await;
    let Address::Unix(socket) = process.handshake.address.clone() else {
        panic!("TCP")
    };
    assert_eq!(socket.parent(), Some(directory.path()));
    let channel = process.connect(None).await.unwrap();
    process.shutdown(channel).await.unwrap();
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_answered_over_tcp_and_tls() {
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("d".repeat(120));
    std::fs::create_dir(&long).unwrap();
    let own = ClientCertificate::new().unwrap();
    let process = start(
        &[("PLUGIN_UNIX_SOCKET_DIR", long.to_str().unwrap())],
        Some(&own),
    )
    .await;
    let Address::Tcp(address) = &process.handshake.address else {
        panic!("a socket")
    };
    let port: u16 = address.strip_prefix("127.0.0.1:").unwrap().parse().unwrap();
    assert!(
        (10_000..=25_000).contains(&port),
        "{port} is outside of the wanted range"
    );
    call(&process, Some(&own)).await.unwrap();
}

#[tokio::test]
async fn the_service_plugin_is_healthy() {
    let client = configured(&[]).await;
    let request = HealthCheckRequest {
        service: "plugin".to_owned(),
    };
    let health = HealthClient::new(client.channel())
        .check(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(health.status(), ServingStatus::Serving);
}
