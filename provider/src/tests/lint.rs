//! `lint`: each name that the schema does not have, with its line and the nearest one.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};

use crate::lint::{Outcome, lint};

/// Lints one file; its folder becomes nothing.
fn check(text: &str, outcome: Outcome, expected: &Expect) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("main.tf");
    fs::write(&file, text).unwrap();
    check_files(&[file.into()], folder.path(), outcome, expected);
}

fn check_files(files: &[OsString], folder: &Path, outcome: Outcome, expected: &Expect) {
    let (mut out, mut err) = (vec![], vec![]);
    let found = lint(files, &mut out, &mut err);
    let text = String::from_utf8([out, err].concat()).unwrap();
    expected.assert_eq(&text.replace(&format!("{}/", folder.display()), ""));
    assert_eq!(found, outcome);
}

#[test]
fn a_misspelt_name_is_found_at_any_depth() {
    let text = r#"
provider "mesh" {
  alias = "east"
  kubernetes = {
    contxt = "prod"
    exec   = { api_versio = "v1", command = "aws" }
  }
  ssh = {
    identities = { deploy = { privatekey = file("x") } }
    bastion    = { host = "b", through = [{ host = "a" }, { host = "c", "hostkey" = "k" }] }
  }
  sssh = {}
}

resource "mesh_vm_workload" "ratings" {
  for_each = toset(["a"])
  name     = each.key
  sidecar  = ({ egress_host = ["*/*"] })
  services = {
    ratings = {
      hosts = []
      ports = { "http 1" = { number = 1, protocl = "HTTP" }, (var.x) = { nmber = 1 } }
    }
  }
  ssh = { host_key = "k", hostkey = "k" }
  health_check {
  }
  lifecycle { ignore_changes = [ssh] }
}

data "mesh_vm_bundle" "b" {
  instance = "x"
}

ephemeral "mesh_vm_bundle" "b" {
  token_second = 5
}
"#;
    check(
        text,
        Outcome::Found,
        &expect![[r#"
        main.tf:5: provider mesh: there is no attribute kubernetes.contxt. Did you mean config_context?
        main.tf:6: provider mesh: there is no attribute kubernetes.exec.api_versio. Did you mean api_version?
        main.tf:9: provider mesh: there is no attribute ssh.identities.deploy.privatekey. Did you mean private_key?
        main.tf:10: provider mesh: there is no attribute ssh.bastion.through[1].hostkey. Did you mean host_key?
        main.tf:12: provider mesh: there is no attribute sssh. Did you mean ssh?
        main.tf:18: mesh_vm_workload.ratings: there is no attribute sidecar.egress_host. Did you mean egress_hosts?
        main.tf:22: mesh_vm_workload.ratings: there is no attribute services.ratings.ports["http 1"].protocl. Did you mean protocol?
        main.tf:22: mesh_vm_workload.ratings: there is no attribute services.ratings.ports["…"].nmber. Did you mean number?
        main.tf:25: mesh_vm_workload.ratings: there is no attribute ssh.hostkey. Did you mean host_key?
        main.tf:32: data.mesh_vm_bundle.b: there is no attribute instance. Did you mean instance_ip?
        main.tf:36: ephemeral.mesh_vm_bundle.b: there is no attribute token_second. Did you mean token_seconds?
    "#]],
    );
}

/// What an expression gives is not known, other providers have other names, and a computed attribute exists.
#[test]
fn expressions_and_blocks_of_others_are_not_looked_at() {
    let text = r#"
locals { sshh = { hostkey = 1 } }
provider "aws" { regionn = "x" }
resource "aws_instance" "a" { amii = { hostkey = 1 } }
resource "mesh_vm_workload" "ratings" {
  ssh      = merge({ hostkey = 1 }, local.sshh)
  sidecar  = var.x ? { egress = [] } : null
  services = { for k, v in var.s : k => { host = [] } }
  labels   = { anything = "goes", "example.com/a" = "b" }
  dynamic "ssh" {
    for_each = []
    content { hostkey = 1 }
  }
  provisioner "local-exec" { command = "x" }
}
output "d" { value = mesh_vm_workload.ratings.drift }
"#;
    check(text, Outcome::Clean, &expect![[""]]);
}

#[test]
fn the_provider_block_is_known_by_the_name_that_the_configuration_gives_it() {
    let text = r#"
terraform {
  required_providers {
    vms  = { source = "registry.example.com/vm-mesh/mesh" }
    mesh = { source = "somebody/mesh" }
  }
}
provider "vms" { isto = {} }
provider "mesh" { isto = {} }
"#;
    check(
        text,
        Outcome::Found,
        &expect![[r#"
        main.tf:8: provider vms: there is no attribute isto. Did you mean istio?
    "#]],
    );
}

#[test]
fn a_file_that_cannot_be_read_is_reported_and_the_others_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("broken.tf"), "provider \"mesh\" {\n  ssh = {\n").unwrap();
    fs::write(path("bytes.tf"), [0xff, 0xfe]).unwrap();
    fs::write(path("deep.tf"), format!("a = {}", "[".repeat(100_000))).unwrap();
    fs::write(path("minus.tf"), format!("a = {}1", "-".repeat(100_000))).unwrap();
    fs::write(path("found.tf"), "provider \"mesh\" {\n  shs = {}\n}\n").unwrap();
    let names = [
        "broken.tf",
        "missing.tf",
        "bytes.tf",
        "deep.tf",
        "minus.tf",
        "found.tf",
    ];
    let files: Vec<OsString> = names.iter().map(|name| path(name).into()).collect();
    check_files(
        &files,
        folder.path(),
        Outcome::Unread,
        &expect![[r#"
        found.tf:2: provider mesh: there is no attribute shs. Did you mean ssh?
        broken.tf:2: this is not HCL: invalid block body; expected `}`, newline or identifier
        missing.tf: No such file or directory (os error 2)
        bytes.tf: stream did not contain valid UTF-8
        deep.tf:1: this is not HCL: invalid nesting depth; expected at most 64 nested levels
        minus.tf:1: this is not HCL: invalid nesting depth; expected at most 64 nested levels
    "#]],
    );
    check_files(
        &[],
        folder.path(),
        Outcome::Unread,
        &expect![[r#"
        usage: terraform-provider-mesh lint FILE…

        Reports names in Terraform configurations that this provider's schema does not have.
    "#]],
    );
}

/// Each configuration of ours, as its readers copy it.
#[test]
fn the_examples_have_no_unknown_name() {
    let mut files: Vec<OsString> = vec![];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("../examples")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|of| of == "tf") {
                files.push(path.into());
            }
        }
    }
    assert!(files.len() > 10, "{files:?}");
    check_files(&files, Path::new("x"), Outcome::Clean, &expect![[""]]);
}
