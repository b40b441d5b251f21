//! The proxy in a container, with a replaced engine.

use std::fs;

use crate::stage::{SHELLS, Stage};

/// Everybody on the VM may read arguments; an image need not have a shell to read a file with.
#[test]
fn a_container_gets_its_settings_by_name() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let root = stage.root.path().display().to_string();
        fs::create_dir_all(stage.path("lib/envoy")).unwrap();
        fs::create_dir_all(stage.path("lib/mesh")).unwrap();
        fs::create_dir_all(stage.path("log")).unwrap();
        let env = "ISTIO_SVC_IP=10.0.0.5\nISTIO_NAMESPACE=bookinfo\nOTHER='a canary'\n";
        fs::write(stage.path("lib/envoy/cluster.env"), env).unwrap();
        fs::write(stage.path("lib/mesh/engine"), "stand_in\n").unwrap();
        fs::write(stage.path("lib/mesh/image"), "sha256:1\nistio/proxyv2:1\n").unwrap();
        let own = format!(
            "proxy_script | sed '/^grant_dirs()/,/^}}/d; s#^istio_dir=.*#istio_dir={root}/lib#; s#^LOG_DIR=.*#LOG_DIR={root}/log#; s#^CONTAINER_ID_FILE=/run/#CONTAINER_ID_FILE={root}/#; s/exec \"/\"/' >\"$state_dir/proxy\"
             id() {{ emit 998; }}; hostname() {{ emit vm; }}; grant_dirs() {{ :; }}
             setpriv() {{ emit \"$*\" >>\"$run_dir/users\"; shift 5; \"$@\"; }}
             stand_in() {{ case $1 in run) emit \"$* is $OTHER at $INSTANCE_IP in $POD_NAMESPACE\" ;; esac; }}
             run() {{ (set -- \"$1\"; state_dir=; eval \"$(sed 's#^state_dir=.*#state_dir={root}/lib/mesh#' {root}/lib/mesh/proxy)\"; wait); }}
             run start; cat \"{root}/log/istio.log\""
        );
        let printed = stage.part(&own).replace(&root, "ROOT");
        let calls: Vec<&str> = printed.lines().collect();
        assert_eq!(calls.len(), 3, "{shell}: {printed}");
        // The log is in a directory of the proxy's, where root would write through any link.
        let users = fs::read_to_string(stage.path("users")).unwrap();
        assert_eq!(
            users.matches("--reuid 998 --regid 998").count(),
            2,
            "{shell}: {users}"
        );
        for (call, ending) in
            calls
                .iter()
                .zip(["istio-iptables --cleanup-only", "istio-iptables", "proxy"])
        {
            let (words, values) = call.split_once(" is ").unwrap();
            assert_eq!(values, "a canary at 10.0.0.5 in bookinfo", "{shell}");
            assert!(words.ends_with(&format!(" sha256:1 {ending}")), "{words}");
            assert!(words.contains(" --env OTHER --env INSTANCE_IP "), "{words}");
            assert!(
                !words.contains("canary") && !words.contains("bookinfo"),
                "{words}"
            );
        }
    }
}

/// Removing the image removes the container, too: the rules would redirect all traffic to a proxy that is gone.
#[test]
fn the_rules_go_with_the_proxy_though_its_image_is_gone() {
    const SAVED: &str = "*nat
:PREROUTING ACCEPT [0:0]
:ISTIO_INBOUND - [0:0]
:MESH_IN - [0:0]
-A PREROUTING -j MESH_IN
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
COMMIT
";
    const SWEPT: &str =
        "*nat\n-D PREROUTING -p tcp -j ISTIO_INBOUND\n-F ISTIO_INBOUND\n-X ISTIO_INBOUND\nCOMMIT\n";
    for shell in SHELLS {
        // Where somebody else makes the rules, they are theirs.
        for (settings, swept) in [("", SWEPT), ("ISTIO_CUSTOM_IP_TABLES=true\n", "")] {
            let stage = Stage::new(shell);
            let root = stage.root.path().display().to_string();
            for folder in ["lib/envoy", "lib/mesh"] {
                fs::create_dir_all(stage.path(folder)).unwrap();
            }
            fs::write(stage.path("lib/envoy/cluster.env"), settings).unwrap();
            fs::write(stage.path("lib/mesh/engine"), "stand_in\n").unwrap();
            fs::write(stage.path("lib/mesh/image"), "sha256:1\nistio/proxyv2:1\n").unwrap();
            crate::rules::stand_in(&stage, "iptables-nft", SAVED);
            let own = format!(
                "PATH=$run_dir:$PATH; iptables_tools() {{ emit iptables-nft; }}; stand_in() {{ return 1; }}; hostname() {{ emit vm; }}
                 proxy_script | sed '/^iptables_tools()/,/^}}/d; s#^istio_dir=.*#istio_dir={root}/lib#; s#^LOG_DIR=.*#LOG_DIR={root}/log#; s#^CONTAINER_ID_FILE=/run/#CONTAINER_ID_FILE={root}/#; s#^state_dir=.*#state_dir={root}/lib/mesh#' >\"$run_dir/script\"
                 (set -- clean; . \"$run_dir/script\") && emit cleaned; true"
            );
            assert_eq!(stage.part(&own), "cleaned\n", "{shell}");
            let got = fs::read_to_string(stage.path("iptables-nft-restore.got"));
            assert_eq!(got.unwrap_or_default(), swept, "{shell}: {settings}");
        }
    }
}

/// Its proxy may run on for long, and would not start again.
#[test]
fn an_image_that_is_gone_is_reported_unless_the_engine_does_not_answer() {
    let cases = [
        ("'image inspect sha256:1') ;;", ""),
        ("'image inspect name:1') ;;", ""),
        ("'images --quiet') ;;", "the image name:1\n"),
        ("none) ;;", ""),
    ];
    for shell in SHELLS {
        for (answered, expected) in cases {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("lib/mesh")).unwrap();
            let asked = format!(
                "stand_in() {{ case $* in {answered} *) return 1 ;; esac; }}; missing_image; true"
            );
            assert_eq!(stage.part(&asked), "", "{shell}: no container");
            fs::write(stage.path("lib/mesh/engine"), "stand_in\n").unwrap();
            fs::write(stage.path("lib/mesh/image"), "sha256:1\nname:1\n").unwrap();
            assert_eq!(stage.part(&asked), expected, "{shell}: {answered}");
        }
    }
}

/// When is pulled is the matter of a bootstrap, by `proxy.pull_policy`. Engines of long ago have no `--pull` for `run`, or one
/// without a value.
#[test]
fn a_start_runs_an_image_that_is_there_and_pulls_none() {
    let cases = [
        (
            "--pull string   Pull image before running",
            "sha256:1",
            "run --rm --pull=never sha256:1",
        ),
        (
            "--pull policy   Pull image policy",
            "name:1",
            "run --rm --pull=never name:1",
        ),
        (
            "--pull          Pull image before running",
            "sha256:1",
            "run --rm sha256:1",
        ),
        (
            "--rm            Remove it when it ends",
            "name:1",
            "run --rm name:1",
        ),
        (
            "--pull string   Pull image before running",
            "none",
            "error: the VM has no image name:1",
        ),
    ];
    for shell in SHELLS {
        for (help, there, expected) in cases {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("lib/mesh")).unwrap();
            let own = format!(
                "stand_in() {{ case $* in 'run --help') emit '  {help}' ;; \"image inspect {there}\") ;; *) return 1 ;; esac; }}
                 engine=stand_in image=sha256:1 image_name=name:1
                 proxy_script | sed -n '/^find_image/,/^fi$/p' >\"$run_dir/parts\"; . \"$run_dir/parts\"
                 find_image 2>&1 && emit run --rm $pull_option \"$image\"; true"
            );
            let printed = stage.part(&own);
            assert!(printed.starts_with(expected), "{shell}: {printed}");
        }
    }
}

/// Whatever its labels and options: an engine gives no two containers one id. One that is between two starts is not there.
#[test]
fn a_container_that_the_unit_did_not_start_is_reported() {
    let cases = [
        (Some("1"), "emit 1", ""),
        (Some("1"), "emit 2", "the container istio-proxy\n"),
        (Some("1"), "false", ""),
        // What an older program wrote starts its container without telling which it is.
        (None, "emit 2", ""),
    ];
    for shell in SHELLS {
        for (started, inspect, expected) in cases {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("lib/mesh")).unwrap();
            fs::write(stage.path("lib/mesh/engine"), "stand_in\n").unwrap();
            fs::write(stage.path("lib/mesh/sums"), "").unwrap();
            if let Some(id) = started {
                fs::write(stage.path("cid"), id).unwrap();
            }
            let asked = format!("stand_in() {{ {inspect}; }}; changed_files; true");
            assert_eq!(
                stage.part(&asked),
                expected,
                "{shell}: {started:?}, {inspect}"
            );
        }
    }
}
