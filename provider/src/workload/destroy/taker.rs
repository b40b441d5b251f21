//! The destroy of a workload whose VM another one takes over in the same apply.

use std::time::Duration;

use mesh::names::Id;
use mesh::reserved::Reserved;
use plugin::{Diagnostic, Diagnostics};
use tokio::time::sleep;

use super::{Destroy, until};
use crate::messages::{Code, Message};

/// Between one look at the other operation and the next.
const PAUSE: Duration = Duration::from_millis(500);

impl Destroy<'_> {
    /// Waits until another member of the same apply has taken the VM over: with a renamed key of `for_each`, Terraform
    /// destroys the old names while it creates the new ones. In their turns, those take the traffic of one VM at a time.
    pub(super) async fn await_taker(&mut self) -> Result<(), Diagnostics> {
        let id = self.workload.id.clone();
        let own = Reserved::of_workload(&self.workload);
        let taker = || self.context.reservations.taker(&own);
        let Some((first, _)) = taker().filter(|_| self.workload.fleet.is_some()) else {
            return Ok(());
        };
        tracing::info!("the destroy of {id} waits until {first} has taken its VM over");
        let wait = async {
            loop {
                match taker() {
                    Some((_, true)) => return Ok(()),
                    Some((_, false)) => sleep(PAUSE).await,
                    None => return Err(not_taken_over(&id, &first)),
                }
            }
        };
        let done = self.limit.paused(wait).await;
        self.deadline = self.limit.at();
        self.until = until(self.deadline);
        self.run.set_deadline(self.deadline);
        done?;
        // The connection has been idle for long.
        if let Some(mut machine) = self.machine.take() {
            machine.close().await;
            self.connect().await?;
        }
        Ok(())
    }
}

/// Reports a VM that another workload should have taken over.
fn not_taken_over(id: &Id, taker: &Id) -> Diagnostic {
    let text = format!(
        "{taker} was to take over the VM of {id} in this apply, and failed. {id} still has the VM, so it was not \
         destroyed. Fix the error of {taker}, then apply again."
    );
    Message::new(Code::DestroyBlocked).text(text).error()
}
