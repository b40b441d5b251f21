//! The resource `mesh_vm_fleet`: the objects that several VMs share.
//!
//! **Invariant**: no VM is ever connected to, and no entry is written; members come and go without it.

mod apply;
pub(crate) mod convert;
mod import;
pub(crate) mod input;
pub(crate) mod output;
mod plan;
mod read;

use mesh::{Effect, Problem};
use tfplugin::{Diagnostic, Diagnostics, Done, Import, ImportId, Paths, Planned, Resource, Stage};
use tokio::time::Instant;

use crate::context::Context;
use crate::diagnose;
use input::FleetInput;
use output::FleetOutput;

/// What several VMs share.
pub(crate) struct VmFleet;

impl Resource for VmFleet {
    const NAME: &'static str = "mesh_vm_fleet";
    const REPLACES: Effect = Effect::Replace;
    const IDENTITY: &'static [&'static str] = &["namespace", "name"];

    type Effect = Effect;
    type Input = FleetInput;
    type Output = FleetOutput;
    type Context = Context;

    fn tells(effect: Effect) -> &'static str {
        match effect {
            Effect::Nothing => "",
            Effect::Objects | Effect::Rebootstrap => {
                "Changing it updates the mesh objects only; no VM is touched."
            }
            Effect::Replace => "Changing it replaces the fleet.",
        }
    }

    fn check(input: &FleetInput, unknown: &Paths) -> Diagnostics {
        convert::fleet(input)
            .map(|fleet| invalid(mesh::validate_fleet(&fleet), unknown))
            .unwrap_or_default()
    }

    fn plan(stage: &Stage<'_, Self>) -> Planned<Self> {
        Planned::new(plan::plan(stage))
    }

    async fn apply(
        context: &Context,
        stage: &Stage<'_, Self>,
        deadline: Instant,
        reached: &mut Option<FleetOutput>,
    ) -> Done {
        match stage {
            Stage::Create { next } => apply::create(context, next, deadline, reached).await,
            Stage::Update {
                prior,
                output,
                next,
                ..
            } => apply::update(context, prior, output, next, deadline, reached).await,
            Stage::Delete { prior, .. } => apply::delete(context, prior, deadline, reached).await,
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

/// Tells what is wrong with a fleet; what concerns unknown values is dropped.
fn invalid(problems: Vec<Problem>, unknown: &Paths) -> Diagnostics {
    let told = diagnose::problems(problems, unknown).into_iter();
    told.map(|told| Diagnostic {
        summary: "Invalid fleet".into(),
        ..told
    })
    .collect()
}

impl Import for VmFleet {
    async fn import(
        context: &Context,
        id: &ImportId,
        _deadline: Instant,
    ) -> Result<(FleetInput, FleetOutput), Diagnostics> {
        import::import(context, id).await
    }
}
