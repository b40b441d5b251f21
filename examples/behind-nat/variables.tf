variable "kubeconfig" {
  description = "Path of a kubeconfig of the cluster."
  type        = string
}

variable "control_plane_address" {
  description = "IP address at which the VM reaches istiod."
  type        = string
}

variable "private_key_path" {
  description = "Path of the private key to log in with."
  type        = string
}

variable "package" {
  description = "Istio's package, as the VM fetches it."
  type        = object({ url = string, sha256 = string })
}

variable "namespace" {
  description = "Namespace of the workload."
  type        = string
}

variable "vm" {
  description = "The VM: what others dial, and what its interface has."
  type        = object({ external_address = string, internal_address = string, host_key = string })
}
