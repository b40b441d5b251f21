# One VM with one application on 127.0.0.1:9080. The machine is created in the same apply, so its address is unknown
# in the first plan.

variable "labels" {
  type    = map(string)
  default = { app = "ratings", version = "v1" }
}
variable "machine" {
  description = "Another value makes another machine, at the same address or not."
  type        = string
  default     = "first"
}
variable "machine_address" {
  description = "Address that pods connect to, if it is not that of sshd; known only after the apply."
  type        = string
  default     = null
}
variable "address" {
  description = "The same, known to the plan."
  type        = string
  default     = null
}
variable "triggers" {
  type    = map(string)
  default = null
}
variable "service_port" {
  type    = number
  default = 9080
}
variable "egress_hosts" {
  type    = list(string)
  default = ["./*", "istio-system/*", "bookinfo/*"]
}
variable "timeouts" {
  type    = map(string)
  default = null
}

resource "terraform_data" "machine" {
  input            = { address = coalesce(var.machine_address, var.vm.address) }
  triggers_replace = var.machine
}

resource "mesh_vm_workload" "ratings" {
  namespace       = var.namespace
  name            = "ratings"
  address         = var.address != null ? var.address : terraform_data.machine.output.address
  service_account = "bookinfo-ratings"
  labels          = var.labels
  triggers        = var.triggers

  services = {
    ratings = {
      hosts = ["ratings.vm.${var.namespace}"]
      ports = { http = { number = var.service_port, protocol = "HTTP", target_port = 9080 } }
    }
  }
  sidecar = { egress_hosts = var.egress_hosts }

  ssh      = { host = var.vm.address, host_key = var.vm.host_key }
  proxy    = { install = var.package }
  timeouts = var.timeouts
}
