# Many VMs in one apply.

terraform {
  required_providers {
    mesh = {
      source = "vm-mesh/mesh"
    }
  }
}

variable "kubeconfig" {
  type = string
}

variable "control_plane_address" {
  type = string
}

variable "user" {
  type = string
}

variable "private_key_path" {
  type = string
}

variable "package_url" {
  type = string
}

variable "package_sha256" {
  type = string
}

variable "vms" {
  type = map(object({
    name     = string
    address  = string
    host_key = string
  }))
}

provider "mesh" {
  kubernetes = {
    config_path = var.kubeconfig
  }
  istio = {
    control_plane_address = var.control_plane_address
  }
  ssh = {
    user = var.user
    identities = {
      bench = { private_key = file(var.private_key_path) }
    }
  }
}

resource "mesh_vm_workload" "many" {
  for_each        = var.vms
  namespace       = "bookinfo"
  name            = each.value.name
  address         = each.value.address
  service_account = "bookinfo-ratings"

  labels = {
    app = each.value.name
  }

  sidecar = {
    egress_hosts = ["./*", "istio-system/*"]
  }

  ssh = {
    host_key = each.value.host_key
  }

  proxy = {
    install = {
      url    = var.package_url
      sha256 = var.package_sha256
    }
  }
}
