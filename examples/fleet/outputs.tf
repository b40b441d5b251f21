output "fleet" {
  description = "Namespace and name of the fleet."
  value       = mesh_vm_fleet.ratings.id
}

output "members" {
  description = "SPIFFE ID of each VM."
  value       = { for name, vm in mesh_vm_workload.ratings : name => vm.spiffe_id }
}
