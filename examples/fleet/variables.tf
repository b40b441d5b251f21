variable "kubeconfig" {
  description = "Path of the cluster's kubeconfig."
  type        = string
}

variable "control_plane_address" {
  description = "IP address at which the VMs reach istiod. If unset, the provider finds it."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Namespace of the VMs."
  type        = string
  default     = "bookinfo"
}

variable "user" {
  description = "User to log in as: root, or a user who may use sudo without a password."
  type        = string
}

variable "private_key_path" {
  description = "Path of that user's private key."
  type        = string
}

variable "max_unavailable" {
  description = "How many VMs may be without traffic at a time: a number, or a percentage of all."
  type        = string
  default     = "1"
}

variable "package" {
  description = "Istio's sidecar package: the URL that the VMs download it from, and its SHA-256 in hex."
  type        = object({ url = string, sha256 = string })
}

variable "vms" {
  description = "The VMs by name: address that pods connect to, public host key, version of the application, share of the traffic, and region/zone/subzone."
  type = map(object({
    address  = string
    host_key = string
    version  = string
    weight   = number
    locality = optional(string)
  }))
}
