# A VM behind NAT: clients connect to an external address that no interface of the VM has. istiod identifies
# the VM by that address, and the listeners of its Sidecar bind the internal one.

resource "mesh_vm_workload" "ratings" {
  namespace       = var.namespace
  name            = "ratings-vm"
  address         = var.vm.external_address
  instance_ip     = var.vm.internal_address
  service_account = "bookinfo-ratings"
  labels          = { app = "ratings" }

  services = {
    ratings = {
      hosts = ["ratings.vm.${var.namespace}"]
      ports = {
        http = { number = 9080, protocol = "HTTP" }
      }
    }
  }
  sidecar = { egress_hosts = ["*/*"] }

  # SSH uses a third address here, on the management network.
  ssh = {
    host     = var.vm.internal_address
    host_key = var.vm.host_key
  }
  proxy = { install = var.package }
}
