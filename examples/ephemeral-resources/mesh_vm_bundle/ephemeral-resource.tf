ephemeral "mesh_vm_bundle" "ratings" {
  namespace       = "bookinfo"
  name            = "ratings-vm-1"
  instance_ip     = "10.0.0.5"
  service_account = "bookinfo-ratings"
  labels          = { app = "ratings", version = "v1" }
  token_seconds   = 1800
}

# The archive goes to where the VM fetches it, and stays in no state. A write-only attribute, such as
# that of a secret manager, takes it as well.
resource "terraform_data" "carried" {
  triggers_replace = ["v1"]

  provisioner "local-exec" {
    command     = "printf %s \"$ARCHIVE\" | base64 -d | ssh console.example.com 'cat >ratings.tar.gz'"
    environment = { ARCHIVE = ephemeral.mesh_vm_bundle.ratings.archive_base64 }
  }
}
