//! The proxy in a container, under Docker and under Podman.

use acceptance_tests::workload::{Workload, fails, holds, texts};
use acceptance_tests::{Done, Failure, Result, Scenario, listing, wait_for};
use bed::Machine;
use serde_json::{Value as Json, json};

use crate::demo::{call_vm, can_call_pod};

/// Builds an image like Istio's: the agent, Envoy, iptables and their libraries, without a shell.
const IMAGE: &str = r#"
set -e
mkdir -p /root/image
curl -fsS "$URL" -o /root/package.deb
dpkg -x /root/package.deb /root/image
cd /
tar -c bin sbin lib lib64 usr/sbin usr/lib64 usr/lib/*-linux-gnu etc/alternatives etc/protocols \
  --exclude=usr/sbin/sshd -C /root/image usr/local var >/root/image.tar
for tag in one two; do
  $ENGINE import --change 'ENTRYPOINT ["/usr/local/bin/pilot-agent"]' /root/image.tar "localhost/istio/proxyv2:$tag"
done
rm -rf /root/image /root/image.tar /root/package.deb
"#;

/// Prints the start time of the proxy.
const SINCE: &str = "systemctl show --property=ExecMainStartTimestampMonotonic istio";

/// Rotates a log of the proxy like logrotate with our rules, `su istio-proxy istio-proxy` and `copytruncate`.
const ROTATES: &str = r#"
set -e
grep -q copytruncate /etc/logrotate.d/mesh-vm
log=/var/log/istio/istio.err.log
[ -s "$log" ] || log=/var/log/istio/istio.log
[ -s "$log" ]
user=$(sed -n 's/^ *su \([^ ]*\) .*/\1/p' /etc/logrotate.d/mesh-vm)
setpriv --reuid "$user" --regid "$user" --init-groups sh -c 'cp "$0" "$0.1" && : >"$0" && rm "$0.1"' "$log"
"#;

/// Istio's rules in each backend.
const RULES: &str = "for tool in iptables-nft iptables-legacy; do echo $tool; $tool-save 2>/dev/null | grep '^-A.*ISTIO_' || :; done";

/// Starts a scenario whose VM has the engines and the images.
fn equipped(name: &str, engine: &str) -> Result<Scenario> {
    let mut scenario = Scenario::begin(name)?;
    scenario.vm = scenario.vm.rebuild_with_engines()?;
    let vm = scenario.vm.clone();
    vm.wait_until_up()?;
    vm.shell("systemctl start ratings")?;
    let (url, _) = scenario.package();
    vm.shell(&format!("ENGINE={engine} URL={url}\n{IMAGE}"))?;
    Ok(scenario)
}

/// Joins, changes the image, rejects a wrong one, and leaves.
async fn lives_in_a_container(engine: &str) -> Done {
    let scenario = equipped(engine, engine)?;
    let vm = scenario.vm.clone();
    let before = listing(&vm)?;

    let mut workload = Workload::new(&scenario)?;
    workload.config["proxy"] = contained(engine, "one");
    workload.converge().await?;
    call_vm(&scenario)?;
    can_call_pod(&scenario)?;
    // Only the engine has its arguments, and they contain no secret.
    let words = vm.shell("ps -eo args")?;
    assert!(
        words.contains("--env POD_NAME") && !words.contains(&scenario.namespace),
        "{words}"
    );
    // From its first start on, a bootstrap reports what it pulls, and the logs can be rotated.
    assert!(words.contains("--pull=never"), "{words}");
    vm.shell(ROTATES)?;

    workload.config["proxy"]["image"] = json!("localhost/istio/proxyv2:two");
    let reasons = format!(
        "{:?}",
        workload.plan().await?.planned["last_bootstrap_reasons"]
    );
    assert!(
        reasons.contains("proxy.image: localhost/istio/proxyv2:one -> localhost/istio/proxyv2:two"),
        "{reasons}"
    );
    workload.converge().await?;
    call_vm(&scenario)?;

    needs_its_image(&mut workload, &vm, engine).await?;
    call_vm(&scenario)?;

    survives(&scenario, &mut workload, engine).await?;
    if engine == "podman" {
        loses_its_image(&scenario, &mut workload).await?;
    }
    workload.destroy().await?;
    assert_eq!(scenario.objects()?, [""; 0]);
    assert_eq!(vm.shell(&format!("{engine} ps --all --quiet"))?, "");
    let left = listing(&vm)?.since(&before);
    assert!(left.iter().all(|line| is_of_the_engine(line)), "{left:#?}");
    Ok(())
}

