//! Runs an ephemeral resource as Terraform does.

use proto::tfplugin6 as wire;
use serde_json::Value as Json;

use super::{broken, deferred};
use crate::answer::{Answer, decode, encode, failed};
use crate::client::capabilities;
use crate::schema::{self, Attributes};
use crate::{Client, Error, Path, Rule, Type, Value, rules};

/// An ephemeral resource of a provider.
#[derive(Debug)]
pub struct EphemeralResource<'a> {
    client: &'a Client,
    name: String,
    attributes: Attributes,
    ty: Type,
}

/// An opened ephemeral resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// Attributes; never unknown.
    pub value: Value,
    /// Time at which it must be renewed, in seconds since 1970.
    pub renew_at: Option<i64>,
    /// Private data of the provider.
    pub private: Option<Vec<u8>>,
}

impl Client {
    /// Returns an ephemeral resource.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchType`], or [`Error::Broken`] if Terraform would reject its schema.
    pub fn ephemeral_resource(&self, name: &str) -> Result<EphemeralResource<'_>, Error> {
        let found = self
            .schema()
            .ephemeral_resource_schemas
            .get(name)
            .ok_or_else(|| Error::NoSuchType(name.to_owned()))?;
        let at = Path::default().then(&name.to_owned());
        let attributes = schema::read(Some(found), &at)?;
        Ok(EphemeralResource::new(self, name, attributes))
    }
}

impl<'a> EphemeralResource<'a> {
    fn new(client: &'a Client, name: &str, attributes: Attributes) -> Self {
        Self {
            client,
            name: name.to_owned(),
            ty: schema::object(&attributes),
            attributes,
        }
    }

    /// Validates a configuration.
    ///
    /// # Errors
    /// Returns [`Error::Config`] or [`Error::Call`].
    pub async fn validate(&self, config: &Json) -> Result<Answer<()>, Error> {
        self.validate_value(&self.config(config)?).await
    }

    /// Validates and opens the resource. The result must be known and must contain the configured values.
    ///
    /// # Errors
    /// Returns [`Error::Config`], [`Error::Call`] or [`Error::Broken`].
    pub async fn open(&self, config: &Json) -> Result<Answer<Opened>, Error> {
        let config = self.config(config)?;
        let valid = self.validate_value(&config).await?;
        if valid.value.is_none() {
            return Ok(Answer {
                value: None,
                diagnostics: valid.diagnostics,
            });
        }
        let request = wire::open_ephemeral_resource::Request {
            type_name: self.name.clone(),
            config: Some(encode(&config)),
            client_capabilities: Some(capabilities()),
        };
        let mut raw = self.client.raw();
        let response = raw.open_ephemeral_resource(request).await?.into_inner();
        deferred(response.deferred)?;
        if failed(&response.diagnostics) {
            return Ok(Answer::new(None, &response.diagnostics));
        }
        let value = decode(response.result.as_ref(), &self.ty)?;
        if value == Value::Null {
            let text = "an ephemeral resource returned neither a result nor an error";
            return Err(broken(Rule::Existence, text));
        }
        rules::state(&self.attributes, &value)?;
        rules::plan(&self.attributes, &Value::Null, &config, &value)?;
        let opened = Opened {
            value,
            renew_at: response.renew_at.map(|at| at.seconds),
            private: response.private,
        };
        Ok(Answer::new(Some(opened), &response.diagnostics))
    }

    /// Renews an opened resource, as Terraform does at its renewal time.
    ///
    /// # Errors
    /// Returns [`Error::Call`].
    pub async fn renew(&self, opened: &mut Opened) -> Result<Answer<()>, Error> {
        let request = wire::renew_ephemeral_resource::Request {
            type_name: self.name.clone(),
            private: opened.private.clone(),
        };
        let mut raw = self.client.raw();
        let response = raw.renew_ephemeral_resource(request).await?.into_inner();
        let renewed = (!failed(&response.diagnostics)).then_some(());
        if renewed.is_some() {
            opened.renew_at = response.renew_at.map(|at| at.seconds);
            opened.private = response.private;
        }
        Ok(Answer::new(renewed, &response.diagnostics))
    }

    /// Closes an opened resource.
    ///
    /// # Errors
    /// Returns [`Error::Call`].
    pub async fn close(&self, opened: Opened) -> Result<Answer<()>, Error> {
        let request = wire::close_ephemeral_resource::Request {
            type_name: self.name.clone(),
            private: opened.private,
        };
        let mut raw = self.client.raw();
        let response = raw.close_ephemeral_resource(request).await?.into_inner();
        let closed = (!failed(&response.diagnostics)).then_some(());
        Ok(Answer::new(closed, &response.diagnostics))
    }

    fn config(&self, config: &Json) -> Result<Value, Error> {
        let value = schema::with_blocks(&self.attributes, Value::from_json(config, &self.ty)?);
        schema::required(&self.attributes, &value)?;
        Ok(value)
    }

    async fn validate_value(&self, config: &Value) -> Result<Answer<()>, Error> {
        let request = wire::validate_ephemeral_resource_config::Request {
            type_name: self.name.clone(),
            config: Some(encode(config)),
        };
        let response = self
            .client
            .raw()
            .validate_ephemeral_resource_config(request)
            .await?
            .into_inner();
        Ok(Answer::new(
            (!failed(&response.diagnostics)).then_some(()),
            &response.diagnostics,
        ))
    }
}
