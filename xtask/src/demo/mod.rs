//! `cargo xtask demo [--keep]`: a VM joins a real mesh, step by step, for an audience.
//!
//! All output is that of the programs, shortened to the relevant part. Everything is checked, so a successful demo has
//! proven what it shows.

mod scenes;
mod show;

use std::error::Error;
use std::time::Instant;

use acceptance_tests::{Failure, Result};
use bed::{Bed, Options};

use crate::arguments::WrongArguments;
use crate::cargo::{Profile, root};
use crate::terraform::Terraform;
use crate::testbed::bring_up;
use crate::tools;
use show::{say, title};

/// Default name of the demo's bed; others may run at the same time.
const BED: &str = "demo";

/// Brings up the bed, runs the demo, and takes down the bed.
///
/// # Errors
/// Fails if an argument is unknown, a requirement is missing on this machine, or a check of the demo fails.
pub(crate) fn run(args: &[&str]) -> std::result::Result<(), Box<dyn Error>> {
    let (keep, name) = match args {
        [] => (false, BED),
        ["--keep"] => (true, BED),
        ["--name", name] => (false, *name),
        ["--keep", "--name", name] | ["--name", name, "--keep"] => (true, *name),
        _ => return Err(WrongArguments.into()),
    };
    let start = Instant::now();
    tools::provide(&[], tools::Bed::Needed)?;
    let bed = up(name)?;
    let played = play(&bed);
    if keep {
        say(&by_hand(&bed, name));
    } else {
        eprintln!("demo: taking the bed down");
        bed.down().map_err(|error| error.chain())?;
    }
    played.map_err(|error| format!("demo: failed: {error}"))?;
    say(&format!(
        "demo: ok, all checks passed in {} s",
        start.elapsed().as_secs()
    ));
    Ok(())
}

fn up(name: &str) -> std::result::Result<Bed, String> {
    let options = Options {
        name: name.into(),
        vms: 1,
        pods: 1,
    };
    let (bed, provider) = bring_up(&options, Profile::Dev)?;
    if let Err(error) = provider {
        bed.down().map_err(|error| error.chain())?;
        return Err(error);
    }
    Ok(bed)
}

/// Runs the scenes in order.
fn play(bed: &Bed) -> Result<()> {
    let (Some(vm), Some(pod)) = (bed.vms.first(), bed.pods.first()) else {
        return Err(Failure::new("the bed has no VM or no pod"));
    };
    let example = root().join("examples/talk-demo");
    let terraform = Terraform::new(&example, bed.folder().join("talk-demo"), bed, vm)?;
    let mut stage = scenes::Stage {
        bed,
        vm,
        pod,
        terraform,
    };
    title("Before: a mesh with strict mutual TLS and a pod, and a VM outside of it");
    let before = stage.before()?;
    title("terraform plan: the VM is created in the same apply, so its address is unknown");
    stage.first_plan()?;
    title("terraform apply");
    stage.apply("the VM is a member")?;
    title("Pod and VM send requests to each other over mutual TLS");
    stage.calls()?;
    title("terraform plan, again");
    stage.nothing_to_do()?;
    title("A label changes: the plan shows the re-bootstrap of the VM and its reason");
    stage.relabel()?;
    title("Drift on the VM and in the cluster: the plan shows each difference, apply repairs it");
    stage.drift()?;
    title("terraform destroy: nothing is left");
    stage.destroy(&before)
}

/// Returns instructions to continue by hand.
fn by_hand(bed: &Bed, name: &str) -> String {
    let root = root().display();
    let folder = bed.folder().join("talk-demo");
    let config = bed.document()["terraform_cli_config"]
        .as_str()
        .unwrap_or_default();
    let kubectl = bed.kubectl();
    format!(
        "
== The bed is left up. To go on by hand:

    cd {folder}
    export TF_CLI_CONFIG_FILE={config}
    export KUBECONFIG={kubeconfig}
    terraform apply
    terraform apply -var version_label=v3
    {kubectl} --namespace bookinfo get workloadentry,serviceentry,sidecar
    terraform destroy     # when you have seen enough

  In {root}:

    cargo xtask testbed exec --name {name} vm-1 -- systemctl status istio
    cargo xtask testbed exec --name {name} vm-1 -- bash
    cargo xtask testbed exec --name {name} pod-1 -- curl --silent http://ratings.vm.bookinfo:9080/ratings/7
    cargo xtask testbed exec --name {name} vm-1 -- curl --silent http://pod-1.bookinfo:9080/hello
    cargo xtask testbed down --name {name}     # takes everything down
",
        folder = folder.display(),
        kubeconfig = kubectl.kubeconfig().display(),
        kubectl = kubectl.binary().display(),
    )
}