/// Responds with 404 on port 5001, and not at all on port 5002.
const REGISTRIES: &str = "
systemd-run --quiet --unit=empty python3 -m http.server 5001 --bind 127.0.0.1 --directory /var/empty
systemd-run --quiet --unit=silent python3 -c 'import signal, socket; s = socket.create_server((\"127.0.0.1\", 5002)); signal.pause()'
until ss -Hltn | grep -q :5001 && ss -Hltn | grep -q :5002; do sleep 0.1; done
";

/// An unavailable image does not stop the current proxy.
async fn needs_its_image(workload: &mut Workload, vm: &Machine, engine: &str) -> Done {
    let (state, config, started) = (
        workload.state.clone(),
        workload.config.clone(),
        vm.shell(SINCE)?,
    );
    vm.shell(REGISTRIES)?;
    let missing = "localhost/istio/proxyv2:three";
    let unanswered = if engine == "docker" {
        "404"
    } else {
        "pinging container registry 127.0.0.1:5001"
    };
    let cases = [
        (
            missing,
            "Never",
            "the VM has no image localhost/istio/proxyv2:three",
        ),
        ("127.0.0.1:5001/istio/proxyv2:one", "Always", unanswered),
        (
            "127.0.0.1:5002/istio/proxyv2:one",
            "IfNotPresent",
            "did not arrive within",
        ),
    ];
    for (image, policy, words) in cases {
        workload.config["proxy"]["image"] = json!(image);
        workload.config["proxy"]["pull_policy"] = json!(policy);
        workload.config["timeouts"]["update"] = json!("20s");
        fails(&workload.apply().await?, "vm-reverted", &[words])?;
        assert_eq!(vm.shell(SINCE)?, started);
        workload.state.clone_from(&state);
    }
    workload.config = config;
    Ok(())
}

/// Creates a container in addition to the unit's, with its labels but without the host's network.
const IMPOSTOR: &str = r#"
image=localhost/istio/proxyv2:two
$ENGINE rename istio-proxy away
$ENGINE run --rm --detach --name istio-proxy --label "mesh-vm.image=$image" $image wait --timeoutSeconds 120
"#;

/// Reports a foreign container in its place and replaces it; runs again after a reboot.
async fn survives(scenario: &Scenario, workload: &mut Workload, engine: &str) -> Done {
    let vm = &scenario.vm;
    vm.shell(&format!("ENGINE={engine}\n{IMPOSTOR}"))?;
    workload.refresh().await?;
    let lines = workload.drift("vm");
    let of_the_container =
        |line: &String| line.starts_with("proxy: the container istio-proxy is not");
    assert!(lines.iter().any(of_the_container), "{lines:#?}");
    workload.converge().await?;
    assert_eq!(
        vm.shell(&format!("{engine} ps --all --format '{{{{.Names}}}}'"))?
            .trim(),
        "istio-proxy"
    );
    // The user starts another container manually.
    let by_hand = format!(
        "systemctl stop istio; {engine} run --rm --detach --name istio-proxy localhost/istio/proxyv2:one wait --timeoutSeconds 60"
    );
    vm.shell(&by_hand)?;
    workload.refresh().await?;
    assert_eq!(
        workload.drift("vm"),
        [
            "proxy: image is '', should be 'localhost/istio/proxyv2:two'",
            "proxy: the unit istio is 'inactive', should be 'active'",
        ]
    );
    workload.converge().await?;
    if engine == "docker" {
        // The container stops with its engine, and the unit starts another one.
        vm.shell("systemctl restart docker")?;
        crate::ready(vm)?;
        workload.refresh().await?;
        assert_eq!(workload.drift("vm"), [""; 0]);
    }
    vm.reboot()?;
    vm.shell("systemctl start ratings")?;
    crate::ready(vm)?;
    call_vm(scenario)
}

/// The user removes the image and its container: no rules redirect to a proxy that does not exist.
async fn loses_its_image(scenario: &Scenario, workload: &mut Workload) -> Done {
    let vm = &scenario.vm;
    vm.shell(
        "podman save --quiet --output /root/two.tar localhost/istio/proxyv2:two
         podman rmi --force $(podman inspect --format '{{.Image}}' istio-proxy)",
    )?;
    wait_for("Istio's rules are gone", || {
        Ok::<_, Failure>(!vm.shell(RULES)?.contains("ISTIO_"))
    })?;
    workload.refresh().await?;
    assert_eq!(
        workload.drift("vm"),
        ["proxy: the image localhost/istio/proxyv2:two is not as the bootstrap left it"]
    );
    vm.shell("podman load --quiet --input /root/two.tar; rm /root/two.tar")?;
    crate::ready(vm)?;
    workload.refresh().await?;
    assert_eq!(workload.drift("vm"), [""; 0]);
    call_vm(scenario)
}

