//! Terraform's side of the plugin protocol: plays a provider and holds it to the rules.
