//! The resource `mesh_vm_workload`.
//!
//! ```text
//! config -> Input -> Workload ─┐
//!                      Facts ──┴-> render -> Desired ─┬-> objects -> cluster
//!                                                     └-> bundle  -> VM -> Output
//! state  -> Input -> Workload, Facts -> render -> Desired ─┐
//!                        ObservedObjects, ObservedVm ──────┴-> compare -> Drift -> Output
//! ```
//!
//! **Invariant**: nothing computed enters an input, and no output reaches `render`.
//!
//! The files in the order of their imports: `output` and `input`; `joining`; `meaning`, `steps`, `prior`, `archive`, `place` and `preflight`; `plan` and
//! `runner`; `import`, `read`, `destroy` and `apply`.

mod apply;
pub(crate) mod archive;
mod destroy;
pub(crate) mod import;
pub(crate) mod input;
mod joining;
mod meaning;
pub(crate) mod output;
mod place;
mod plan;
mod preflight;
mod prior;
pub(crate) mod read;
pub(crate) mod runner;
pub(crate) mod steps;

use mesh::change::Effect;
use mesh::workload::Workload;
use plugin::{
    Deadline, Diagnostics, Done, Import, ImportId, Imported, Paths, Planned, Resource, Rule, Stage,
};
use tokio::time::Instant;

use crate::context::Context;
use crate::declared::proxy::check_proxy;
use crate::declared::scalars::PortNumber;
use crate::declared::sidecar::without_hosts;
use crate::declared::ssh::SshInput;
use crate::declared::vm_address;
use crate::{messages, rule};
use apply::Target;
use input::WorkloadInput;
use output::WorkloadOutput;
use prior::Prior;

/// A VM that is a member of the mesh.
pub(crate) struct VmWorkload;

impl Resource for VmWorkload {
    const NAME: &'static str = "mesh_vm_workload";
    const IDENTITY: &'static [&'static str] = &["namespace", "name"];

    type Input = WorkloadInput;
    type Output = WorkloadOutput;
    type Context = Context;

    fn describe_rule(rule: Rule) -> &'static str {
        match rule::effect(rule) {
            Effect::Nothing => "",
            Effect::Objects => "Changing it updates only the mesh objects.",
            Effect::Rebootstrap => "Changing it re-bootstraps the VM in place.",
            Effect::Replace => "Changing it replaces the workload.",
        }
    }

    fn check(input: &WorkloadInput, unknown: &Paths) -> Diagnostics {
        let mut diagnostics = Diagnostics::none();
        if let Some(workload) = input.workload() {
            diagnostics.append(check_workload(&workload, input, unknown));
        }
        diagnostics.append(
            input
                .ssh
                .known()
                .map(SshInput::check_alone)
                .unwrap_or_default(),
        );
        diagnostics.extend(without_hosts(&input.sidecar));
        diagnostics.append(joining::check(input));
        diagnostics.extend(check_proxy(&input.proxy));
        diagnostics
    }

    fn check_configured(context: &Context, input: &WorkloadInput, unknown: &Paths) -> Diagnostics {
        let block = context.ssh().ok();
        let ssh = input.ssh.known().zip(block);
        ssh.map(|(ssh, block)| vm_address::check(ssh, block, unknown))
            .unwrap_or_default()
    }

    fn meaning(input: &WorkloadInput) -> WorkloadInput {
        meaning::meaning(input)
    }

    fn plan(stage: &Stage<'_, Self>) -> Planned<Self::Output> {
        match stage {
            Stage::Create { next } => plan::created(next).into(),
            Stage::Update {
                prior: input,
                output,
                next,
                edits,
            } => plan::updated(Prior { input, output }, next, edits).into(),
            Stage::Delete { prior, output } => plan::deleted(prior, output),
        }
    }

    async fn apply(
        context: &Context,
        stage: &Stage<'_, Self>,
        deadline: &Deadline,
        reached: &mut Option<WorkloadOutput>,
    ) -> Done {
        match stage {
            Stage::Create { next } => {
                let target = Target {
                    prior: None,
                    next,
                    decision: plan::created(next),
                };
                apply::apply(context, target, deadline, reached).await
            }
            Stage::Update {
                prior: input,
                output,
                next,
                edits,
            } => {
                let prior = Prior { input, output };
                let target = Target {
                    prior: Some(prior),
                    next,
                    decision: plan::updated(prior, next, edits),
                };
                apply::apply(context, target, deadline, reached).await
            }
            Stage::Delete {
                prior: input,
                output,
            } => destroy::destroy(context, Prior { input, output }, deadline, reached).await,
        }
    }

    async fn read(
        context: &Context,
        input: &WorkloadInput,
        deadline: Instant,
        reached: &mut Option<WorkloadOutput>,
    ) -> Done {
        read::read(context, input, deadline, reached).await
    }
}

/// Checks the domain's rules, those of the connection's port, and warns of what no rule forbids.
fn check_workload(workload: &Workload, input: &WorkloadInput, unknown: &Paths) -> Diagnostics {
    let mut problems = mesh::validate::validate(workload);
    let sshd = input.ssh.known().and_then(|ssh| ssh.port.known());
    if let Some(PortNumber(sshd)) = sshd {
        problems.extend(mesh::validate::validate_sshd(workload, *sshd));
    }
    let mut diagnostics = messages::problems(problems, unknown);
    let excluded = &workload.proxy.exclude_cidrs;
    diagnostics.extend(
        excluded
            .iter()
            .filter(|cidr| mesh::validate::bypasses_everything(cidr))
            .map(messages::everything_bypasses),
    );
    diagnostics.extend(messages::of_pods_in_env(workload));
    diagnostics
}

impl Import for VmWorkload {
    async fn import(
        context: &Context,
        id: &ImportId,
        _deadline: Instant,
    ) -> Result<Imported<WorkloadInput, WorkloadOutput>, Diagnostics> {
        import::import(context, id).await
    }
}
