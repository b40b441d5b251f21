# The service `ratings` of Istio's Bookinfo runs on a VM instead of in a pod. The application
# listens on 127.0.0.1:9080 only: all traffic reaches it through the VM's proxy, over mutual TLS.

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
    port = var.ssh_port
    identities = {
      demo = { private_key = file(var.private_key_path) }
    }
  }
}

# Stands in for a cloud provider's VM: its address is unknown until it is created.
resource "terraform_data" "vm" {
  input = {
    address = var.vm_address
  }
}

resource "mesh_vm_workload" "ratings" {
  namespace       = "bookinfo"
  name            = "ratings-vm"
  address         = terraform_data.vm.output.address
  service_account = "bookinfo-ratings"

  labels = {
    app     = "ratings"
    version = var.version_label
  }
  triggers = {
    vm = terraform_data.vm.id
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
    host_key = var.host_key
  }

  proxy = {
    install = {
      url    = var.package_url
      sha256 = var.package_sha256
    }
  }
}
