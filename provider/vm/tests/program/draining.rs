//! Open requests end before the proxy stops.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::stage::{SHELLS, Stage};

/// Replaces the agent: each call answers with the next number of open requests, and the last one repeats.
const AGENT: &str = r#"#!/bin/sh
n=$(($(cat "$0.calls" 2>/dev/null) + 1)); echo $n >"$0.calls"
now=$(echo $NOW | cut -d ' ' -f $n); [ -n "$now" ] || now=${NOW##* }
echo "outbound|80||a::10.0.0.1:80::rq_active::5"
echo "inbound|9080||::127.0.0.1:9080::cx_active::7"
echo "inbound|9080||::127.0.0.1:9080::rq_active::$now"
echo "inbound|9080||::127.0.0.1:9080::rq_total::40"
echo "inbound|9081||::127.0.0.1:9081::rq_active::0"
echo "inbound|9081||::127.0.0.1:9081::rq_total::2"
"#;

/// Drains with an agent that reports these numbers. Returns the journal and the number of calls.
fn drained(shell: &'static str, now: &str, wait: u32) -> (String, u32) {
    let stage = Stage::new(shell);
    let agent = stage.path("bin/pilot-agent");
    fs::create_dir_all(stage.path("bin")).unwrap();
    fs::write(&agent, AGENT).unwrap();
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    stage.part(&format!(
        "export NOW='{now}'; mkdir \"$run_dir/in\" && emit {wait} >\"$run_dir/in/wait.drain\"; is_running() {{ :; }}; pause() {{ sleep 0.05; }}
         idle_requests=$(count_requests) idle_since=$(uptime); drain"
    ));
    let calls = fs::read_to_string(stage.path("bin/pilot-agent.calls")).unwrap();
    let log = fs::read_to_string(stage.path("log")).unwrap_or_default();
    (log, calls.trim().parse().unwrap())
}

#[test]
fn the_proxy_stops_when_no_request_is_open_or_time_is_over() {
    for shell in SHELLS {
        let (log, calls) = drained(shell, "0 3 2 1 0", 60);
        assert_eq!(log, "", "{shell}");
        assert!(calls > 5, "{shell}: {calls}");
        let (log, _) = drained(shell, "1", 1);
        assert!(log.starts_with("line "), "{shell}: {log:?}");
    }
}

/// Each question starts the agent, which costs a busy VM more than all else that waits.
#[test]
fn the_agent_is_asked_once_a_second_at_most() {
    for shell in SHELLS {
        let (log, calls) = drained(shell, "0", 60);
        assert_eq!(log, "", "{shell}");
        assert!(calls <= 4, "{shell}: {calls}");
    }
}

/// The agent asks only Envoy's usual admin port. Whatever asks the other one fails, and requests may be open: the proxy
/// stops when the time is over. Without an Envoy, nothing is open.
#[test]
fn a_count_that_failed_is_not_zero() {
    for shell in SHELLS {
        for (process, expected) in [
            (
                "envoy",
                "Envoy's admin API on port 15099 did not report how many requests were open",
            ),
            ("other", ""),
        ] {
            let stage = Stage::new(shell);
            let process_dir = stage.path("proc/1");
            fs::create_dir_all(&process_dir).unwrap();
            fs::write(process_dir.join("comm"), format!("{process}\n")).unwrap();
            fs::create_dir_all(stage.path("etc-istio/proxy")).unwrap();
            fs::write(stage.path("etc-istio/proxy/envoy-rev.json"), BOOTSTRAP).unwrap();
            stage.part(
                "mkdir \"$run_dir/in\" && emit 3 >\"$run_dir/in/wait.drain\"; PROC_DIR=$run_dir/proc
                 is_running() { :; }; curl() { return 7; }; as_proxy() { \"$@\"; }; drain",
            );
            let log = fs::read_to_string(stage.path("log")).unwrap_or_default();
            let said = log.trim().strip_prefix("line ").unwrap_or_default();
            let said = String::from_utf8(STANDARD.decode(said).unwrap()).unwrap();
            assert!(said.starts_with(expected), "{shell}: {said}");
            assert_eq!(said.is_empty(), expected.is_empty(), "{shell}: {said}");
        }
    }
}

/// Envoy answers HTTP/1.0 by an error, as anything that listens at the port may: that no cluster is in it says nothing.
#[test]
fn an_answer_that_tells_of_no_cluster_is_no_count() {
    let refusal = "HTTP/1.1 426 Upgrade Required\r\nconnection: close\r\n\r\nUpgrade Required";
    for shell in SHELLS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 512]);
                let _ = stream.write_all(refusal.as_bytes());
            }
        });
        let bash = format!("admin_port() {{ emit {port}; }}; have() {{ [ \"$1\" = bash ]; }}");
        let agent = format!("run_agent() {{ emit '{refusal}'; }}");
        for own in [bash, agent] {
            let stage = Stage::new(shell);
            let printed = stage.part(&format!(
                "{own}; as_proxy() {{ \"$@\"; }}; has_envoy() {{ :; }}; count_requests"
            ));
            assert_eq!(printed, "unknown\n", "{shell}: {own}");
        }
    }
}

