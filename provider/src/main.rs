//! Terraform provider for Istio VMs.
fn main() {}
