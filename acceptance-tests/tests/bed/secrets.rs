//! Secrets are only where they are used: the real `terraform` runs with full trace, and all of its output is searched.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use acceptance_tests::{Done, Failure, Result, Scenario, Terraform};
use bed::CANARY;
use serde_json::Value as Json;

/// Provider block with every credential set as a value.
const PROVIDER: &str = r#"
provider "mesh" {
  kubernetes = {
    host                   = HOST
    cluster_ca_certificate = file("FOLDER/ca.crt")
    client_certificate     = file("FOLDER/admin.crt")
    client_key             = file("FOLDER/admin.key")
  }
  istio = { control_plane_address = var.control_plane_address }
  ssh = {
    user       = var.user
    identity   = "bed"
    identities = { bed = { private_key = file(var.private_key_path) } }
  }
}
"#;
/// Prefix of every token of the API server: `{"alg":` in base64.
const TOKEN: &str = "eyJhbGci";

#[test]
fn no_secret_is_in_state_plan_log_process_list_or_readable_files() -> Done {
    let scenario = Scenario::begin("secrets")?;
    let terraform = Terraform::new(&scenario, "workload")?;
    let needles = use_values(&scenario, &terraform)?;
    scenario.vm.shell("touch /tmp/before")?;
    // Files that the provider writes while it bootstraps are searched as well: none of them contains a key.
    let temporary = terraform.path().join("tmp");
    fs::create_dir(&temporary)?;
    let watch = Watch::begin(needles.clone(), temporary.clone());
    let plan = terraform.plan(&[])?;
    let log = terraform.path().join("trace.log");
    let mut apply = terraform.command(&["apply", "-input=false", "saved.plan"]);
    let traced = apply
        .env("TF_LOG", "TRACE")
        .env("TF_LOG_PATH", &log)
        .env("TMPDIR", &temporary)
        .stdin(Stdio::null())
        .output()?;
    assert!(
        traced.status.success(),
        "{}",
        String::from_utf8_lossy(&traced.stderr)
    );
    let (seen, files) = watch.end()?;
    assert!(seen.is_empty(), "in the process list or a file: {seen:?}");
    for name in ["known_hosts", "identity.pub"] {
        assert!(files.contains(name), "no {name} was searched: {files:?}");
    }

    let trace = fs::read_to_string(&log)?;
    assert!(
        trace.contains("mesh_vm_workload.ratings"),
        "there is no trace"
    );
    let members = archive(&terraform, "saved.plan")?;
    assert!(members.contains("ratings"), "the plan file was not read");
    let state = fs::read_to_string(terraform.path().join("terraform.tfstate"))?;
    let said = [traced.stdout, traced.stderr].concat();
    let texts = [
        ("state", state),
        ("plan", plan.json.to_string()),
        ("plan file", members),
        ("trace", trace),
        ("output", String::from_utf8_lossy(&said).into_owned()),
    ];
    for (what, text) in texts {
        for needle in &needles {
            assert!(!text.contains(needle.as_str()), "{needle} is in the {what}");
        }
    }
    on_the_vm(&scenario, &needles)?;
    of_the_mesh(&scenario, &terraform)
}

/// Values that the mesh sets for each proxy may be secret, so a difference is reported only by name.
fn of_the_mesh(scenario: &Scenario, terraform: &Terraform) -> Done {
    let env = "/var/lib/istio/envoy/cluster.env";
    assert!(
        scenario
            .vm
            .read(env)?
            .contains(&format!("OF_THE_MESH={CANARY}"))
    );
    scenario
        .vm
        .shell(&format!("sed -i 's/^OF_THE_MESH=.*/&-edited/' {env}"))?;
    let log = terraform.path().join("drift.log");
    let plan = terraform
        .command(&["plan", "-input=false", "-out=drift.plan"])
        .env("TF_LOG", "TRACE")
        .env("TF_LOG_PATH", &log)
        .output()?;
    let output = String::from_utf8_lossy(&plan.stdout);
    assert!(output.contains("OF_THE_MESH differs"), "{output}");
    let state = fs::read_to_string(terraform.path().join("terraform.tfstate"))?;
    let texts = [
        output.into_owned(),
        fs::read_to_string(log)?,
        archive(terraform, "drift.plan")?,
        state,
    ];
    for (at, text) in texts.iter().enumerate() {
        assert!(!text.contains(CANARY), "the canary is in text {at}");
    }
    Ok(())
}

