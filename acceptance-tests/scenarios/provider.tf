# The provider configuration of all scenarios.

terraform {
  required_providers {
    mesh = {
      source = "vm-mesh/mesh"
    }
  }
}

variable "kubeconfig" { type = string }
variable "control_plane_address" { type = string }
variable "private_key_path" { type = string }
variable "package" { type = object({ url = string, sha256 = string }) }
variable "namespace" { type = string }
variable "vm" { type = object({ address = string, host_key = string }) }
variable "user" {
  type    = string
  default = "ubuntu"
}

provider "mesh" {
  kubernetes = { config_path = var.kubeconfig }
  istio      = { control_plane_address = var.control_plane_address }
  ssh = {
    user       = var.user
    identity   = "bed"
    identities = { bed = { private_key = file(var.private_key_path) } }
  }
}
