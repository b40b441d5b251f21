//! The API server alone, as used by tests of other crates.

use bed::ApiServer;
use serde_json::json;

#[test]
fn two_servers_at_once_know_istio_and_go_when_dropped() {
    let one = ApiServer::start().unwrap();
    let two = ApiServer::start().unwrap();
    one.kubectl()
        .create_namespace("bookinfo", &["ratings"])
        .unwrap();
    let entry = json!({"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
        "metadata": {"namespace": "bookinfo", "name": "a"}, "spec": {"address": "10.0.0.1"}});
    one.kubectl().apply(&entry).unwrap();
    let path = "/apis/networking.istio.io/v1/namespaces/bookinfo/workloadentries/a";
    assert_eq!(
        one.kubectl().get(path).unwrap()["spec"]["address"],
        "10.0.0.1"
    );
    assert_eq!(
        two.kubectl().find(path).unwrap(),
        None,
        "the servers share nothing"
    );
    assert_eq!(
        one.kubectl()
            .token("bookinfo", "ratings", Some("istio-ca"))
            .unwrap()
            .split('.')
            .count(),
        3
    );

    let folder = one.file("");
    let port: u16 = one.url().rsplit(':').next().unwrap().parse().unwrap();
    drop(one);
    assert!(!folder.exists(), "{} remains", folder.display());
    assert!(
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err(),
        "the server still listens"
    );
}
