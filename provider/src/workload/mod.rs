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

pub(crate) mod archive;
mod bootstrap;
pub(crate) mod clean;
mod create;
mod delete;
mod health;
pub(crate) mod import;
pub(crate) mod input;
mod join;
pub(crate) mod output;
pub(crate) mod plan;
mod planned;
mod prepare;
pub(crate) mod read;
mod stage;
mod update;

use mesh::change::Effect;
use plugin::{Diagnostics, Done, Import, ImportId, Paths, Planned, Resource, Rule, Stage};
use tokio::time::Instant;

use crate::context::Context;
use crate::declared::ssh::SshInput;
use crate::{messages, rule};
use input::WorkloadInput;
use output::WorkloadOutput;

/// A VM that is a member of the mesh.
pub(crate) struct VmWorkload;

impl Resource for VmWorkload {
    const NAME: &'static str = "mesh_vm_workload";
    const IDENTITY: &'static [&'static str] = &["namespace", "name"];

    type Input = WorkloadInput;
    type Output = WorkloadOutput;
    type Context = Context;

    fn tells(rule: Rule) -> &'static str {
        match rule::effect(rule) {
            Effect::Nothing => "",
            Effect::Objects => "Changing it updates only the mesh objects.",
            Effect::Rebootstrap => "Changing it re-bootstraps the VM in place.",
            Effect::Replace => "Changing it replaces the workload.",
        }
    }

    fn check(input: &WorkloadInput, unknown: &Paths) -> Diagnostics {
        let mut told = input
            .workload()
            .map(|workload| messages::problems(mesh::validate::validate(&workload), unknown))
            .unwrap_or_default();
        told.append(
            input
                .ssh
                .known()
                .map(SshInput::unverified)
                .unwrap_or_default(),
        );
        told.append(archive::check(input));
        told
    }

    fn plan(stage: &Stage<'_, Self>) -> Planned<Self::Output> {
        match stage {
            Stage::Create { next } => plan::created(next),
            Stage::Update {
                prior,
                output,
                next,
                edits,
            } => plan::updated(prior, output, next, edits),
            Stage::Delete { prior, output } => plan::deleted(prior, output),
        }
    }

    async fn apply(
        context: &Context,
        stage: &Stage<'_, Self>,
        deadline: Instant,
        reached: &mut Option<WorkloadOutput>,
    ) -> Done {
        match stage {
            Stage::Create { next } => create::create(context, next, deadline, reached).await,
            Stage::Update {
                prior,
                output,
                next,
                edits,
            } => {
                let update = stage::Update {
                    prior,
                    output,
                    next,
                    edits,
                };
                update::update(context, &update, deadline, reached).await
            }
            Stage::Delete { prior, output } => {
                delete::delete(context, prior, output, deadline, reached).await
            }
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

impl Import for VmWorkload {
    async fn import(
        context: &Context,
        id: &ImportId,
        _deadline: Instant,
    ) -> Result<(WorkloadInput, WorkloadOutput), Diagnostics> {
        import::import(context, id).await
    }
}
