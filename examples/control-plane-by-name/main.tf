# A control plane behind a load balancer that has a domain name and no fixed address. istiod runs with
# ISTIOD_CUSTOM_HOST set to that name, so its certificate contains it. The VM's DNS resolves the name to the load
# balancer. Nothing is added to the VM's /etc/hosts.

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
  istio = {
    control_plane_address = var.control_plane_name
  }
  ssh = {
    user       = var.user
    identities = { vm = { private_key = file(var.private_key_path) } }
  }
}

resource "mesh_vm_workload" "ratings" {
  namespace       = var.namespace
  name            = "ratings-vm"
  address         = var.vm.address
  service_account = "bookinfo-ratings"
  labels          = { app = "ratings", version = "v1" }

  services = {
    ratings = {
      hosts = ["ratings.vm.${var.namespace}"]
      ports = { http = { number = 9080, protocol = "HTTP" } }
    }
  }
  sidecar = { egress_hosts = ["*/*"] }
  ssh     = { host_key = var.vm.host_key }
  proxy   = { install = var.package }
}
