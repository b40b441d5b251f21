//! A correct provider of one resource and one data source with the same schema, whose responses a test can falsify.

use std::collections::BTreeMap;

use contract::schema::{Attributes, object};
use contract::{Client, Type, Value, wire};
use serde_json::json;
use tokio_stream::StreamExt;
use tonic::{Request, Response, Status};
use wire::provider_server::{Provider, ProviderServer};
use wire::schema::object::NestingMode;
use wire::schema::{Attribute, Block, Object};

/// A response to plan, apply, read, import or upgrade before it is encoded.
#[expect(clippy::struct_excessive_bools, reason = "each is one way to be wrong")]
pub(crate) struct Reply {
    /// The call: `plan`, `destroy plan`, `apply`, `delete`, `read`, `import`, `upgrade`, `data`.
    pub(crate) call: &'static str,
    /// Whether the whole configuration is known, as in the second plan.
    pub(crate) again: bool,
    pub(crate) value: Option<Value>,
    pub(crate) identity: Option<Value>,
    pub(crate) replace: Vec<&'static str>,
    pub(crate) type_name: &'static str,
    pub(crate) copies: usize,
    pub(crate) legacy: bool,
    pub(crate) deferred: bool,
    pub(crate) error: bool,
}

impl Reply {
    /// Sets an attribute of the value.
    pub(crate) fn set(&mut self, name: &str, to: Value) {
        if let Some(Value::Map(all)) = &mut self.value {
            all.insert(name.to_owned(), to);
        }
    }
}

pub(crate) type Spoil = fn(&mut Reply);

pub(crate) struct Scripted(pub(crate) Spoil);

/// Starts a correct provider in memory, with its responses changed by `spoil`.
pub(crate) async fn client(spoil: Spoil) -> Client {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    // The server shuts down gracefully once no more clients can connect.
    let clients =
        tokio_stream::once(Ok::<_, std::io::Error>(theirs)).chain(tokio_stream::pending());
    let server =
        tonic::transport::Server::builder().add_service(ProviderServer::new(Scripted(spoil)));
    tokio::spawn(server.serve_with_incoming(clients));
    Client::in_memory(ours).await.unwrap()
}

pub(crate) fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn attribute(name: &str, flags: &str) -> Attribute {
    Attribute {
        name: name.to_owned(),
        r#type: b"\"string\"".to_vec(),
        required: flags.contains("required"),
        optional: flags.contains("optional"),
        computed: flags.contains("computed"),
        write_only: flags.contains("write_only"),
        ..Attribute::default()
    }
}

fn block() -> Block {
    let server = Object {
        attributes: vec![attribute("host", "required")],
        nesting: NestingMode::Single.into(),
    };
    let nested = Attribute {
        r#type: Vec::new(),
        nested_type: Some(server),
        ..attribute("server", "optional")
    };
    let list = |name| Attribute {
        r#type: br#"["list","string"]"#.to_vec(),
        ..attribute(name, "optional")
    };
    let rule = wire::schema::NestedBlock {
        type_name: "rule".to_owned(),
        block: Some(Block {
            attributes: vec![attribute("port", "required")],
            ..Block::default()
        }),
        nesting: wire::schema::nested_block::NestingMode::List.into(),
        ..Default::default()
    };
    let attributes = vec![
        attribute("id", "computed"),
        attribute("name", "required"),
        attribute("secret", "optional write_only"),
        list("tags"),
        nested,
    ];
    Block {
        attributes,
        block_types: vec![rule],
        ..Block::default()
    }
}

fn ty() -> Type {
    let string = || Type::String;
    let of = |name: &str, ty| Type::Object(BTreeMap::from([(name.to_owned(), ty)]));
    let Type::Object(mut all) = object(&Attributes::new()) else {
        unreachable!()
    };
    all.extend([
        ("id".to_owned(), string()),
        ("name".to_owned(), string()),
        ("secret".to_owned(), string()),
        ("tags".to_owned(), Type::List(Box::new(string()))),
        ("server".to_owned(), of("host", string())),
        (
            "rule".to_owned(),
            Type::List(Box::new(of("port", string()))),
        ),
    ]);
    Type::Object(all)
}