/// Replaces the provider block, and returns a line of each key and the prefix of a token.
fn use_values(scenario: &Scenario, terraform: &Terraform) -> Result<Vec<String>> {
    let folder = scenario.folder().join("cluster");
    let kubeconfig: Json =
        serde_json::from_str(&fs::read_to_string(scenario.kubectl().kubeconfig())?)?;
    let host = &kubeconfig["clusters"][0]["cluster"]["server"];
    let given = fs::read_to_string(terraform.path().join("provider.tf"))?;
    let (head, _) = given
        .split_once("provider \"mesh\"")
        .ok_or_else(|| Failure::new("provider.tf has no provider block"))?;
    let block = PROVIDER
        .replace("HOST", &host.to_string())
        .replace("FOLDER", &folder.display().to_string());
    terraform.write("provider.tf", &format!("{head}{block}"))?;
    let line = |path: PathBuf| -> Result<String> {
        let text = fs::read_to_string(path)?;
        text.lines()
            .nth(2)
            .map(str::to_owned)
            .ok_or_else(|| Failure::new("a key of one line"))
    };
    Ok(vec![
        line(scenario.vm.private_key_path.clone())?,
        line(folder.join("admin.key"))?,
        TOKEN.to_owned(),
    ])
}

/// Checks that only root and the proxy's user can read the token, and that nothing else contains it.
fn on_the_vm(scenario: &Scenario, needles: &[String]) -> Done {
    let vm = &scenario.vm;
    let token = "/var/run/secrets/tokens/istio-token";
    assert!(vm.read(token)?.starts_with(TOKEN));
    assert_eq!(
        vm.shell(&format!(
            "stat -c '%a %U' {token} {}",
            "/var/run/secrets/tokens"
        ))?,
        "600 istio-proxy\n700 istio-proxy\n"
    );
    assert_eq!(vm.shell("stat -c %a /etc/certs/key.pem")?, "600\n");
    for needle in needles {
        let find = format!(
            "find / \\( -path /proc -o -path /sys -o -path /dev -o -path /var/log/journal \\) -prune -o -type f -newer /tmp/before \
             -size -20M -exec grep -l -F -e {needle} {{}} + | sort; journalctl --quiet --no-pager | grep -F -c -e {needle}; true"
        );
        let holders = vm.shell(&find)?;
        let allowed = if needle == TOKEN {
            "/run/secrets/tokens/istio-token\n0\n".to_owned()
        } else {
            "0\n".to_owned()
        };
        assert_eq!(holders, allowed, "{needle}");
    }
    Ok(())
}

/// Reads every member of a zip archive as text.
pub(crate) fn archive(terraform: &Terraform, name: &str) -> Result<String> {
    let read = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nfor n in z.namelist(): sys.stdout.buffer.write(z.read(n))";
    let output = std::process::Command::new("python3")
        .args(["-c", read])
        .arg(terraform.path().join(name))
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Continuously searches the arguments and environment of all processes, including those on the VMs, and all files in
/// memory and in the provider's temporary folder.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Seen>,
}

/// Places where a secret was found, and the names of the searched files.
type Seen = (BTreeSet<String>, BTreeSet<String>);

impl Watch {
    fn begin(needles: Vec<String>, temporary: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let (mut seen, mut files) = (BTreeSet::new(), BTreeSet::new());
            while !stopped.load(Ordering::Relaxed) {
                for path in [&temporary, Path::new("/dev/shm")]
                    .into_iter()
                    .flat_map(files_below)
                {
                    let text = fs::read(&path).unwrap_or_default();
                    let text = String::from_utf8_lossy(&text);
                    if needles.iter().any(|needle| text.contains(needle.as_str())) {
                        seen.insert(path.display().to_string());
                    }
                    let name = path.file_name().unwrap_or_default();
                    files.insert(name.to_string_lossy().into_owned());
                }
                for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
                    for part in ["cmdline", "environ"] {
                        let text = fs::read(process.path().join(part)).unwrap_or_default();
                        let text = String::from_utf8_lossy(&text);
                        if needles.iter().any(|needle| text.contains(needle.as_str())) {
                            seen.insert(format!("{part}: {text}"));
                        }
                    }
                }
            }
            (seen, files)
        });
        Self { stop, thread }
    }

    fn end(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| Failure::new("the watch panicked"))
    }
}

/// Returns all regular files below a folder; some may be removed meanwhile.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path()),
            Ok(kind) if kind.is_file() => vec![entry.path()],
            _ => vec![],
        })
        .collect()
}
