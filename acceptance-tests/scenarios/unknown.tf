# Every optional attribute comes from a resource that does not exist yet.

resource "terraform_data" "later" {
  input = { text = "a", number = 1, bool = true, list = ["a"], map = { a = "b" } }
}

locals {
  later = terraform_data.later.output
  # Unknown and dynamically typed, so that Terraform cannot compare it with the type of the attribute.
  any = terraform_data.later.id == "" ? null : jsondecode(terraform_data.later.output.text)
}

resource "mesh_vm_workload" "all" {
  namespace       = local.later.text
  name            = local.later.text
  address         = local.later.text
  instance_ip     = local.later.text
  labels          = local.later.map
  annotations     = local.later.map
  service_account = local.later.text
  network         = local.later.text
  locality        = local.later.text
  weight          = local.later.number
  ports           = local.any
  env             = local.later.map
  triggers        = local.later.map
  services        = local.any
  sidecar         = local.any
  ssh             = local.any
  proxy           = local.any
  on_destroy      = local.later.text
  field_manager   = local.any
}

resource "mesh_vm_workload" "leaves" {
  namespace   = "bookinfo"
  name        = "ratings"
  address     = local.later.text
  labels      = { app = local.later.text }
  annotations = { a = local.later.text }
  ports       = { http = local.later.number }
  env         = { A = local.later.text }
  triggers    = { a = local.later.text }
  services = {
    ratings = {
      hosts     = [local.later.text]
      addresses = local.later.list
      ports = {
        http = {
          number      = local.later.number
          protocol    = local.later.text
          target_port = local.later.number
          app_port    = local.later.number
          app_address = local.later.text
          bind        = local.later.text
          capture     = local.later.text
        }
      }
      export_to         = [local.later.text]
      subject_alt_names = [local.later.text]
      object_name       = local.later.text
    }
  }
  sidecar = {
    name             = local.later.text
    egress_hosts     = [local.later.text]
    outbound_traffic = local.later.text
    egress_listeners = {
      mysql = {
        bind     = local.later.text
        port     = local.later.number
        protocol = local.later.text
        hosts    = [local.later.text]
        capture  = local.later.text
      }
    }
  }
  ssh = {
    host                     = local.later.text
    port                     = local.later.number
    user                     = local.later.text
    identity                 = local.later.text
    host_key                 = local.later.text
    host_ca                  = local.later.text
    known_hosts              = local.later.text
    insecure_ignore_host_key = local.later.bool
    bastion = {
      host     = local.later.text
      port     = local.later.number
      user     = local.later.text
      host_key = local.later.text
    }
  }
  proxy = {
    runtime               = local.later.text
    interception          = local.later.text
    install               = { url = local.later.text, sha256 = local.later.text }
    exclude_inbound_ports = [local.later.number]
    exclude_cidrs         = [local.later.text]
    dns_capture           = local.later.bool
  }
  on_destroy    = local.later.text
  field_manager = { force_conflicts = local.later.bool }
}
