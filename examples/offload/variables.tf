variable "kubeconfig" {
  description = "Path of a kubeconfig of the cluster."
  type        = string
}

variable "control_plane_address" {
  description = "IP address at which the VMs reach istiod."
  type        = string
}

variable "namespace" {
  description = "Namespace of the workloads."
  type        = string
}

variable "package" {
  description = "Istio's package, as the VMs fetch it."
  type        = object({ url = string, sha256 = string })
}

variable "carried_address" {
  description = "Address of the VM that an archive is carried to."
  type        = string
}

variable "booted_address" {
  description = "Address of the VM that joins when it boots."
  type        = string
}

variable "token_command" {
  description = "What the VM runs to have its token: whatever proves to your token service which machine asks."
  type        = string
}
