//! The root of the mesh is rotated: a connected proxy follows, a disconnected one is planned for repair.

use std::fs;
use std::path::Path;

use acceptance_tests::workload::Workload;
use acceptance_tests::{Beside, Done, Result, Scenario, wait_for};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bed::Machine;
use serde_json::json;

use crate::faults::new_root;

const NAMESPACE: &str = "bookinfo";
const ROOT: &str = "/etc/certs/root-cert.pem";

/// A certificate of the mesh and its key, in PEM.
struct Authority {
    certificate: String,
    key: String,
}

/// Returns the one that istiod generated.
fn own(bed: &Beside) -> Result<Authority> {
    let secret = bed
        .kubectl()
        .get("/api/v1/namespaces/istio-system/secrets/istio-ca-secret")?;
    let part = |name: &str| {
        let base64 = secret["data"][name].as_str();
        let pem = base64.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
        pem.unwrap_or_default()
    };
    Ok(Authority {
        certificate: part("ca-cert.pem"),
        key: part("ca-key.pem"),
    })
}

/// Returns a new one.
fn another(folder: &Path) -> Result<Authority> {
    let key = folder.join("another.key");
    Ok(Authority {
        certificate: new_root(&key)?,
        key: fs::read_to_string(&key)?,
    })
}

/// Configures istiod to sign with one authority, and all proxies to trust the roots.
fn sign(bed: &Beside, by: &Authority, roots: &[&Authority]) -> Done {
    let folder = bed.folder().join("istiod/etc/cacerts");
    fs::create_dir_all(&folder)?;
    let roots: String = roots.iter().map(|root| root.certificate.as_str()).collect();
    let files = [
        ("ca-cert.pem", &by.certificate),
        ("ca-key.pem", &by.key),
        ("cert-chain.pem", &by.certificate),
        ("root-cert.pem", &roots),
    ];
    for (name, content) in files {
        fs::write(folder.join(name), content)?;
    }
    bed.restart_istiod(&[])?;
    let map = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/istio-ca-root-cert");
    wait_for("istiod distributes the roots", || {
        let reported = bed.kubectl().get(&map)?;
        Ok::<_, bed::Error>(reported["data"]["root-cert.pem"] == json!(roots))
    })
}

/// Returns true if the proxy's own certificate is signed by an authority.
fn is_signed_by(vm: &Machine, by: &Authority) -> Result<bool> {
    vm.write("/root/by.pem", by.certificate.as_bytes())?;
    Ok(vm
        .exec(&[
            "openssl",
            "verify",
            "-partial_chain",
            "-CAfile",
            "/root/by.pem",
            "/etc/certs/cert-chain.pem",
        ])?
        .success())
}

#[tokio::test]
async fn a_connected_proxy_follows_a_new_root_and_a_disconnected_one_is_planned() -> Done {
    let scenario = Scenario::begin("rotation")?;
    let bed = Beside::up(&scenario, "rotation", 2, 0)?;
    let (there, away) = (&bed.vms[0], &bed.vms[1]);
    let mut follows = Workload::beside(&scenario, &bed, there, NAMESPACE)?;
    // It renews its certificate after half of this time.
    follows.config["env"] = json!({ "SECRET_TTL": "40s" });
    follows.converge().await?;
    let mut misses = Workload::beside(&scenario, &bed, away, NAMESPACE)?;
    misses.config["name"] = json!("away");
    misses.config["services"]["ratings"]["hosts"] = json!(["away.example.com"]);
    misses.converge().await?;
    away.kill()?;

    let old = own(&bed)?;
    let new = another(bed.folder())?;
    sign(&bed, &old, &[&old, &new])?;
    wait_for("the proxy trusts both", || {
        Ok::<_, bed::Error>(there.read(ROOT)?.matches("BEGIN").count() == 2)
    })?;
    sign(&bed, &new, &[&old, &new])?;
    wait_for("the proxy has a certificate of the new root", || {
        is_signed_by(there, &new)
    })?;
    follows.refresh().await?;
    assert_eq!(follows.drift("vm"), [""; 0]);
    sign(&bed, &new, &[&new])?;
    wait_for("the proxy trusts the new one only", || {
        Ok::<_, bed::Error>(there.read(ROOT)?.matches("BEGIN").count() == 1)
    })?;
    follows.refresh().await?;
    assert_eq!(follows.drift("vm"), [""; 0]);

    away.start()?;
    away.wait_until_up()?;
    misses.refresh().await?;
    let line = format!("certificate: {ROOT}: the mesh's root was rotated while the proxy was away");
    assert_eq!(misses.drift("vm"), [line]);
    misses.converge().await?;
    assert!(is_signed_by(away, &new)?);
    Ok(())
}
