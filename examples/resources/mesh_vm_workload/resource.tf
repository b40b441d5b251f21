resource "mesh_vm_workload" "ratings" {
  namespace       = "bookinfo"
  name            = "ratings-vm-1"
  address         = "203.0.113.20" # what pods connect to
  instance_ip     = "10.0.0.20"    # the address of the VM's interface, behind NAT
  service_account = "bookinfo-ratings"

  labels = {
    app     = "ratings"
    version = "v2"
  }

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

  ssh = {
    host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICgZTq6/MNUyHq+526kR+fu4zm6HHa6FD//yr27/UBf/"
  }

  proxy = {
    install = {
      url    = "https://packages.example.com/istio-sidecar.deb"
      sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    }
  }
}
