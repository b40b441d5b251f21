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
  ssh = {
    user       = "ubuntu"
    identity   = "key"
    identities = { key = { private_key = file(var.private_key_path) } }
  }
}