pub(crate) fn value(sent: Option<&wire::DynamicValue>) -> Value {
    sent.map_or(Value::Null, |sent| {
        Value::from_msgpack(&sent.msgpack, &ty()).unwrap()
    })
}

impl Scripted {
    fn reply(&self, call: &'static str, value: Value, identity: Value) -> Reply {
        self.reply_to_config(call, value, identity, &Value::Null)
    }

    fn reply_to_config(
        &self,
        call: &'static str,
        value: Value,
        identity: Value,
        config: &Value,
    ) -> Reply {
        let identity = Some(Value::Map(BTreeMap::from([("name".to_owned(), identity)])));
        let mut reply = Reply {
            call,
            again: config.is_known(),
            value: Some(value),
            identity,
            replace: Vec::new(),
            type_name: "thing",
            copies: 1,
            legacy: false,
            deferred: false,
            error: false,
        };
        reply.set("secret", Value::Null);
        (self.0)(&mut reply);
        reply
    }
}

fn encoded(value: Option<&Value>) -> Option<wire::DynamicValue> {
    value.map(|value| wire::DynamicValue {
        msgpack: value.to_msgpack(),
        json: Vec::new(),
    })
}

fn identity(reply: &Reply) -> Option<wire::ResourceIdentityData> {
    reply
        .identity
        .as_ref()
        .map(|identity| wire::ResourceIdentityData {
            identity_data: encoded(Some(identity)),
        })
}

fn deferred(reply: &Reply) -> Option<wire::Deferred> {
    reply.deferred.then(wire::Deferred::default)
}

fn diagnostics(reply: &Reply) -> Vec<wire::Diagnostic> {
    let error = wire::Diagnostic {
        severity: 1,
        summary: "spoiled".to_owned(),
        ..Default::default()
    };
    if reply.error { vec![error] } else { Vec::new() }
}

#[tonic::async_trait]
impl Provider for Scripted {
    async fn get_provider_schema(
        &self,
        _: Request<wire::get_provider_schema::Request>,
    ) -> Result<Response<wire::get_provider_schema::Response>, Status> {
        let thing = wire::Schema {
            version: 0,
            block: Some(block()),
        };
        Ok(Response::new(wire::get_provider_schema::Response {
            provider: Some(wire::Schema {
                version: 0,
                block: Some(Block::default()),
            }),
            data_source_schemas: [("thing".to_owned(), thing.clone())].into(),
            resource_schemas: [("thing".to_owned(), thing)].into(),
            ..Default::default()
        }))
    }

    async fn get_resource_identity_schemas(
        &self,
        _: Request<wire::get_resource_identity_schemas::Request>,
    ) -> Result<Response<wire::get_resource_identity_schemas::Response>, Status> {
        let name = wire::resource_identity_schema::IdentityAttribute {
            name: "name".to_owned(),
            r#type: b"\"string\"".to_vec(),
            required_for_import: true,
            ..Default::default()
        };
        let schema = wire::ResourceIdentitySchema {
            version: 0,
            identity_attributes: vec![name],
        };
        let identity_schemas = [("thing".to_owned(), schema)].into();
        Ok(Response::new(
            wire::get_resource_identity_schemas::Response {
                identity_schemas,
                diagnostics: Vec::new(),
            },
        ))
    }

    async fn validate_resource_config(
        &self,
        _: Request<wire::validate_resource_config::Request>,
    ) -> Result<Response<wire::validate_resource_config::Response>, Status> {
        Ok(Response::new(
            wire::validate_resource_config::Response::default(),
        ))
    }

    async fn plan_resource_change(
        &self,
        request: Request<wire::plan_resource_change::Request>,
    ) -> Result<Response<wire::plan_resource_change::Response>, Status> {
        let request = request.into_inner();
        let mut planned = value(request.proposed_new_state.as_ref());
        let destroy = planned == Value::Null;
        if let Value::Map(all) = &mut planned {
            all.entry("id".to_owned()).and_modify(|id| {
                if *id == Value::Null {
                    *id = Value::Unknown;
                }
            });
        }
        let name = planned["name"].clone();
        let config = value(request.config.as_ref());
        let call = if destroy { "destroy plan" } else { "plan" };
        let reply = self.reply_to_config(call, planned, name, &config);
        let step = |name: &&str| wire::attribute_path::Step {
            selector: Some(wire::attribute_path::step::Selector::AttributeName(
                (*name).to_owned(),
            )),
        };
        let path = |name| wire::AttributePath {
            steps: vec![step(name)],
        };
        Ok(Response::new(wire::plan_resource_change::Response {
            planned_state: encoded(reply.value.as_ref()),
            requires_replace: reply.replace.iter().map(path).collect(),
            planned_private: b"planned".to_vec(),
            diagnostics: diagnostics(&reply),
            legacy_type_system: reply.legacy,
            deferred: deferred(&reply),
            planned_identity: if destroy { None } else { identity(&reply) },
        }))
    }

