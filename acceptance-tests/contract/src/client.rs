//! A connection to a provider, its schema and its provider block.

use std::collections::BTreeMap;
use std::process::ExitStatus;

use proto::tfplugin6 as wire;
use serde_json::Value as Json;
use tokio::io::DuplexStream;
use tonic::transport::Channel;
use wire::provider_client::ProviderClient;

use crate::answer::{Answer, Error, encode, failed};
use crate::schema::{self, Attributes};
use crate::{ClientCertificate, Path, Process, Value, process};

/// Terraform's side of the connection to a provider.
#[derive(Debug)]
pub struct Client {
    channel: Channel,
    process: Option<Process>,
    schema: wire::get_provider_schema::Response,
    identities: BTreeMap<String, wire::ResourceIdentitySchema>,
    provider: Attributes,
}

impl Client {
    /// Starts a plugin, connects over mutual TLS and reads the schema. `env` is added to the inherited environment.
    ///
    /// # Errors
    /// See [`Process::start`], [`Process::connect`] and [`Client::over`].
    pub async fn launch(
        program: impl AsRef<std::ffi::OsStr>,
        env: &[(&str, &str)],
    ) -> Result<Self, Error> {
        let certificate = ClientCertificate::new().map_err(Error::Start)?;
        let process = Process::start(program, env, Some(&certificate)).await?;
        let channel = process.connect(Some(&certificate)).await?;
        Ok(Self {
            process: Some(process),
            ..Self::over(channel).await?
        })
    }

    /// Connects to a server at the other end of `io`.
    ///
    /// # Errors
    /// See [`Client::over`].
    pub async fn in_memory(io: DuplexStream) -> Result<Self, Error> {
        Self::over(process::in_memory(io).await?).await
    }

    /// Reads the schema over an existing connection.
    ///
    /// # Errors
    /// Returns [`Error::Call`], [`Error::Diagnostics`], or [`Error::Broken`] for a schema that Terraform would reject.
    pub async fn over(channel: Channel) -> Result<Self, Error> {
        let mut raw = ProviderClient::new(channel.clone()).max_decoding_message_size(64 << 20);
        let schema = raw
            .get_provider_schema(wire::get_provider_schema::Request {})
            .await?
            .into_inner();
        Answer::new(Some(()), &schema.diagnostics).ok()?;
        let identities = match raw
            .get_resource_identity_schemas(wire::get_resource_identity_schemas::Request {})
            .await
        {
            Ok(response) => response.into_inner().identity_schemas.into_iter().collect(),
            Err(status) if status.code() == tonic::Code::Unimplemented => BTreeMap::new(),
            Err(status) => return Err(status.into()),
        };
        let provider = schema::read(schema.provider.as_ref(), &Path::default())?;
        let client = Self {
            channel,
            process: None,
            schema,
            identities,
            provider,
        };
        client
            .schema
            .resource_schemas
            .keys()
            .try_for_each(|name| client.resource(name).map(drop))?;
        client
            .schema
            .data_source_schemas
            .keys()
            .try_for_each(|name| client.data_source(name).map(drop))?;
        client
            .schema
            .ephemeral_resource_schemas
            .keys()
            .try_for_each(|name| client.ephemeral_resource(name).map(drop))?;
        Ok(client)
    }

    /// Returns the schema as the provider sent it.
    pub fn schema(&self) -> &wire::get_provider_schema::Response {
        &self.schema
    }

    pub(crate) fn identities(&self) -> &BTreeMap<String, wire::ResourceIdentitySchema> {
        &self.identities
    }

    /// Returns the process, if this client started one.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Returns a client for direct protocol calls. Messages may have up to 2 GiB in both directions.
    pub fn raw(&self) -> ProviderClient<Channel> {
        ProviderClient::new(self.channel.clone()).max_decoding_message_size(2 << 30)
    }

    /// Returns the connection, for other services of the plugin.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Validates a provider block and, if it is valid, configures the provider with it.
    ///
    /// # Errors
    /// Returns [`Error::Config`] or [`Error::Call`].
    pub async fn configure(&self, config: &Json) -> Result<Answer<()>, Error> {
        let value = Value::from_json(config, &schema::object(&self.provider))?;
        schema::required(&self.provider, &value)?;
        let request = wire::validate_provider_config::Request {
            config: Some(encode(&value)),
        };
        let mut diagnostics = self
            .raw()
            .validate_provider_config(request)
            .await?
            .into_inner()
            .diagnostics;
        if failed(&diagnostics) {
            return Ok(Answer::new(None, &diagnostics));
        }
        let request = wire::configure_provider::Request {
            terraform_version: "1.11.4".to_owned(),
            config: Some(encode(&value)),
            client_capabilities: Some(capabilities()),
        };
        diagnostics.extend(
            self.raw()
                .configure_provider(request)
                .await?
                .into_inner()
                .diagnostics,
        );
        Ok(Answer::new(Some(()), &diagnostics))
    }

    /// Sends the provider the request to stop.
    ///
    /// # Errors
    /// Returns [`Error::Call`].
    pub async fn stop(&self) -> Result<(), Error> {
        self.raw()
            .stop_provider(wire::stop_provider::Request {})
            .await?;
        Ok(())
    }

    /// Shuts down the plugin as Terraform does; `None` if this client did not start it.
    ///
    /// # Errors
    /// See [`Process::shutdown`].
    pub async fn shutdown(self) -> Result<Option<ExitStatus>, Error> {
        match self.process {
            Some(process) => process.shutdown(self.channel).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Returns the client capabilities of Terraform 1.11.
pub(crate) fn capabilities() -> wire::ClientCapabilities {
    wire::ClientCapabilities {
        write_only_attributes_allowed: true,
        ..Default::default()
    }
}
