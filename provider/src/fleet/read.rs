//! Read: how the cluster differs from the configuration. It writes nothing.

use mesh::identity::Verdict;
use plugin::Done;

use super::apply::{observe, rivals};
use super::input::FleetInput;
use super::output::FleetOutput;
use super::plan::drift_output;
use crate::context::Context;
use crate::identity;
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
    let before = reached.clone().unwrap_or_default();
    let seen = identity::namespace(cluster, &fleet.id.namespace).await?;
    let warnings = identity::warn_once(context, &seen).into_iter().collect();
    // In another cluster, nothing else can be said of the fleet.
    if let Verdict::Other(how) = before.identity().compare(&fleet.id, &seen, None) {
        *reached = Some(FleetOutput {
            drift: drift_output(&[how]),
            ..before
        });
        return Ok(warnings);
    }
    if observed.is_empty() {
        *reached = None;
        return Ok(warnings);
    }
    let objects = mesh::objects::fleet_objects(&fleet);
    // A state of an earlier version takes the value where the fleet's objects are; an import, where it found some.
    let mark = fleet.mark();
    let mut marked = observed.marked(&fleet.id.namespace, &mark);
    let is_ours =
        before.namespace_uid.is_null() && (before.id.is_null() || marked.next().is_some());
    let mut found = mesh::drift::of_objects(&objects, &observed, &fleet.mark());
    let rivals = rivals(cluster, &fleet, vec![]).await?;
    found.extend(mesh::drift::of_rivals(&rivals));
    *reached = Some(FleetOutput {
        id: plugin::Value::Known(fleet.id.to_string()),
        drift: drift_output(&found),
        namespace_uid: if is_ours {
            seen.uid().map(str::to_owned).into()
        } else {
            before.namespace_uid
        },
        imported_uids: before.imported_uids,
    });
    Ok(warnings)
}
