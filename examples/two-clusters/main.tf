# A VM in each of two meshes. Each cluster has an alias of the provider, with its own connection to the API server and
# to istiod. The two are independent of each other.

terraform {
  required_providers {
    mesh = {
      source = "vm-mesh/mesh"
    }
  }
}

provider "mesh" {
  alias = "east"
  kubernetes = {
    config_path = var.east.kubeconfig
  }
  istio = {
    control_plane_address = var.east.control_plane_address
  }
  ssh = {
    user       = var.east.user
    identities = { east = { private_key = file(var.east.private_key_path) } }
  }
}

provider "mesh" {
  alias = "west"
  kubernetes = {
    config_path = var.west.kubeconfig
  }
  istio = {
    control_plane_address = var.west.control_plane_address
  }
  ssh = {
    user       = var.west.user
    identities = { west = { private_key = file(var.west.private_key_path) } }
  }
}

resource "mesh_vm_workload" "east" {
  provider        = mesh.east
  namespace       = var.east.namespace
  name            = "ratings-east"
  address         = var.east.vm.address
  service_account = "bookinfo-ratings"
  labels          = { app = "ratings", version = "v1" }

  services = local.services["east"]
  sidecar  = { egress_hosts = ["*/*"] }
  ssh      = { host_key = var.east.vm.host_key }
  proxy    = { install = var.east.package }
}

resource "mesh_vm_workload" "west" {
  provider        = mesh.west
  namespace       = var.west.namespace
  name            = "ratings-west"
  address         = var.west.vm.address
  service_account = "bookinfo-ratings"
  labels          = { app = "ratings", version = "v1" }

  services = local.services["west"]
  sidecar  = { egress_hosts = ["*/*"] }
  ssh      = { host_key = var.west.vm.host_key }
  proxy    = { install = var.west.package }
}

locals {
  clusters = { east = var.east, west = var.west }
  services = {
    for name, cluster in local.clusters : name => {
      ratings = {
        hosts = ["ratings.vm.${cluster.namespace}"]
        ports = { http = { number = 9080, protocol = "HTTP" } }
      }
    }
  }
}
