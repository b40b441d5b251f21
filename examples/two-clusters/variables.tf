variable "east" {
  description = "The first cluster, and its VM."
  type = object({
    kubeconfig            = string
    control_plane_address = optional(string)
    namespace             = string
    vm                    = object({ address = string, host_key = string })
    user                  = string
    private_key_path      = string
    package               = object({ url = string, sha256 = string })
  })
}

variable "west" {
  description = "The second cluster, and its VM."
  type = object({
    kubeconfig            = string
    control_plane_address = optional(string)
    namespace             = string
    vm                    = object({ address = string, host_key = string })
    user                  = string
    private_key_path      = string
    package               = object({ url = string, sha256 = string })
  })
}
