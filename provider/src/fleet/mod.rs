//! The resource `mesh_vm_fleet`: the objects that several VMs share.
//!
//! **Invariant**: it connects to no VM and writes no entry; members come and go without it.

mod apply;
mod create;
mod import;
pub(crate) mod input;
pub(crate) mod output;
mod plan;
mod read;

use mesh::change::Effect;
use plugin::{
    Deadline, Diagnostics, Done, Import, ImportId, Imported, Paths, Planned, Resource, Rule, Stage,
};
use tokio::time::Instant;

use crate::context::Context;
use crate::declared::sidecar::without_hosts;
use crate::rule;
use apply::{Prior, invalid};
use input::FleetInput;
use output::FleetOutput;

/// What several VMs share.
pub(crate) struct VmFleet;

impl Resource for VmFleet {
    const NAME: &'static str = "mesh_vm_fleet";
    const IDENTITY: &'static [&'static str] = &["namespace", "name"];

    type Input = FleetInput;
    type Output = FleetOutput;
    type Context = Context;

    fn describe_rule(rule: Rule) -> &'static str {
        match rule::effect(rule) {
            Effect::Nothing => "",
            Effect::Objects | Effect::Rebootstrap => {
                "Changing it updates only the mesh objects; no VM is touched."
            }
            Effect::Replace => "Changing it replaces the fleet.",
        }
    }

    fn check(input: &FleetInput, unknown: &Paths) -> Diagnostics {
        let fleet = input.fleet();
        let problems = fleet.map(|fleet| mesh::validate::validate_fleet(&fleet));
        let mut diagnostics = invalid(problems.unwrap_or_default(), unknown);
        diagnostics.extend(without_hosts(&input.sidecar));
        diagnostics
    }

    fn plan(stage: &Stage<'_, Self>) -> Planned<Self::Output> {
        Planned::new(match stage {
            Stage::Create { next } => plan::created(next),
            Stage::Update { output, edits, .. } => plan::updated(output, edits),
            Stage::Delete { output, .. } => (*output).clone(),
        })
    }

    async fn apply(
        context: &Context,
        stage: &Stage<'_, Self>,
        deadline: &Deadline,
        reached: &mut Option<FleetOutput>,
    ) -> Done {
        let deadline = deadline.at();
        match stage {
            Stage::Create { next } => create::create(context, next, deadline, reached).await,
            Stage::Update {
                prior: input,
                output,
                next,
                ..
            } => apply::update(context, &Prior { input, output }, next, deadline, reached).await,
            Stage::Delete {
                prior: input,
                output,
            } => apply::delete(context, &Prior { input, output }, deadline, reached).await,
        }
    }

    async fn read(
        context: &Context,
        input: &FleetInput,
        _deadline: Instant,
        reached: &mut Option<FleetOutput>,
    ) -> Done {
        read::read(context, input, reached).await
    }
}

impl Import for VmFleet {
    async fn import(
        context: &Context,
        id: &ImportId,
        _deadline: Instant,
    ) -> Result<Imported<FleetInput, FleetOutput>, Diagnostics> {
        import::import(context, id).await
    }
}
