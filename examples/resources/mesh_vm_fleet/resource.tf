resource "mesh_vm_fleet" "ratings" {
  namespace = "bookinfo"
  name      = "ratings"

  services = {
    ratings = {
      hosts = ["ratings.vm.bookinfo"]
      ports = {
        http = { number = 9080, protocol = "HTTP" }
      }
    }
  }

  sidecar = {
    egress_hosts = ["./*", "istio-system/*"]
  }

  # For machines that register themselves, e.g. those of an autoscaling group.
  group = {
    labels          = { app = "ratings" }
    service_account = "bookinfo-ratings"
    network         = "gcp-vms"
  }
}

# A member declares only its own settings.
resource "mesh_vm_workload" "ratings_1" {
  fleet           = mesh_vm_fleet.ratings.id
  namespace       = "bookinfo"
  name            = "ratings-vm-1"
  address         = "10.0.0.20"
  service_account = "bookinfo-ratings"
  labels          = { app = "ratings", version = "v2" }
  weight          = 90

  ssh = {
    host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICgZTq6/MNUyHq+526kR+fu4zm6HHa6FD//yr27/UBf/"
  }
}
