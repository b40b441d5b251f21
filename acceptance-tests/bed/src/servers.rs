//! The real servers, built from the Go modules that `acceptance-tests/servers/go.mod` pins.

use std::fs;
use std::path::PathBuf;

use crate::cache;
use crate::go::Go;
use crate::progress::{Progress, Step};
use crate::{Error, Result};

const MANIFEST: &str = include_str!("../../servers/go.mod");
const SUMS: &str = include_str!("../../servers/go.sum");

/// Version of the pinned Istio module, which does not contain its own.
pub(crate) const ISTIO_VERSION: &str = "1.31.0";
const LINK: &str = "-ldflags=-s -w -X istio.io/istio/pkg/version.buildVersion=1.31.0";

/// Package, name in the cache, and build time in seconds on two cores.
type Package<'a> = (&'a str, &'a str, u64);

const API: [Package<'_>; 3] = [
    ("go.etcd.io/etcd/server/v3", "etcd", 63),
    (
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-apiserver",
        230,
    ),
    ("k8s.io/kubernetes/cmd/kubectl", "kubectl", 60),
];
const MESH: [Package<'_>; 2] = [
    (
        "istio.io/istio/pilot/cmd/pilot-discovery",
        "pilot-discovery",
        190,
    ),
    ("istio.io/istio/pilot/cmd/pilot-agent", "pilot-agent", 11),
];

/// What to do if a build fails.
const BUILD: &str = "If a module could not be fetched, check GOPROXY (`go env GOPROXY`) and the network. Then run the same \
     command again: what was built is kept.";

/// Our program around istioctl's command. It changes independently of the servers.
const ISTIOCTL: &str = "./istioctl-configure";
const ISTIOCTL_SOURCE: &str = include_str!("../../servers/istioctl-configure/main.go");

/// Files of the Istio module that the bed needs, and their names in the cache.
const ISTIO_FILES: [(&str, &str); 6] = [
    ("manifests/charts/base/files/crd-all.gen.yaml", "crds.yaml"),
    ("tools/packaging/common/istio-start.sh", "istio-start.sh"),
    ("tools/packaging/common/istio.service", "istio.service"),
    ("tools/packaging/common/sidecar.env", "sidecar.env"),
    (
        "tools/packaging/common/envoy_bootstrap.json",
        "envoy_bootstrap.json",
    ),
    ("tools/packaging/postinst.sh", "postinst"),
];

/// Folder of the built servers.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    folder: PathBuf,
}

impl Servers {
    /// Returns the folder for the pinned modules and the installed Go version.
    pub(crate) fn find() -> Result<Self> {
        let go = Go::default().version()?;
        Ok(Self {
            folder: cache::root()?.join(cache::key("servers", &[MANIFEST, SUMS, LINK, &go])),
        })
    }

    /// Returns the folder's name, which depends on all sources of the servers.
    pub(crate) fn name(&self) -> &str {
        self.folder
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    /// Returns the path of a server or of a file from Istio.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns the build steps that are missing for an API server.
    pub(crate) fn missing_for_api(&self) -> Vec<Step> {
        self.missing(&API)
    }

    /// Returns the build steps that are missing for a mesh.
    pub(crate) fn missing_for_mesh(&self) -> Vec<Step> {
        [self.missing(&API), self.missing(&MESH)].concat()
    }

    /// Builds everything for an API server.
    pub(crate) fn build_for_api(&self, progress: &Progress) -> Result<()> {
        self.build(&API, progress)
    }

    /// Builds everything for a mesh.
    pub(crate) fn build_for_mesh(&self, progress: &Progress) -> Result<()> {
        self.build(&API, progress)?;
        self.build(&MESH, progress)
    }

    /// Returns the step to build istioctl, if it does not exist yet.
    pub(crate) fn missing_for_istioctl(&self) -> Vec<Step> {
        self.missing(&[(ISTIOCTL, &istioctl(), 50)])
    }

    /// Builds istioctl and returns its path.
    pub(crate) fn build_istioctl(&self, progress: &Progress) -> Result<PathBuf> {
        let name = istioctl();
        self.build(&[(ISTIOCTL, &name, 50)], progress)?;
        Ok(self.path(&name))
    }

    /// Returns the folder of the Istio module.
    pub(crate) fn istio_module() -> Result<PathBuf> {
        Go::default().module("istio.io/istio")
    }

    fn missing(&self, packages: &[Package<'_>]) -> Vec<Step> {
        let missing = packages
            .iter()
            .filter(|(_, name, _)| !self.path(name).exists());
        missing
            .map(|(_, name, seconds)| Step::new(step(name), *seconds, BUILD))
            .collect()
    }

    fn build(&self, packages: &[Package<'_>], progress: &Progress) -> Result<()> {
        let complete = |folder: &Self| {
            folder.missing(packages).is_empty()
                && ISTIO_FILES
                    .iter()
                    .all(|(_, name)| folder.path(name).exists())
        };
        if complete(self) {
            return Ok(());
        }
        let _lock = cache::lock(&self.folder)?;
        for (package, name, _) in packages
            .iter()
            .filter(|(_, name, _)| !self.path(name).exists())
        {
            progress.step(&step(name), || self.build_one(package, name))?;
        }
        self.copy_istio_files()
    }

    fn build_one(&self, package: &str, name: &str) -> Result<()> {
        let unfinished = self.path(&format!(".{name}"));
        Go::default().build(package, LINK, &unfinished)?;
        fs::rename(&unfinished, self.path(name)).map_err(Error::at("move", &unfinished))
    }

    fn copy_istio_files(&self) -> Result<()> {
        let module = Self::istio_module()?;
        for (source, name) in ISTIO_FILES {
            let source = module.join(source);
            let content = fs::read(&source).map_err(Error::at("read", &source))?;
            fs::write(self.path(name), content).map_err(Error::at("write", &self.path(name)))?;
        }
        Ok(())
    }
}

fn istioctl() -> String {
    cache::key("istioctl", &[ISTIOCTL_SOURCE])
}

fn step(name: &str) -> String {
    format!("build {name}")
}
