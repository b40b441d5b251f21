//! A framework for Terraform providers: protocol 6, values, schemas and resources.
