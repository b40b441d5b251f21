# VMs that Terraform cannot reach over SSH. One joins with an archive that you copy to it, the other on its own
# when it boots.

terraform {
  required_providers {
    mesh = {
      source = "vm-mesh/mesh"
    }
  }
}

provider "mesh" {
  kubernetes = { config_path = var.kubeconfig }
  istio      = { control_plane_address = var.control_plane_address }
}

locals {
  # Used by both the bundle and the workload: they must be the same.
  ratings = {
    namespace       = var.namespace
    service_account = "bookinfo-ratings"
    labels          = { app = "ratings", version = "v1" }
    proxy           = { install = var.package }
    # The VM receives traffic only while this probe succeeds, so not before it has joined.
    health_check = { tcp = { port = 9080 }, period_seconds = 5 }
  }
}

# Unpack the archive on the VM and run `sh install.sh` as root, within one hour, while its token is valid.
resource "mesh_vm_workload" "carried" {
  namespace       = local.ratings.namespace
  name            = "ratings-carried"
  address         = var.carried_address
  service_account = local.ratings.service_account
  labels          = local.ratings.labels
  health_check    = local.ratings.health_check
  proxy           = local.ratings.proxy
  bundle          = { path = "${path.module}/out/ratings-carried.tar.gz", token_version = 1 }
}

# The machine's address is not known before it exists: the machine finds it when it boots.
data "mesh_vm_bundle" "booted" {
  namespace       = local.ratings.namespace
  name            = "ratings-booted"
  service_account = local.ratings.service_account
  labels          = local.ratings.labels
  health_check    = local.ratings.health_check
  proxy           = local.ratings.proxy
  token_command   = var.token_command
}

# The machine, e.g. on Google Cloud:
#
#   resource "google_compute_instance" "booted" {
#     metadata = { user-data = data.mesh_vm_bundle.booted.user_data }
#     lifecycle { ignore_changes = [metadata["user-data"]] }
#   }

resource "mesh_vm_workload" "booted" {
  namespace       = local.ratings.namespace
  name            = "ratings-booted"
  objects_only    = true               # it joins with its user data
  address         = var.booted_address # google_compute_instance.booted.network_interface[0].network_ip
  service_account = local.ratings.service_account
  labels          = local.ratings.labels
  health_check    = local.ratings.health_check
  proxy           = local.ratings.proxy
  services = {
    ratings = {
      hosts = ["ratings.vm.${var.namespace}"]
      ports = {
        http = { number = 9080, protocol = "HTTP" }
      }
    }
  }
  sidecar = { egress_hosts = ["*/*"] }
}

output "user_data" {
  description = "User data of the machine."
  value       = data.mesh_vm_bundle.booted.user_data
}
