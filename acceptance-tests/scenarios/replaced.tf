# A workload that is replaced by one with another name on the same VM; the new one is created first.

variable "name" {
  type    = string
  default = "ratings-blue"
}

resource "mesh_vm_workload" "ratings" {
  namespace       = var.namespace
  name            = var.name
  address         = var.vm.address
  service_account = "bookinfo-ratings"
  labels          = { app = "ratings" }

  services = {
    http = {
      hosts = ["ratings.vm.${var.namespace}"]
      ports = { http = { number = 9080, protocol = "HTTP" } }
    }
  }
  sidecar = { egress_hosts = ["./*", "istio-system/*", "bookinfo/*"] }

  ssh   = { host_key = var.vm.host_key }
  proxy = { install = var.package }

  lifecycle {
    create_before_destroy = true
  }
}
