output "id" {
  description = "Namespace and name of the workload."
  value       = mesh_vm_workload.ratings.id
}

output "spiffe_id" {
  description = "Who the VM is in the mesh."
  value       = mesh_vm_workload.ratings.spiffe_id
}

output "last_bootstrap_reasons" {
  description = "Why the VM was bootstrapped last."
  value       = mesh_vm_workload.ratings.last_bootstrap_reasons
}

output "drift" {
  description = "What differs from what should be."
  value       = mesh_vm_workload.ratings.drift
}
