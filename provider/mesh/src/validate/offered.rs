//! Rules over what a workload or a fleet offers and reaches.

use super::{ports, services, sidecar};
use crate::change::Problem;
use crate::workload::Workload;

/// Reports every broken rule of services, ports and Sidecar.
pub(super) fn offered(workload: &Workload, problems: &mut Vec<Problem>) {
    services::validate(workload, problems);
    ports::validate(workload, problems);
    sidecar::validate(workload, problems);
}
