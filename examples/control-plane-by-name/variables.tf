variable "kubeconfig" {
  description = "Path of the cluster's kubeconfig."
  type        = string
}

variable "control_plane_name" {
  description = "Domain name of the load balancer that leads to istiod's port 15012."
  type        = string
}

variable "namespace" {
  description = "Namespace of the workload."
  type        = string
}

variable "vm" {
  description = "Address that pods connect to, and the VM's public host key."
  type        = object({ address = string, host_key = string })
}

variable "user" {
  description = "User to log in as: root, or a user who may use sudo without a password."
  type        = string
}

variable "private_key_path" {
  description = "Path of that user's private key."
  type        = string
}

variable "package" {
  description = "Istio's sidecar package: the URL that the VM downloads it from, and its SHA-256."
  type        = object({ url = string, sha256 = string })
}