/// Returns true for files that an engine creates at its first use and keeps. Podman also asks rpm for its package, and
/// leaves downloads when it is terminated.
fn is_of_the_engine(line: &str) -> bool {
    [
        "docker",
        "containerd",
        "containers",
        "runc",
        "crun",
        "libpod",
        "/cni",
        "netns",
        "/.rpmdb",
        "/var/tmp/storage",
    ]
    .iter()
    .any(|name| line.contains(name))
}

/// Returns what runs on the VM: the package, and a container of each engine.
fn runs(vm: &Machine) -> Result<String> {
    Ok(vm.shell(
        "dpkg-query -W -f '${Package} ' istio-sidecar 2>/dev/null; for engine in docker podman; do \
         [ -z \"$($engine ps --quiet --filter name=istio-proxy)\" ] || printf '%s ' $engine; done",
    )?)
}

/// If the engine fails, or the container sets its rules and keeps exiting, the previous runtime is kept.
async fn refuses(workload: &mut Workload, vm: &Machine) -> Done {
    let (state, config) = (workload.state.clone(), workload.config.clone());
    let (started, rules) = (vm.shell(SINCE)?, vm.shell(RULES)?);
    let cases = [
        (
            "podman",
            "mv /usr/bin/podman /usr/bin/podman-away",
            "mv /usr/bin/podman-away /usr/bin/podman",
            "podman is not installed",
        ),
        (
            "docker",
            "systemctl stop docker.socket docker",
            "systemctl start docker",
            "Cannot connect to the Docker daemon",
        ),
    ];
    for (engine, broken, mended, words) in cases {
        vm.shell(broken)?;
        workload.config["proxy"] = contained(engine, "one");
        let reported = workload.apply().await?;
        vm.shell(mended)?;
        fails(&reported, "vm-reverted", &[words])?;
        assert_eq!(vm.shell(SINCE)?, started);
        workload.state.clone_from(&state);
    }
    workload.config["proxy"] = contained("docker", "ends");
    // One minute until the timeout, plus the rollback.
    workload.config["timeouts"]["update"] = json!("4m");
    let words = ["the VM is as it was", "Envoy exited with error"];
    fails(&workload.apply().await?, "vm-reverted", &words)?;
    assert_eq!(runs(vm)?, "istio-sidecar ");
    assert_eq!(vm.shell(RULES)?, rules);
    (workload.state, workload.config) = (state, config);
    Ok(())
}

fn contained(engine: &str, tag: &str) -> Json {
    json!({ "runtime": engine, "image": format!("localhost/istio/proxyv2:{tag}"), "pull_policy": "Never" })
}

#[tokio::test]
async fn a_runtime_replaces_another_and_leaves_nothing_of_it() -> Done {
    let scenario = equipped("runtimes", "docker")?;
    let vm = scenario.vm.clone();
    let image = "localhost/istio/proxyv2";
    vm.shell(&format!(
        "docker save {image}:one | podman load --quiet >/dev/null; docker create --name ends {image}:one >/dev/null; \
         docker cp /usr/bin/false ends:/usr/local/bin/envoy; docker commit ends {image}:ends >/dev/null; docker rm ends"
    ))?;
    let before = listing(&vm)?;
    let mut workload = Workload::new(&scenario)?;
    workload.config["proxy"]["runtime"] = json!("systemd");
    let packaged = workload.config["proxy"].clone();
    workload.converge().await?;
    refuses(&mut workload, &vm).await?;
    call_vm(&scenario)?;
    for (runtime, proxy, expected) in [
        ("docker", contained("docker", "one"), "docker "),
        ("podman", contained("podman", "one"), "podman "),
        ("systemd", packaged, "istio-sidecar "),
    ] {
        workload.config["proxy"] = proxy;
        let planned = workload.plan().await?;
        let reasons = format!("{:?}", planned.planned["last_bootstrap_reasons"]);
        assert!(reasons.contains(&format!("-> {runtime}")), "{reasons}");
        workload.converge().await?;
        assert_eq!(runs(&vm)?, expected);
        call_vm(&scenario)?;
        can_call_pod(&scenario)?;
        if runtime == "podman" {
            repairs(&mut workload, &vm).await?;
            // A removed container is recreated.
            vm.shell("podman rm --force istio-proxy >/dev/null")?;
            wait_for("the container is recreated", || {
                Ok::<_, Failure>(runs(&vm)? == expected)
            })?;
            crate::ready(&vm)?;
        }
    }
    workload.destroy().await?;
    let left = listing(&vm)?.since(&before);
    assert!(left.iter().all(|line| is_of_the_engine(line)), "{left:#?}");
    Ok(())
}

