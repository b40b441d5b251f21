# A manually created workload, declared like its objects and imported by a block.

import {
  to = mesh_vm_workload.ratings
  id = "${var.namespace}/${var.name}"
}

variable "name" {
  type    = string
  default = "ratings"
}

resource "mesh_vm_workload" "ratings" {
  namespace       = var.namespace
  name            = var.name
  address         = var.vm.address
  service_account = "bookinfo-ratings"
  labels          = { app = "ratings", version = "v1" }

  services = {
    http = {
      hosts = ["ratings.vm.${var.namespace}"]
      ports = { http = { number = 9080, protocol = "HTTP" } }
    }
  }
  sidecar = { egress_hosts = ["./*", "istio-system/*"] }
}
