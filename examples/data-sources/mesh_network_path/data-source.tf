data "mesh_network_path" "ratings" {
  namespace = "bookinfo"
  name      = "ratings-vm-1"
}

# A plan warns as long as a problem would break this path.
check "pods_reach_the_vm" {
  assert {
    condition     = length(data.mesh_network_path.ratings.to_vm.missing) == 0
    error_message = join("\n", data.mesh_network_path.ratings.to_vm.missing)
  }
}