/// Both the unit and the container are checked.
async fn repairs(workload: &mut Workload, vm: &Machine) -> Done {
    const LOCAL: &str = "/etc/systemd/system/istio.service.d/local.conf";
    vm.shell("for f in /etc/systemd/system/istio.service /var/lib/istio/mesh/proxy; do echo '#' >>$f; done")?;
    vm.write(LOCAL, b"[Service]\nLimitNOFILE=65536\n")?;
    workload.refresh().await?;
    let line = |path: &str| format!("proxy: {path} is not as the bootstrap left it");
    let lines = [
        "/etc/systemd/system/istio.service",
        LOCAL,
        "/var/lib/istio/mesh/proxy",
    ]
    .map(line);
    assert_eq!(workload.drift("vm"), lines);
    // A foreign image is accepted, and its removal is reported.
    workload.converge().await?;
    vm.shell(&format!("rm {LOCAL}"))?;
    workload.refresh().await?;
    assert_eq!(workload.drift("vm"), [line(LOCAL)]);
    workload.converge().await
}

/// When Docker restarts, it puts its jump behind Istio's, so that the proxy receives traffic for a published port, which
/// a STRICT mesh rejects. At boot, Docker starts first.
async fn survives_a_restart(scenario: &Scenario, workload: &mut Workload) -> Done {
    const MOVED: &str = "proxy: rules are out of order: IPv4 nat, PREROUTING to DOCKER should come before ISTIO_INBOUND";
    const PREROUTING: &str =
        "iptables-save -t nat | sed -n 's/^-A PREROUTING .*-j //p' | tr '\\n' ' '";
    let vm = &scenario.vm;
    vm.shell("systemctl restart docker")?;
    assert_eq!(vm.shell(PREROUTING)?, "MESH_IN ISTIO_INBOUND DOCKER ");
    workload.refresh().await?;
    assert_eq!(workload.drift("vm"), [MOVED]);
    call_vm(scenario)?;
    let warnings = texts(&workload.apply().await?);
    if !warnings.contains("8080") {
        return Err(Failure::new(warnings));
    }
    assert_eq!(vm.shell(PREROUTING)?, "MESH_IN DOCKER ISTIO_INBOUND ");
    for _ in 0..2 {
        workload.refresh().await?;
        assert_eq!(workload.drift("vm"), [""; 0]);
        call_vm(scenario)?;
        vm.reboot()?;
        vm.shell("systemctl start ratings")?;
        crate::ready(vm)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_port_that_docker_publishes_bypasses_the_proxy_with_a_warning() -> Done {
    let scenario = equipped("published", "docker")?;
    let vm = scenario.vm.clone();
    let web = |publish: &str| {
        format!(
            "docker rm --force web >/dev/null 2>&1; docker run --detach --restart always --name web --publish {publish}:9901 --entrypoint /usr/local/bin/envoy \
             localhost/istio/proxyv2:one --config-yaml 'admin: {{address: {{socket_address: {{address: 0.0.0.0, port_value: 9901}}}}}}' >/dev/null"
        )
    };
    vm.shell(&web("8080"))?;
    let mut workload = Workload::new(&scenario)?;
    match &workload.apply().await?[..] {
        [warning] => holds(warning, "ports-bypass", &["8080", "127.0.0.1"])?,
        reported => return Err(Failure::new(texts(reported))),
    }
    call_vm(&scenario)?;
    let reached =
        |port: u16| scenario.pods[0].curl(&format!("http://{}:{port}/ready", vm.address), &[]);
    wait_for("the published port answers past a STRICT mesh", || {
        Ok::<_, Failure>(reached(8080)?.status == 200)
    })?;
    survives_a_restart(&scenario, &mut workload).await?;
    wait_for("the published port answers again", || {
        Ok::<_, Failure>(reached(8080)?.status == 200)
    })?;
    // On the loopback interface, it is an application like any other.
    vm.shell(&web("127.0.0.1:8080"))?;
    workload.config["services"]["web"] = json!({
        "hosts": [format!("web.{}", scenario.namespace)],
        "ports": { "http": { "number": 8080, "protocol": "HTTP" } },
    });
    workload.config["labels"]["web"] = json!("yes");
    workload.converge().await?;
    wait_for("the mesh reaches it", || {
        let answer = scenario.pods[0].curl(
            &format!("http://web.{}:8080/ready", scenario.namespace),
            &[],
        )?;
        Ok::<_, Failure>(answer.status == 200)
    })?;
    workload.destroy().await?;
    Ok(vm.shell("docker rm --force web").map(drop)?)
}

#[tokio::test]
async fn podman_runs_the_proxy() -> Done {
    lives_in_a_container("podman").await
}

#[tokio::test]
async fn docker_runs_the_proxy() -> Done {
    lives_in_a_container("docker").await
}
