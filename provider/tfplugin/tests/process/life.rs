//! From the first call to the exit.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use contract::wire::provider_client::ProviderClient;
use contract::{Action, Address, Client, ClientCertificate, connect, wire};
use proto::plugin::grpc_broker_client::GrpcBrokerClient;
use proto::plugin::grpc_stdio_client::GrpcStdioClient;
use proto::plugin::{ConnInfo, Empty};
use serde_json::{Value, json};

use crate::{configured, signal, start, toy};

#[tokio::test]
async fn a_shutdown_waits_neither_for_open_streams_nor_for_calls() {
    let client = configured(&[("TF_LOG_PROVIDER", "INFO")]).await;
    let mut broker = GrpcBrokerClient::new(client.channel());
    let broker = broker
        .start_stream(tokio_stream::pending::<ConnInfo>())
        .await
        .unwrap();
    let stdio = GrpcStdioClient::new(client.channel())
        .stream_stdio(Empty {})
        .await
        .unwrap();
    let config = json!({ "text": "a", "fault": "hang" });
    let note = client.resource("toy_note").unwrap();
    let plan = note.plan(None, &config).await.unwrap().ok().unwrap();
    {
        let mut hanging = std::pin::pin!(note.apply(&plan, &config));
        tokio::select! {
            _ = &mut hanging => panic!("it hangs"),
            written = client.process().unwrap().logged("written") => written.unwrap(),
        }
    }
    // Terraform kills after two seconds: then this would fail.
    let status = client.shutdown().await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    drop((broker, stdio));
}

#[tokio::test]
async fn ctrl_c_keeps_what_was_reached_and_later_calls_work() {
    let client = configured(&[("TF_LOG_PROVIDER", "INFO")]).await;
    let note = client.resource("toy_note").unwrap();
    let config = json!({ "text": "a", "fault": "hang" });
    let plan = note.plan(None, &config).await.unwrap().ok().unwrap();
    let process = client.process().unwrap();
    let stop = async {
        process.logged("written").await.unwrap();
        // Ctrl-C reaches the whole process group; Terraform then asks to stop.
        signal("INT", process.id().unwrap());
        client.stop().await.unwrap();
    };
    let (answer, ()) = tokio::join!(note.apply(&plan, &config), stop);
    let answer = answer.unwrap();
    assert_eq!(answer.errors().len(), 1);
    let state = answer.value.unwrap();
    assert!(state.tainted);
    assert_eq!(state.value["writer"], json!(process.id().unwrap()));
    note.destroy(&state).await.unwrap();
    assert_eq!(client.shutdown().await.unwrap().unwrap().code(), Some(0));
}

#[tokio::test]
async fn twenty_mebibytes_survive_the_way_there_and_back() {
    let client = configured(&[]).await;
    let note = client.resource("toy_note").unwrap();
    let config = json!({ "text": "x".repeat(20 << 20) });
    let plan = note.plan(None, &config).await.unwrap().ok().unwrap();
    let state = note.apply(&plan, &config).await.unwrap().ok().unwrap();
    assert!(state.value["text"] == config["text"], "another text");
}

#[tokio::test]
async fn a_fresh_process_validates_and_plans_without_having_sent_its_schema() {
    let schema = configured(&[]).await;
    let config = json!({ "text": "a" });
    let note = schema.resource("toy_note").unwrap();
    let ty = contract::schema::object(note.attributes());
    let value = contract::Value::from_json(&config, &ty).unwrap();
    let encoded = |value: &contract::Value| {
        Some(wire::DynamicValue {
            msgpack: value.to_msgpack(),
            json: vec![],
        })
    };

    let own = ClientCertificate::new().unwrap();
    let fresh = start(&[], Some(&own)).await;
    let mut calls = ProviderClient::new(fresh.connect(Some(&own)).await.unwrap());
    let validated = calls.validate_resource_config(wire::validate_resource_config::Request {
        type_name: "toy_note".to_owned(),
        config: encoded(&value),
        client_capabilities: None,
    });
    assert_eq!(validated.await.unwrap().into_inner().diagnostics, vec![]);
    let planned = calls.plan_resource_change(wire::plan_resource_change::Request {
        type_name: "toy_note".to_owned(),
        prior_state: encoded(&contract::Value::Null),
        proposed_new_state: encoded(&value),
        config: encoded(&value),
        ..Default::default()
    });
    let planned = planned.await.unwrap().into_inner();
    assert_eq!(planned.diagnostics, vec![]);
    let planned =
        contract::Value::from_msgpack(&planned.planned_state.unwrap().msgpack, &ty).unwrap();
    assert_eq!(planned["writer"], contract::Value::Unknown);
}

#[tokio::test]
async fn ten_calls_at_once_are_answered_each() {
    let client = configured(&[]).await;
    let note = client.resource("toy_note").unwrap();
    let calls = (0..10).map(|number| {
        let (note, config) = (&note, json!({ "text": number.to_string() }));
        async move {
            let plan = note.plan(None, &config).await.unwrap().ok().unwrap();
            note.apply(&plan, &config).await.unwrap().ok().unwrap()
        }
    });
    for (number, state) in futures::future::join_all(calls).await.iter().enumerate() {
        assert_eq!(state.value["text"], json!(number.to_string()));
    }
}

#[tokio::test]
async fn a_debugged_process_serves_several_clients_until_sigint() {
    let mut command = Command::new(toy());
    let mut process = command
        .arg("--debug")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let attached = lines.filter_map(|line| {
        let (_, json) = line.split_once("TF_REATTACH_PROVIDERS='")?;
        serde_json::from_str::<Value>(json.strip_suffix('\'')?).ok()
    });
    let attached = attached.take(1).next().expect("how to attach");
    let attached = &attached["registry.terraform.io/test/toy"];
    let expected = json!({
        "Protocol": "grpc", "ProtocolVersion": 6, "Pid": process.id(), "Test": true, "Addr": attached["Addr"],
    });
    assert_eq!(*attached, expected);
    assert_eq!(attached["Addr"]["Network"], "unix");
    let socket = attached["Addr"]["String"].as_str().unwrap();

    let mut state = None;
    for _ in 0..2 {
        let client = Client::over(connect(&Address::Unix(socket.into())).await.unwrap())
            .await
            .unwrap();
        client.configure(&json!({})).await.unwrap().ok().unwrap();
        let note = client.resource("toy_note").unwrap();
        let config = json!({ "text": "a" });
        let plan = note
            .plan(state.as_ref(), &config)
            .await
            .unwrap()
            .ok()
            .unwrap();
        let applied = note.apply(&plan, &config).await.unwrap().ok().unwrap();
        assert_eq!(applied.value["writer"], json!(process.id()));
        let again = note
            .plan(Some(&applied), &config)
            .await
            .unwrap()
            .ok()
            .unwrap();
        assert_eq!(again.action, Action::NoOp);
        state = Some(applied);
    }
    signal("INT", process.id());
    assert_eq!(process.wait().unwrap().code(), Some(0));
    assert!(!std::path::Path::new(socket).exists());
}

#[tokio::test]
async fn sigterm_ends_the_process_and_removes_its_socket() {
    let mut process = start(&[], None).await;
    let Address::Unix(socket) = process.handshake.address.clone() else {
        panic!("TCP")
    };
    signal("TERM", process.id().unwrap());
    assert_eq!(process.wait().await.unwrap().code(), Some(0));
    assert!(!socket.exists());
}
