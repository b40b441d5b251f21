//! Runs a resource through its life cycle as Terraform does.

use proto::tfplugin6 as wire;
use serde_json::Value as Json;

use crate::answer::{Answer, encode, failed};
use crate::client::capabilities;
use crate::schema::{self, Attributes};
use crate::{Client, Error, Path, Rule, Type, Value, Violation};

mod apply;
mod data_source;
mod ephemeral;
mod plan;
mod read;

pub use data_source::DataSource;
pub use ephemeral::{EphemeralResource, Opened};

/// State of a resource, as kept by Terraform.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Attributes; never unknown.
    pub value: Value,
    /// Private data of the provider.
    pub private: Vec<u8>,
    /// Identity, if the type has one.
    pub identity: Option<Value>,
    /// Whether its creation failed halfway; then the next plan replaces it.
    pub tainted: bool,
}

/// Action of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// No change.
    NoOp,
    /// Create the resource.
    Create,
    /// Update it in place.
    Update,
    /// Delete it and create it again.
    Replace,
    /// Delete it.
    Delete,
}

/// A plan that follows the rules.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Action.
    pub action: Action,
    /// State before the change.
    pub prior: Option<State>,
    /// State after the apply, possibly with unknown values; null for a delete.
    pub planned: Value,
    /// Paths whose change requires replacement.
    pub requires_replace: Vec<Path>,
    /// Bytes of the provider's own.
    pub private: Vec<u8>,
    identity: Option<Value>,
}

/// A resource type of a provider.
#[derive(Debug)]
pub struct Resource<'a> {
    client: &'a Client,
    name: String,
    version: i64,
    attributes: Attributes,
    ty: Type,
    identity: Option<Type>,
}

impl Client {
    /// Returns a resource type.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchType`], or [`Error::Broken`] if Terraform would reject its schema.
    pub fn resource(&self, name: &str) -> Result<Resource<'_>, Error> {
        let found = self
            .schema()
            .resource_schemas
            .get(name)
            .ok_or_else(|| Error::NoSuchType(name.to_owned()))?;
        let at = Path::default().then(&name.to_owned());
        let attributes = schema::read(Some(found), &at)?;
        let identity = self
            .identities()
            .get(name)
            .map(|identity| schema::identity(identity, &at))
            .transpose()?;
        Ok(Resource::new(
            self,
            name,
            found.version,
            attributes,
            identity,
        ))
    }
}

impl<'a> Resource<'a> {
    fn new(
        client: &'a Client,
        name: &str,
        version: i64,
        attributes: Attributes,
        identity: Option<Type>,
    ) -> Self {
        let ty = schema::object(&attributes);
        Self {
            client,
            name: name.to_owned(),
            version,
            attributes,
            ty,
            identity,
        }
    }

    /// Returns the attributes of the schema.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Returns the version of the schema.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Parses a configuration: absent attributes are null, and required ones must be set.
    fn config(&self, config: &Json) -> Result<Value, Error> {
        let value = schema::with_blocks(&self.attributes, Value::from_json(config, &self.ty)?);
        schema::required(&self.attributes, &value)?;
        Ok(value)
    }

    /// Validates a configuration.
    ///
    /// # Errors
    /// Returns [`Error::Config`] or [`Error::Call`].
    pub async fn validate(&self, config: &Json) -> Result<Answer<()>, Error> {
        self.validate_value(&self.config(config)?).await
    }

    async fn validate_value(&self, config: &Value) -> Result<Answer<()>, Error> {
        let request = wire::validate_resource_config::Request {
            type_name: self.name.clone(),
            config: Some(encode(config)),
            client_capabilities: Some(capabilities()),
        };
        let response = self
            .client
            .raw()
            .validate_resource_config(request)
            .await?
            .into_inner();
        Ok(Answer::new(
            (!failed(&response.diagnostics)).then_some(()),
            &response.diagnostics,
        ))
    }
}

fn wire_identity(identity: Option<&Value>) -> Option<wire::ResourceIdentityData> {
    identity.map(|identity| wire::ResourceIdentityData {
        identity_data: Some(encode(identity)),
    })
}

fn deferred(deferred: Option<wire::Deferred>) -> Result<(), Error> {
    deferred.map_or(Ok(()), |_| {
        Err(broken(
            Rule::Deferred,
            "deferred, which Terraform did not allow",
        ))
    })
}

fn broken(rule: Rule, text: &str) -> Error {
    Violation {
        rule,
        path: Path::default(),
        text: text.to_owned(),
    }
    .into()
}
