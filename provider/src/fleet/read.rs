//! Read: how the cluster differs from the configuration. It writes nothing.

use plugin::{Diagnostics, Done};

use super::apply::{observe, rivals};
use super::input::FleetInput;
use super::output::FleetOutput;
use super::plan::drift_output;
use crate::context::Context;
use crate::messages::{self, Code, Message};

/// Reads the fleet. It is gone only if none of its objects is there.
pub(super) async fn read(
    context: &Context,
    input: &FleetInput,
    reached: &mut Option<FleetOutput>,
) -> Done {
    if !context.is_known() {
        return Ok(Message::new(Code::ProviderUnknown)
            .title("The fleet was not checked")
            .text("The provider's configuration is not known yet; the state is kept as it is.")
            .warning()
            .into());
    }
    let cluster = context.cluster().await?;
    let fleet = input.fleet().ok_or_else(messages::incomplete)?;
    let observed = observe(cluster, &fleet).await?;
    if observed.is_empty() {
        *reached = None;
        return Ok(Diagnostics::none());
    }
    let objects = mesh::objects::fleet_objects(&fleet);
    let mut found = mesh::drift::of_objects(&objects, &observed, &fleet.mark());
    let rivals = rivals(cluster, &fleet, vec![]).await?;
    found.extend(mesh::drift::of_rivals(&rivals));
    *reached = Some(FleetOutput {
        id: plugin::Value::Known(fleet.id.to_string()),
        drift: drift_output(&found),
    });
    Ok(Diagnostics::none())
}
