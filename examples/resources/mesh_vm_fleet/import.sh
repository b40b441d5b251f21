# The id is NAMESPACE/NAME of the fleet.
terraform import mesh_vm_fleet.ratings bookinfo/ratings
