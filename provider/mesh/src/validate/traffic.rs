//! Rules of the services, ports and Sidecar of a workload or fleet.

use super::{captured, ports, services, sidecar};
use crate::change::Problem;
use crate::workload::Workload;

/// Adds all problems of services, ports and Sidecar.
pub(super) fn validate(workload: &Workload, problems: &mut Vec<Problem>) {
    services::validate(workload, problems);
    ports::validate(workload, problems);
    captured::validate(workload, problems);
    sidecar::validate(workload, problems);
}
