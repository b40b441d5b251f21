variable "kubeconfig" {
  description = "Path of the cluster's kubeconfig."
  type        = string
}

variable "control_plane_address" {
  description = "IP address where the VMs reach istiod. Unset: as the provider finds it."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Namespace of the VMs."
  type        = string
  default     = "bookinfo"
}

variable "user" {
  description = "User to log in as: root, or one who may use sudo without a password."
  type        = string
}

variable "private_key_path" {
  description = "Path of that user's private key."
  type        = string
}

variable "package" {
  description = "Istio's sidecar package: where the VMs fetch it, and its SHA-256 in hex."
  type        = object({ url = string, sha256 = string })
}

variable "vms" {
  description = "The VMs by name: address that pods dial, public host key, version of the application, share of the traffic, and region/zone/subzone."
  type = map(object({
    address  = string
    host_key = string
    version  = string
    weight   = number
    locality = optional(string)
  }))
}
