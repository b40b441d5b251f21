//! The wire types of the Terraform plugin protocol 6 and of go-plugin.
