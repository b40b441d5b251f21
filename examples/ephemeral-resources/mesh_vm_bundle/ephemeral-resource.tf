ephemeral "mesh_vm_bundle" "ratings" {
  namespace       = "bookinfo"
  name            = "ratings-vm-1"
  instance_ip     = "10.0.0.5"
  service_account = "bookinfo-ratings"
  labels          = { app = "ratings", version = "v1" }
  token_seconds   = 1800
}

# The archive is stored where the VM downloads it, and is in no state. You can also pass it to a write-only
# attribute, such as that of a secret manager.
resource "terraform_data" "carried" {
  triggers_replace = ["v1"]

  provisioner "local-exec" {
    command     = "printf %s \"$ARCHIVE\" | base64 -d | ssh console.example.com 'cat >ratings.tar.gz'"
    environment = { ARCHIVE = ephemeral.mesh_vm_bundle.ratings.archive_base64 }
  }
}
