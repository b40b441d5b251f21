variable "kubeconfig" {
  description = "Path of the cluster's kubeconfig."
  type        = string
}

variable "control_plane_address" {
  description = "IP address at which the VM reaches istiod. If unset, the provider finds it."
  type        = string
  default     = null
}

variable "vm_address" {
  description = "Address of the VM that pods connect to."
  type        = string
}

variable "ssh_port" {
  description = "Port of the VM's sshd."
  type        = number
  default     = 22
}

variable "user" {
  description = "User to log in as: root, or a user who may use sudo without a password."
  type        = string
}

variable "private_key_path" {
  description = "Path of that user's private key."
  type        = string
}

variable "host_key" {
  description = "Public host key of the VM, e.g. \"ssh-ed25519 AAAA…\"."
  type        = string
}

variable "package_url" {
  description = "URL that the VM downloads Istio's sidecar package from."
  type        = string
}

variable "package_sha256" {
  description = "SHA-256 of the package in hex."
  type        = string
}

variable "version_label" {
  description = "Label `version` of the workload. Changing it re-bootstraps the VM."
  type        = string
  default     = "v1"
}
