# The id is NAMESPACE/NAME of the WorkloadEntry.
terraform import mesh_vm_workload.ratings bookinfo/ratings-vm-1
