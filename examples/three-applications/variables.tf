variable "kubeconfig" {
  description = "Path of the cluster's kubeconfig."
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
  description = "Istio's sidecar package: the URL that the VM downloads it from, and its SHA-256."
  type        = object({ url = string, sha256 = string })
}

variable "namespace" {
  description = "Namespace of the workload."
  type        = string
}

variable "vm" {
  description = "The VM."
  type        = object({ address = string, host_key = string })
}

variable "called" {
  description = "Host that the application on the VM calls, as namespace/host."
  type        = string
  default     = "bookinfo/mysql.bookinfo.svc.cluster.local"
}
