//! Runs a data source as Terraform does.

use proto::tfplugin6 as wire;
use serde_json::Value as Json;

use super::{broken, deferred};
use crate::answer::{Answer, decode, encode, failed};
use crate::client::capabilities;
use crate::schema::{self, Attributes};
use crate::{Client, Error, Path, Rule, Type, Value, rules};

/// A data source of a provider.
#[derive(Debug)]
pub struct DataSource<'a> {
    client: &'a Client,
    name: String,
    attributes: Attributes,
    ty: Type,
}

impl Client {
    /// Returns a data source.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchType`], or [`Error::Broken`] if Terraform would reject its schema.
    pub fn data_source(&self, name: &str) -> Result<DataSource<'_>, Error> {
        let found = self
            .schema()
            .data_source_schemas
            .get(name)
            .ok_or_else(|| Error::NoSuchType(name.to_owned()))?;
        let at = Path::default().then(&name.to_owned());
        Ok(DataSource::new(self, name, schema::read(Some(found), &at)?))
    }
}

impl<'a> DataSource<'a> {
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

    /// Validates and reads the data source. The result must be known and must contain the configured values.
    ///
    /// # Errors
    /// Returns [`Error::Config`], [`Error::Call`] or [`Error::Broken`].
    pub async fn read(&self, config: &Json) -> Result<Answer<Value>, Error> {
        let config = self.config(config)?;
        let valid = self.validate_value(&config).await?;
        if valid.value.is_none() {
            return Ok(Answer {
                value: None,
                diagnostics: valid.diagnostics,
            });
        }
        let request = wire::read_data_source::Request {
            type_name: self.name.clone(),
            config: Some(encode(&config)),
            client_capabilities: Some(capabilities()),
            ..Default::default()
        };
        let response = self
            .client
            .raw()
            .read_data_source(request)
            .await?
            .into_inner();
        deferred(response.deferred)?;
        if failed(&response.diagnostics) {
            return Ok(Answer::new(None, &response.diagnostics));
        }
        let value = decode(response.state.as_ref(), &self.ty)?;
        if value == Value::Null {
            let text = "a data source returned neither a value nor an error";
            return Err(broken(Rule::Existence, text));
        }
        rules::state(&self.attributes, &value)?;
        rules::plan(&self.attributes, &Value::Null, &config, &value)?;
        Ok(Answer::new(Some(value), &response.diagnostics))
    }

    fn config(&self, config: &Json) -> Result<Value, Error> {
        let value = schema::with_blocks(&self.attributes, Value::from_json(config, &self.ty)?);
        schema::required(&self.attributes, &value)?;
        Ok(value)
    }

    async fn validate_value(&self, config: &Value) -> Result<Answer<()>, Error> {
        let request = wire::validate_data_resource_config::Request {
            type_name: self.name.clone(),
            config: Some(encode(config)),
        };
        let response = self
            .client
            .raw()
            .validate_data_resource_config(request)
            .await?
            .into_inner();
        Ok(Answer::new(
            (!failed(&response.diagnostics)).then_some(()),
            &response.diagnostics,
        ))
    }
}