    async fn apply_resource_change(
        &self,
        request: Request<wire::apply_resource_change::Request>,
    ) -> Result<Response<wire::apply_resource_change::Response>, Status> {
        let request = request.into_inner();
        let mut applied = value(request.planned_state.as_ref());
        let call = if applied == Value::Null {
            "delete"
        } else {
            "apply"
        };
        if let Value::Map(all) = &mut applied {
            all.insert("id".to_owned(), text("1"));
        }
        let name = applied["name"].clone();
        let reply = self.reply(call, applied, name);
        Ok(Response::new(wire::apply_resource_change::Response {
            new_state: encoded(reply.value.as_ref()),
            private: request.planned_private,
            diagnostics: diagnostics(&reply),
            legacy_type_system: reply.legacy,
            new_identity: identity(&reply),
        }))
    }

    async fn read_resource(
        &self,
        request: Request<wire::read_resource::Request>,
    ) -> Result<Response<wire::read_resource::Response>, Status> {
        let request = request.into_inner();
        let current = value(request.current_state.as_ref());
        let name = current["name"].clone();
        let reply = self.reply("read", current, name);
        Ok(Response::new(wire::read_resource::Response {
            new_state: encoded(reply.value.as_ref()),
            diagnostics: diagnostics(&reply),
            private: request.private,
            deferred: deferred(&reply),
            new_identity: identity(&reply),
        }))
    }

    async fn validate_data_resource_config(
        &self,
        _: Request<wire::validate_data_resource_config::Request>,
    ) -> Result<Response<wire::validate_data_resource_config::Response>, Status> {
        Ok(Response::new(
            wire::validate_data_resource_config::Response::default(),
        ))
    }

    async fn read_data_source(
        &self,
        request: Request<wire::read_data_source::Request>,
    ) -> Result<Response<wire::read_data_source::Response>, Status> {
        let mut found = value(request.into_inner().config.as_ref());
        if let Value::Map(all) = &mut found {
            all.insert("id".to_owned(), text("1"));
        }
        let reply = self.reply("data", found, Value::Null);
        Ok(Response::new(wire::read_data_source::Response {
            state: encoded(reply.value.as_ref()),
            diagnostics: diagnostics(&reply),
            deferred: deferred(&reply),
        }))
    }

    async fn import_resource_state(
        &self,
        request: Request<wire::import_resource_state::Request>,
    ) -> Result<Response<wire::import_resource_state::Response>, Status> {
        let id = request.into_inner().id;
        let state = Value::from_json(&json!({ "id": "1", "name": id, "rule": [] }), &ty()).unwrap();
        let reply = self.reply("import", state, text(&id));
        let imported = wire::import_resource_state::ImportedResource {
            type_name: reply.type_name.to_owned(),
            state: encoded(reply.value.as_ref()),
            private: Vec::new(),
            identity: identity(&reply),
        };
        Ok(Response::new(wire::import_resource_state::Response {
            imported_resources: vec![imported; reply.copies],
            diagnostics: diagnostics(&reply),
            deferred: deferred(&reply),
        }))
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<wire::upgrade_resource_state::Request>,
    ) -> Result<Response<wire::upgrade_resource_state::Response>, Status> {
        let raw = request.into_inner().raw_state.unwrap_or_default();
        let state = Value::from_json(&serde_json::from_slice(&raw.json).unwrap(), &ty()).unwrap();
        let reply = self.reply("upgrade", state, Value::Null);
        Ok(Response::new(wire::upgrade_resource_state::Response {
            upgraded_state: encoded(reply.value.as_ref()),
            diagnostics: diagnostics(&reply),
        }))
    }
}
