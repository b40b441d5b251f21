output "id" {
  description = "Namespace and name of the workload."
  value       = mesh_vm_workload.ratings.id
}

output "spiffe_id" {
  description = "SPIFFE ID of the VM."
  value       = mesh_vm_workload.ratings.spiffe_id
}

output "last_bootstrap_reasons" {
  description = "Reasons for the last bootstrap."
  value       = mesh_vm_workload.ratings.last_bootstrap_reasons
}

output "drift" {
  description = "Differences between the desired and the actual state."
  value       = mesh_vm_workload.ratings.drift
}
