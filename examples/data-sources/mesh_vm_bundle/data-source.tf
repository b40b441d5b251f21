data "mesh_vm_bundle" "ratings" {
  namespace       = "bookinfo"
  name            = "ratings-vm-1"
  service_account = "bookinfo-ratings"
  labels          = { app = "ratings", version = "v1" }
  proxy = {
    install = {
      url    = "https://packages.example.com/istio-sidecar.deb"
      sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    }
  }

  # A service of your own. It verifies the machine's cloud identity and returns a token of the service
  # account.
  token_command = <<-EOT
    identity=$(curl -fsS -H 'Metadata-Flavor: Google' \
      'http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/identity?audience=mesh')
    curl -fsS -H "Authorization: Bearer $identity" https://tokens.example.com/bookinfo/bookinfo-ratings
  EOT
}

# resource "google_compute_instance" "ratings" {
#   metadata = { user-data = data.mesh_vm_bundle.ratings.user_data }
#   lifecycle { ignore_changes = [metadata["user-data"]] }
# }
