//! Open requests end before the proxy stops.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

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
