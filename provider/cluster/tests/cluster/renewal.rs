//! Certificates of exec plugins in long runs.

use cluster::{Cluster, ClusterError, Exec, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

use tokio::time::Instant;

use crate::bed::{later, server, workload};
use crate::certificates::{Authority, version_1};

const ADMIN: &str = "CN=admin,O=system:masters";

fn read(name: &str) -> String {
    std::fs::read_to_string(server().file(name)).unwrap()
}

/// A plugin that prints what is in a file.
struct Plugin {
    folder: TempDir,
}

impl Plugin {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Prints a certificate from now on, issued by this CA.
    fn print(&self, subject: &str, (ca, key): (&str, &str), until: Value) {
        let (certificate, key) = version_1(subject, ca, key);
        let mut status = json!({ "clientCertificateData": certificate, "clientKeyData": key });
        status["expirationTimestamp"] = until;
        let path = self.folder.path().join("answer");
        std::fs::write(path, json!({ "status": status }).to_string()).unwrap();
    }

    async fn connect(&self) -> Cluster {
        let path = self.folder.path().join("answer");
        let exec = Exec {
            api_version: "client.authentication.k8s.io/v1".into(),
            command: "cat".into(),
            args: vec![path.display().to_string()],
            env: [].into(),
        };
        let settings = Settings {
            host: Some(server().url()),
            cluster_ca_certificate: Some(read("ca.crt")),
            exec: Some(exec),
            ..Settings::default()
        };
        Cluster::connect(&settings, &|_| None).await.unwrap()
    }
}

/// Who the connection is made as changes with the certificate.
#[tokio::test]
async fn a_certificate_of_a_plugin_is_renewed_before_it_ends() {
    let (plugin, id, other) = (Plugin::new(), workload(), workload());
    let (ca, key) = (read("ca.crt"), read("ca.key"));
    plugin.print("CN=nobody", (&ca, &key), "2000-01-01T00:00:00Z".into());
    let cluster = plugin.connect().await;
    let error = cluster.observe(&id, &[]).await.unwrap_err();
    assert!(matches!(error, ClusterError::Forbidden { .. }), "{error}");
    plugin.print(ADMIN, (&ca, &key), Value::Null);
    // One that is over is renewed after a moment.
    let end = later();
    while cluster.observe(&other, &[]).await.is_err() {
        assert!(Instant::now() < end, "it is not renewed");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_any_longer_is_renewed() {
    let (plugin, id) = (Plugin::new(), workload());
    let (ca, key) = (read("ca.crt"), read("ca.key"));
    let other = Authority::new();
    plugin.print(ADMIN, (&other.pem(), &other.key()), Value::Null);
    let cluster = plugin.connect().await;
    plugin.print(ADMIN, (&ca, &key), Value::Null);
    cluster.observe(&id, &[]).await.unwrap();
}
