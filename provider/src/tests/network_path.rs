//! The data source `mesh_network_path`, as far as it goes without a cluster.

use super::provider;
use serde_json::json;

#[tokio::test]
async fn a_path_of_what_is_no_name_is_refused_where_it_stands_and_without_a_cluster_nothing_is_reported()
 {
    let client = provider(&json!({ "kubernetes": { "host": "https://127.0.0.1:1" } })).await;
    let source = client.data_source("mesh_network_path").unwrap();
    let wrong = json!({ "namespace": "Book info", "name": "ratings_vm" });
    let reported = source.validate(&wrong).await.unwrap().diagnostics;
    let reported: Vec<_> = reported.iter().map(ToString::to_string).collect();
    assert_eq!(reported.len(), 2, "{reported:?}");
    assert!(
        reported[0].contains("at namespace") && reported[1].contains("at name"),
        "{reported:?}"
    );
    let asked = json!({ "namespace": "bookinfo", "name": "ratings-vm-1" });
    let reported = source.read(&asked).await.unwrap();
    assert!(reported.value.is_none());
    let reported = reported.diagnostics[0].to_string();
    assert!(reported.contains("https://127.0.0.1:1"), "{reported}");
}
