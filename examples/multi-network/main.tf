# A VM on a different network than the cluster's pods. Traffic between the two goes through the gateways that the mesh
# knows. If the target's network has no gateway, traffic is direct and needs a route.
#
# The VM reaches istiod through the gateway `istio-eastwestgateway`, whose address the provider reads from its Service.

terraform {
  required_providers {
    mesh = {
      source = "vm-mesh/mesh"
    }
  }
}

provider "mesh" {
  kubernetes = {
    config_path = var.kubeconfig
  }
  ssh = {
    user       = var.user
    identities = { vm = { private_key = file(var.private_key_path) } }
  }
}

resource "mesh_vm_workload" "ratings" {
  namespace       = "bookinfo"
  name            = "ratings-far"
  address         = var.vm.address
  network         = var.network
  service_account = "bookinfo-ratings" # without one, endpoints behind a gateway are dropped
  labels          = { app = "ratings", version = "v1" }

  services = {
    ratings = {
      hosts = ["ratings.vm.bookinfo"]
      ports = { http = { number = 9080, protocol = "HTTP" } }
    }
  }
  sidecar = { egress_hosts = ["*/*"] }
  ssh     = { host_key = var.vm.host_key }
  proxy   = { install = var.package }
}
