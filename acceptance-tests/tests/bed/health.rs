//! Traffic follows the application's health with every kind of probe, and an apply with a health check converges.

use std::time::Instant;

use acceptance_tests::workload::{NAME, Workload};
use acceptance_tests::{Done, Result, Scenario, wait_for};
use serde_json::json;

/// Responds to each gRPC health request with "serving", in raw HTTP/2 frames.
const GRPC: &str = r#"
import socket, threading
def frame(kind, flags, stream, body=b""):
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
def field(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
def serve(peer):
    stream = peer.makefile("rb")
    stream.read(24)
    peer.sendall(frame(4, 0, 0))
    while head := stream.read(9):
        body, kind, flags = stream.read(int.from_bytes(head[:3], "big")), head[3], head[4]
        if kind in (4, 6) and not flags & 1:
            peer.sendall(frame(kind, 1, 0, body if kind == 6 else b""))
        if kind in (0, 1) and flags & 1:
            at = int.from_bytes(head[5:], "big")
            serving = b"\0\0\0\0\2\x08\1"
            peer.sendall(frame(1, 4, at, b"\x88" + field(b"content-type", b"application/grpc")) + frame(0, 0, at, serving)
                         + frame(1, 5, at, field(b"grpc-status", b"0")))
server = socket.create_server(("127.0.0.1", 50051))
while True:
    threading.Thread(target=serve, args=(server.accept()[0],)).start()
"#;
const SERVE_GRPC: &str = "systemd-run --quiet --collect --unit=grpc python3 /var/tmp/grpc.py; until ss -Hltn 'sport = :50051' | grep -q .; do sleep 0.1; done";

#[tokio::test]
async fn a_dead_application_is_withdrawn_and_restored_with_every_kind_of_probe() -> Done {
    let scenario = Scenario::begin("health")?;
    let vm = &scenario.vm;
    vm.write("/var/tmp/grpc.py", GRPC.as_bytes())?;
    vm.shell(SERVE_GRPC)?;
    vm.shell("touch /var/tmp/alive")?;
    let mut workload = Workload::new(&scenario)?;
    let (stop, start) = ("systemctl stop ratings", "systemctl start ratings");
    let cases = [
        (
            json!({ "http": { "port": 9080, "path": "/health" } }),
            stop,
            start,
        ),
        (json!({ "tcp": { "port": 9080 } }), stop, start),
        (
            json!({ "exec": ["test", "-e", "/var/tmp/alive"] }),
            "rm /var/tmp/alive",
            "touch /var/tmp/alive",
        ),
        (
            json!({ "grpc": { "port": 50051 } }),
            "systemctl stop grpc",
            SERVE_GRPC,
        ),
    ];
    for (mut check, dies, revives) in cases {
        check["period_seconds"] = json!(2);
        workload.config["health_check"] = check;
        workload.converge().await?;
        assert!(
            healthy(&scenario, "True")?,
            "an apply ends when the application answers"
        );

        let since = Instant::now();
        vm.shell(dies)?;
        wait_for("istiod reports the dead application", || {
            healthy(&scenario, "False")
        })?;
        println!("withdrawn after {:?}", since.elapsed());
        let since = Instant::now();
        vm.shell(revives)?;
        wait_for("istiod reports that it is back", || {
            healthy(&scenario, "True")
        })?;
        println!("back after {:?}", since.elapsed());
    }
    Ok(())
}

/// Returns true if istiod reports this status of the application.
fn healthy(scenario: &Scenario, wanted: &str) -> Result<bool> {
    let path = scenario.object("workloadentries", NAME);
    let entry = scenario.kubectl().get(&path)?;
    let all = entry["status"]["conditions"].as_array().cloned();
    let all = all.unwrap_or_default();
    let health = all.iter().find(|condition| condition["type"] == "Healthy");
    Ok(health.is_some_and(|health| health["status"] == wanted))
}
