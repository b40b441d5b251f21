//! The data source `mesh_network_path`, as far as it goes without a cluster.

use super::provider;
use serde_json::json;

#[tokio::test]
async fn a_path_of_what_is_no_name_is_refused_where_it_stands_and_without_a_cluster_nothing_is_told()
 {
    let client = provider(&json!({ "kubernetes": { "host": "https://127.0.0.1:1" } })).await;
    let source = client.data_source("mesh_network_path").unwrap();
    let wrong = json!({ "namespace": "Book info", "name": "ratings_vm" });
    let told = source.validate(&wrong).await.unwrap().diagnostics;
    let told: Vec<_> = told.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("at namespace") && told[1].contains("at name"),
        "{told:?}"
    );
    let asked = json!({ "namespace": "bookinfo", "name": "ratings-vm-1" });
    let told = source.read(&asked).await.unwrap();
    assert!(told.value.is_none());
    let told = told.diagnostics[0].to_string();
    assert!(told.contains("https://127.0.0.1:1"), "{told}");
}
