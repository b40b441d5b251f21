# Three applications on one VM. They differ by host and by port. Clients connect to port 80 of each host.
# The VM's proxy receives each on its own port and forwards it to the address the application listens on:
# 127.0.0.1, ::1 (on a VM that has an IPv6 address) or a unix socket.

resource "mesh_vm_workload" "bookinfo" {
  namespace       = var.namespace
  name            = "bookinfo-vm"
  address         = var.vm.address
  service_account = "bookinfo-ratings"
  labels          = { app = "bookinfo" }

  services = {
    ratings = {
      hosts = ["ratings.vm.${var.namespace}"]
      ports = {
        http  = { number = 80, protocol = "HTTP", target_port = 9080 }
        admin = { number = 81, protocol = "HTTP", target_port = 9090, app_port = 9091 }
      }
    }
    reviews = {
      hosts = ["reviews.vm.${var.namespace}"]
      ports = {
        http = { number = 80, protocol = "HTTP", target_port = 9081, app_address = "::1" }
      }
    }
    details = {
      hosts     = ["details.vm.${var.namespace}"]
      export_to = ["."] # visible only in its own namespace
      ports = {
        http = { number = 80, protocol = "HTTP", target_port = 9082, app_address = "unix:///run/details.sock" }
      }
    }
  }

  sidecar = {
    egress_hosts     = ["./*", "istio-system/*", "bookinfo/*"]
    outbound_traffic = "REGISTRY_ONLY"
    # For an application whose calls cannot be intercepted: it connects to 127.0.0.2:9080 instead of the host.
    # The port must be that of the service.
    egress_listeners = {
      tcp-pod = {
        bind     = "127.0.0.2"
        port     = 9080
        protocol = "TCP"
        hosts    = [var.called]
        capture  = "NONE"
      }
    }
  }

  ssh   = { host_key = var.vm.host_key }
  proxy = { install = var.package }
}
