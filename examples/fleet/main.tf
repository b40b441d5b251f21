# One service on several VMs, in two versions. Clients use one name, and the weights determine each VM's share of
# the traffic. A canary is one more VM with a small weight.

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
    control_plane_address = var.control_plane_address
  }
  ssh = {
    user = var.user
    identities = {
      fleet = { private_key = file(var.private_key_path) }
    }
  }
}

# What the VMs share. Changing it touches no VM.
resource "mesh_vm_fleet" "ratings" {
  namespace = var.namespace
  name      = "ratings"

  services = {
    ratings = {
      hosts = ["ratings.vm.${var.namespace}"]
      ports = {
        http = { number = 9080, protocol = "HTTP" }
      }
    }
  }

  sidecar = {
    egress_hosts = ["./*", "istio-system/*"]
  }

  # A change that re-bootstraps several VMs takes the traffic of one at a time. After a failure, the others stay as they
  # are.
  rollout = {
    max_unavailable = var.max_unavailable
    on_failure      = "stop"
  }
}

# Adding or removing a VM changes only its own entry.
resource "mesh_vm_workload" "ratings" {
  for_each = var.vms

  fleet           = mesh_vm_fleet.ratings.id
  namespace       = var.namespace
  name            = each.key
  address         = each.value.address
  service_account = "bookinfo-ratings"

  labels = {
    app     = "ratings"
    version = each.value.version
  }
  weight   = each.value.weight
  locality = each.value.locality

  ssh = {
    host_key = each.value.host_key
  }

  proxy = {
    install = var.package
  }
}
