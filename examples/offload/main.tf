# VMs that Terraform does not reach over SSH. One joins by an archive that somebody carries there, the
# other by itself when it boots.

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
  # What the VM is told, and the workload too: both have to be the same.
  ratings = {
    namespace       = var.namespace
    service_account = "bookinfo-ratings"
    labels          = { app = "ratings", version = "v1" }
    proxy           = { install = var.package }
    # Others call the VM while its application answers: nobody else knows when it has joined.
    health_check = { tcp = { port = 9080 }, period_seconds = 5 }
  }
}

# Unpack the archive on the VM and run `sh install.sh` as root, within the hour that its token lasts.
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

# The machine's own address is not known before it is there: it finds it when it boots.
data "mesh_vm_bundle" "booted" {
  namespace       = local.ratings.namespace
  name            = "ratings-booted"
  service_account = local.ratings.service_account
  labels          = local.ratings.labels
  health_check    = local.ratings.health_check
  proxy           = local.ratings.proxy
  token_command   = var.token_command
}

# The machine, e.g. at Google:
#
#   resource "google_compute_instance" "booted" {
#     metadata = { user-data = data.mesh_vm_bundle.booted.user_data }
#     lifecycle { ignore_changes = [metadata["user-data"]] }
#   }

resource "mesh_vm_workload" "booted" {
  namespace       = local.ratings.namespace
  name            = "ratings-booted"
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
  sidecar = {}
}

output "user_data" {
  description = "What the machine boots with."
  value       = data.mesh_vm_bundle.booted.user_data
}
