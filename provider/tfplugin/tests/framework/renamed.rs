//! A resource whose schema has changed once: what version 0 called `name` is called `title` since.

use plugin::{
    Deadline, Diagnostic, Diagnostics, Done, Paths, Planned, Provider, Raw, Registration, Resource,
    Rule, Stage, Stored, object, resource,
};
use proto::tfplugin6::{self as wire, RawState, provider_server::Provider as _};
use serde_json::json;
use tfplugin::Server;
use tokio::time::Instant;
use tonic::Request;

use crate::robustness::{meaning, reported};
use crate::toy::{Config, World};

object! {
    /// A book.
    pub(crate) struct BookInput {
        /// Its title.
        Required title: String,
        /// Its pages.
        Optional pages: Vec<u32>,
    }
}

object! {
    /// What the world made of it.
    pub(crate) struct BookOutput {
        /// Its id.
        Computed id: String,
    }
}

struct Book;

impl Resource for Book {
    const NAME: &'static str = "toy_book";
    const VERSION: u32 = 1;

    type Input = BookInput;
    type Output = BookOutput;
    type Context = World;

    fn describe_rule(_: Rule) -> &'static str {
        ""
    }

    fn upgrade(stored: Stored) -> Result<Raw, Diagnostics> {
        let Raw::Map(mut fields) = stored.state else {
            return Err(Diagnostic::error("Not a book", "It has no fields.").into());
        };
        assert_eq!(stored.version, 0);
        let name = fields.remove("name").unwrap_or_default();
        fields.insert("title".into(), name);
        Ok(Raw::Map(fields))
    }

    fn check(_: &BookInput, _: &Paths) -> Diagnostics {
        Diagnostics::none()
    }

    fn plan(_: &Stage<'_, Self>) -> Planned<BookOutput> {
        Planned::new(BookOutput::default())
    }

    async fn apply(
        _: &World,
        _: &Stage<'_, Self>,
        _: &Deadline,
        _: &mut Option<BookOutput>,
    ) -> Done {
        Ok(Diagnostics::none())
    }

    async fn read(_: &World, _: &BookInput, _: Instant, _: &mut Option<BookOutput>) -> Done {
        Ok(Diagnostics::none())
    }
}

struct Library;

impl Provider for Library {
    type Config = Config;
    type Context = World;

    fn check(_: &Config, _: &Paths) -> Diagnostics {
        Diagnostics::none()
    }

    fn configure(&self, _: Config) -> Result<World, Diagnostics> {
        Ok(World::default())
    }

    fn resources() -> Vec<Registration<World>> {
        vec![resource::<Book>()]
    }
}

async fn upgrade(version: i64, json: &str) -> wire::upgrade_resource_state::Response {
    let request = wire::upgrade_resource_state::Request {
        type_name: "toy_book".into(),
        version,
        raw_state: Some(RawState {
            json: json.as_bytes().to_vec(),
            ..Default::default()
        }),
    };
    let answered = Server::new(Library)
        .upgrade_resource_state(Request::new(request))
        .await;
    answered.unwrap().into_inner()
}

#[tokio::test]
async fn a_state_of_an_earlier_version_is_brought_over_and_no_later_one() {
    let earlier = r#"{"name": "Emma", "pages": [1, 2], "gone": {"a": [true, null]}, "id": "1"}"#;
    let reply = upgrade(0, earlier).await;
    assert_eq!(
        meaning(reply.upgraded_state.as_ref()),
        json!({"title": "Emma", "pages": [1, 2], "id": "1"})
    );
    let now = r#"{"title": "Emma", "id": "1"}"#;
    let reply = upgrade(1, now).await;
    assert_eq!(
        meaning(reply.upgraded_state.as_ref()),
        json!({"title": "Emma", "pages": null, "id": "1"})
    );
    assert!(reported(&upgrade(2, now).await.diagnostics).contains("knows version 1"));
    for (broken, cause) in [("[]", "Not a book"), ("{", "cannot be read")] {
        let reply = upgrade(0, broken).await;
        assert!(reply.upgraded_state.is_none(), "{broken}");
        assert!(reported(&reply.diagnostics).contains(cause), "{broken}");
    }
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(100), "]".repeat(100));
    assert!(reported(&upgrade(0, &deep).await.diagnostics).contains("nested too deeply"));
}

#[tokio::test]
async fn a_schema_names_its_version() {
    let request = Request::new(wire::get_provider_schema::Request {});
    let schemas = Server::new(Library).get_provider_schema(request).await;
    let schemas = schemas.unwrap().into_inner().resource_schemas;
    assert_eq!(schemas["toy_book"].version, 1);
}
