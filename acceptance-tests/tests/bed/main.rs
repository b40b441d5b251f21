//! Scenarios on the real bed, each with its own namespace and VM.
//!
//! They need root and a bed, which `cargo xtask test` brings up. Without a bed, they fail with instructions.

mod anywhere;
mod authorities;
mod between;
mod broken_proxy;
mod changes;
mod cluster;
mod clusters;
mod connections;
mod control_plane;
mod credentials;
mod demo;
mod destroy;
mod drift;
mod engines;
mod failures;
mod faults;
mod finalizers;
mod fleet;
mod health;
mod hops;
mod hostile;
mod hostile_vm;
mod identity;
mod import;
mod interrupted;
mod killed;
mod load;
mod logins;
mod machine;
mod networks;
mod objects;
mod offload;
mod owners;
mod past;
mod people;
mod quiet;
mod reconnects;
mod rivals;
mod rollout;
mod rotation;
mod rpm;
mod rules;
mod runtimes;
mod secrets;
mod silent;
mod starts;
mod steps;
mod unknown;
mod user_data;
mod verdicts;
mod versions;

use acceptance_tests::{Done, Result, wait_for};
use bed::Machine;

/// The workload of `scenarios/workload.tf`.
const WORKLOAD: &str = "mesh_vm_workload.ratings";

/// Returns the ID of the last run on a VM and the start time of its proxy. Both change with each bootstrap.
fn vm_state(vm: &Machine) -> Result<String> {
    Ok(vm.shell("cat /var/lib/istio/mesh/run/id; systemctl show --property=ExecMainStartTimestampMonotonic istio")?)
}

/// Waits until the proxy of a VM is ready.
fn ready(vm: &Machine) -> Done {
    wait_for("the proxy is ready", || {
        let answer = vm.curl("http://127.0.0.1:15021/healthz/ready", &[]);
        answer.map(|answer| answer.status == 200)
    })
}