/// An answer that ends too soon has only some of the clusters.
#[test]
fn an_answer_that_ends_too_soon_is_no_count() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let printed = stage.part(
            "run_agent() { emit 'inbound|9080||::127.0.0.1:9080::rq_active::0'; return 1; }; has_envoy() { :; }
             count_requests",
        );
        assert_eq!(printed, "unknown\n", "{shell}");
    }
}

/// As Envoy's bootstrap has it, behind other ports.
pub(crate) const BOOTSTRAP: &str = r#"{
  "node": { "metadata": { "admin": "x" } },
  "admin": {
    "access_log": [],
    "address": {
      "socket_address": {
        "address": "127.0.0.1",
        "port_value": 15099
      }
    }
  },
  "static_resources": { "listeners": [ { "address": { "socket_address": { "port_value": 15090 } } } ] }
}
"#;

#[test]
fn the_admin_port_is_that_of_the_running_proxy() {
    let texts = [
        ("etc-istio/proxy/envoy-rev.json", BOOTSTRAP, "15099\n"),
        (
            "etc-istio/config/mesh",
            "{\n  \"defaultConfig\": {\n    \"proxyAdminPort\": 15098,\n    \"statusPort\": 1\n}}",
            "15098\n",
        ),
        (
            "etc-istio/config/mesh",
            "defaultConfig:\n  proxy_admin_port: 15097\n",
            "15097\n",
        ),
        ("etc-istio/config/mesh", "defaultConfig: {}\n", "15000\n"),
    ];
    for shell in SHELLS {
        for (path, text, port) in texts {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path(path).parent().unwrap()).unwrap();
            fs::write(stage.path(path), text).unwrap();
            assert_eq!(stage.part("admin_port"), port, "{shell}: {text}");
        }
    }
}

/// `sidecar.env` comes first, as in Istio's start script.
#[test]
fn settings_are_those_that_the_start_script_reads() {
    let texts = [
        ("", "", "15021 /certs\n"),
        ("export ENVOY_STATUS_PORT=15031\n", "", "15031 /certs\n"),
        (
            "ENVOY_STATUS_PORT=1\n",
            "ENVOY_STATUS_PORT='15032'\n",
            "15032 /certs\n",
        ),
        (
            "OUTPUT_CERTS=\"/var/own certs\"\n",
            "",
            "15021 /var/own certs\n",
        ),
        ("OUTPUT_CERTS=./etc/other\n", "", "15021 /etc/other\n"),
    ];
    for shell in SHELLS {
        for (sidecar, cluster, expected) in texts {
            let stage = Stage::new(shell);
            let folder = stage.path("lib/envoy");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("sidecar.env"), sidecar).unwrap();
            fs::write(folder.join("cluster.env"), cluster).unwrap();
            let printed = stage.part("CERTS_DIR=/certs; emit \"$(health_port) $(certs_dir)\"");
            assert_eq!(printed, expected, "{shell}: {sidecar}{cluster}");
        }
    }
}

/// The certificate of an earlier start is none of this start.
#[test]
fn a_certificate_counts_where_the_agent_writes_it() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let folder = stage.path("lib/envoy");
        fs::create_dir_all(&folder).unwrap();
        let certs = stage.path("own");
        fs::create_dir_all(&certs).unwrap();
        let setting = format!("OUTPUT_CERTS={}\n", certs.display());
        fs::write(folder.join("sidecar.env"), setting).unwrap();
        let printed = stage.part(
            "is_ready() { :; }; certs=$run_dir/own
             touch -d '2020-01-01' \"$certs/cert-chain.pem\"; emit x >\"$certs/cert-chain.pem\"; touch -d '2020-01-01' \"$certs/cert-chain.pem\"
             emit 0 >\"$run_dir/sizes\"; is_certified || emit old
             touch -d '2020-01-01' \"$run_dir/sizes\"; emit y >\"$certs/cert-chain.pem\"; is_certified && emit new",
        );
        assert_eq!(printed, "old\nnew\n", "{shell}");
    }
}

#[test]
fn only_requests_from_others_count() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir_all(stage.path("bin")).unwrap();
        let agent = stage.path("bin/pilot-agent");
        fs::write(&agent, AGENT).unwrap();
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(
            stage.part("export NOW=3; count_requests"),
            "3 42\n",
            "{shell}"
        );
    }
}
