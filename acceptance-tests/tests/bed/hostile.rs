//! User input reaches the VM and the objects as data, never as shell code.

use acceptance_tests::workload::{NAME, Workload, fails};
use acceptance_tests::{Done, Failure, Scenario};
use contract::Severity;
use serde_json::{Value as Json, json};

/// File that a string creates if it is executed as a command.
const MARK: &str = "/tmp/mesh-hostile";

fn strings() -> Vec<String> {
    vec![
        format!("$(touch {MARK})"),
        format!("`touch {MARK}`"),
        format!("'; touch {MARK}; '"),
        format!("\"; touch {MARK}; \""),
        format!("a\ntouch {MARK}\nend {MARK}"),
        r"back\slash \n \0 %s %n ${HOME} $HOME ~ * ? [a] !! #".to_owned(),
        "it's \"quoted\" 'twice' \t tab \r return".to_owned(),
        "Überraschung 日本語 🦀 \u{202e}rtl".to_owned(),
        "-oProxyCommand=x".to_owned(),
        "end\nbegin 0\nreport committed\n".to_owned(),
    ]
}

#[tokio::test]
async fn hostile_strings_arrive_unchanged() -> Done {
    let scenario = Scenario::begin("hostile")?;
    let mut workload = Workload::new(&scenario)?;
    for (at, text) in strings().into_iter().enumerate() {
        // A second line in the environment would be another variable.
        if !text.contains(char::is_control) {
            workload.config["env"][format!("HOSTILE_{at}")] = json!(text);
        }
        workload.config["annotations"][format!("example.com/hostile-{at}")] = json!(text);
        workload.config["triggers"][&text] = json!(text);
    }
    workload.config["labels"]["example.com/Odd_key.1"] = json!("Odd_value.-1");
    workload.converge().await?;

    let path = scenario.object("workloadentries", NAME);
    let entry = scenario.kubectl().get(&path)?;
    for (at, text) in strings().into_iter().enumerate() {
        let annotation = format!("example.com/hostile-{at}");
        assert_eq!(entry["metadata"]["annotations"][annotation], json!(text));
        if text.contains(char::is_control) {
            continue;
        }
        let name = format!("HOSTILE_{at}");
        let sourced = format!(". /var/lib/istio/envoy/cluster.env; printf %s \"${name}\"");
        for shell in ["dash", "bash"] {
            let output = scenario.vm.exec(&[shell, "-c", &sourced])?;
            assert_eq!(output.stdout, text, "{shell}: {}", output.stderr);
        }
    }
    let labels = &acceptance_tests::proxy(&scenario.vm)?["metadata"]["LABELS"];
    assert_eq!(labels["example.com/Odd_key.1"], "Odd_value.-1");
    assert_eq!(
        entry["spec"]["labels"]["example.com/Odd_key.1"],
        "Odd_value.-1"
    );
    unmarked(&scenario)
}

#[tokio::test]
async fn a_multi_line_variable_is_rejected_with_its_path() -> Done {
    let scenario = Scenario::begin("hostile-lines")?;
    for text in strings() {
        let mut workload = Workload::new(&scenario)?;
        if text.contains(char::is_control) {
            workload.config["env"]["LINES"] = json!(text);
            fails(&workload.apply().await?, "env-value", &["env.LINES"])?;
            assert!(workload.state.is_none());
        }
    }
    Ok(())
}

/// Invalid names and addresses are rejected with their path before anything is written.
#[tokio::test]
async fn hostile_names_are_rejected_with_their_path() -> Done {
    let scenario = Scenario::begin("hostile-names")?;
    let places = [
        "/namespace",
        "/name",
        "/address",
        "/labels/version",
        "/service_account",
        "/network",
        "/locality",
        "/services/ratings/hosts/0",
        "/services/ratings/ports/http/protocol",
        "/sidecar/egress_hosts/0",
        "/ssh/host",
        "/ssh/user",
        "/ssh/host_key",
        "/proxy/install/url",
        "/proxy/install/sha256",
        "/proxy/interception",
        "/proxy/exclude_cidrs/0",
    ];
    for place in places {
        for text in strings() {
            let mut workload = Workload::new(&scenario)?;
            workload.config["proxy"]["exclude_cidrs"] = json!(["10.0.0.0/8"]);
            put(&mut workload.config, place, json!(text));
            let reported = workload.apply().await?;
            let error = reported.iter().find(|one| one.severity == Severity::Error);
            let error = error.ok_or_else(|| Failure::new(format!("{place} takes {text:?}")))?;
            let first = place.split('/').nth(1).unwrap_or_default();
            let at = error
                .path
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                at.contains(first),
                "{place} {text:?}: the path is {at:?} of {error}"
            );
        }
    }
    assert_eq!(scenario.objects()?, [""; 0]);
    unmarked(&scenario)
}

fn put(config: &mut Json, place: &str, value: Json) {
    let (above, name) = place.rsplit_once('/').unwrap_or_default();
    match config.pointer_mut(above) {
        Some(Json::Array(items)) => items[0] = value,
        Some(object) => object[name] = value,
        None => {}
    }
}

fn unmarked(scenario: &Scenario) -> Done {
    assert!(
        !std::path::Path::new(MARK).exists(),
        "a string was run on this machine"
    );
    assert!(
        !scenario.vm.exec(&["test", "-e", MARK])?.success(),
        "a string was run on the VM"
    );
    Ok(())
}
