variable "kubeconfig" {
  description = "Path of the cluster's kubeconfig."
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
  description = "Istio's sidecar package: the URL that the VMs download it from, and its SHA-256."
  type        = object({ url = string, sha256 = string })
}

variable "carried_address" {
  description = "Address of the VM that the archive is copied to."
  type        = string
}

variable "booted_address" {
  description = "Address of the VM that joins when it boots."
  type        = string
}

variable "token_command" {
  description = "Command that the VM runs to obtain its token, e.g. a request to your token service that proves the machine's identity."
  type        = string
}
