terraform {
  required_providers {
    mesh = {
      source = "vm-mesh/mesh"
    }
  }
}

provider "mesh" {
  kubernetes = {
    config_path    = "~/.kube/config"
    config_context = "production"
  }

  # Where VMs reach istiod, if not at the address of `istio-eastwestgateway`.
  istio = {
    control_plane_address = "203.0.113.10"
  }

  ssh = {
    user = "ubuntu"
    identities = {
      deploy = { private_key = var.deploy_key }
    }
  }
}

variable "deploy_key" {
  description = "Private key that logs in to the VMs. Nothing of the provider block is stored."
  type        = string
  sensitive   = true
}
