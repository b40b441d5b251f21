//! A connection with a provider, its schema and its provider block.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::process::ExitStatus;

use proto::tfplugin6 as wire;
use serde_json::Value as Json;
use tokio::io::DuplexStream;
use tonic::transport::Channel;
use wire::provider_client::ProviderClient;

use crate::play::{DataSource, EphemeralResource, Resource};
use crate::schema::{self, Attributes};
use crate::{ClientCertificate, Mismatch, Path, Process, Rule, Type, Value, Violation, process};

/// Why a provider could not be played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The provider broke a rule.
    #[error(transparent)]
    Broken(#[from] Violation),
    /// The provider answered with errors where none were expected.
    #[error("the provider reports {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Diagnostics(Vec<Diagnostic>),
    /// A configuration does not fit the schema: Terraform would not have sent it.
    #[error("the configuration does not fit the schema")]
    Config(#[from] Mismatch),
    /// The schema has no such type.
    #[error("the provider has no type {0}")]
    NoSuchType(String),
    /// A call failed, instead of answering with diagnostics.
    #[error("a call failed with {0}")]
    Call(#[from] Box<tonic::Status>),
    /// The plugin could not be started, or its end could not be awaited.
    #[error("cannot run the plugin")]
    Start(#[source] io::Error),
    /// Something else than a handshake line.
    #[error("the plugin printed {0:?} instead of a handshake line")]
    Handshake(String),
    /// The plugin never wrote what was waited for.
    #[error("the plugin's log never held {0:?}")]
    Silent(String),
    /// No connection with the plugin.
    #[error("cannot connect with the plugin")]
    Connect(#[source] io::Error),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Self::Call(Box::new(status))
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Terraform stops.
    Error,
    /// Terraform tells the user and goes on.
    Warning,
}

/// What the provider tells the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A title.
    pub summary: String,
    /// Cause, consequence, next step.
    pub detail: String,
    /// The attribute it is about, if any.
    pub path: Option<Path>,
}

impl From<&wire::Diagnostic> for Diagnostic {
    fn from(sent: &wire::Diagnostic) -> Self {
        let severity = match sent.severity() {
            wire::diagnostic::Severity::Warning => Severity::Warning,
            _ => Severity::Error,
        };
        let path = sent.attribute.as_ref().map(Path::from);
        Self {
            severity,
            summary: sent.summary.clone(),
            detail: sent.detail.clone(),
            path,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            severity,
            summary,
            detail,
            path,
        } = self;
        write!(f, "{severity:?}: {summary}")?;
        path.iter().try_for_each(|path| write!(f, " at {path}"))?;
        if detail.is_empty() {
            Ok(())
        } else {
            write!(f, ": {detail}")
        }
    }
}

/// What came of a call: a value, diagnostics, or both.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// What the provider answered; after an error, what Terraform would keep.
    pub value: Option<T>,
    /// What it tells the user.
    pub diagnostics: Vec<Diagnostic>,
}

impl<T> Answer<T> {
    pub(crate) fn new(value: Option<T>, diagnostics: &[wire::Diagnostic]) -> Self {
        Self {
            value,
            diagnostics: diagnostics.iter().map(Diagnostic::from).collect(),
        }
    }

    /// Returns the errors, without the warnings.
    pub fn errors(&self) -> Vec<&Diagnostic> {
        self.diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .collect()
    }

    /// Returns the value of a call that went well.
    ///
    /// # Errors
    /// [`Error::Diagnostics`] if there is any error, or no value.
    pub fn ok(self) -> Result<T, Error> {
        match self.value {
            Some(value)
                if self
                    .diagnostics
                    .iter()
                    .all(|one| one.severity == Severity::Warning) =>
            {
                Ok(value)
            }
            _ => Err(Error::Diagnostics(self.diagnostics)),
        }
    }
}

/// Tells whether the call failed.
pub(crate) fn failed(diagnostics: &[wire::Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|one| Diagnostic::from(one).severity == Severity::Error)
}

/// Reads a value of an answer: absent is null, which `at` tells apart where it matters.
pub(crate) fn decode(sent: Option<&wire::DynamicValue>, ty: &Type) -> Result<Value, Violation> {
    let Some(sent) = sent else {
        return Ok(Value::Null);
    };
    let read = if !sent.msgpack.is_empty() {
        Value::from_msgpack(&sent.msgpack, ty)
    } else if sent.json.is_empty() {
        Ok(Value::Null)
    } else {
        serde_json::from_slice(&sent.json)
            .map_err(|error| Mismatch {
                path: Path::default(),
                text: error.to_string(),
            })
            .and_then(|json| Value::from_json(&json, ty))
    };
    read.map_err(|Mismatch { path, text }| Violation {
        rule: Rule::Encoding,
        path,
        text,
    })
}

/// Returns the wire form of a value.
pub(crate) fn encode(value: &Value) -> wire::DynamicValue {
    wire::DynamicValue {
        msgpack: value.to_msgpack(),
        json: Vec::new(),
    }
}

/// Terraform, as far as a provider sees it.
#[derive(Debug)]
pub struct Client {
    channel: Channel,
    process: Option<Process>,
    schema: wire::get_provider_schema::Response,
    identities: BTreeMap<String, wire::ResourceIdentitySchema>,
    provider: Attributes,
}

impl Client {
    /// Starts a plugin, connects over mutual TLS and reads the schema. `env` comes on top of the own environment.
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

    /// Plays a server at the other end of `io`.
    ///
    /// # Errors
    /// See [`Client::over`].
    pub async fn in_memory(io: DuplexStream) -> Result<Self, Error> {
        Self::over(process::in_memory(io).await?).await
    }

    /// Reads the schema over a connection that stands.
    ///
    /// # Errors
    /// [`Error::Call`], [`Error::Diagnostics`], and [`Error::Broken`] for a schema that Terraform would not load.
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

    /// Returns the process, if this client started one.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Returns the calls of the protocol, for what is not played. Takes and gives messages of up to 2 GiB.
    pub fn raw(&self) -> ProviderClient<Channel> {
        ProviderClient::new(self.channel.clone()).max_decoding_message_size(2 << 30)
    }

    /// Returns the connection, for other services of the plugin.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Validates a provider block and, if that goes well, configures the provider with it.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Call`].
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

    /// Returns a resource type, to be played.
    ///
    /// # Errors
    /// [`Error::NoSuchType`]; [`Error::Broken`] if Terraform would not load its schema.
    pub fn resource(&self, name: &str) -> Result<Resource<'_>, Error> {
        let found = self
            .schema
            .resource_schemas
            .get(name)
            .ok_or_else(|| Error::NoSuchType(name.to_owned()))?;
        let at = Path::default().then(&name.to_owned());
        let attributes = schema::read(Some(found), &at)?;
        let identity = self
            .identities
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

    /// Returns a data source, to be played.
    ///
    /// # Errors
    /// [`Error::NoSuchType`]; [`Error::Broken`] if Terraform would not load its schema.
    pub fn data_source(&self, name: &str) -> Result<DataSource<'_>, Error> {
        let found = self
            .schema
            .data_source_schemas
            .get(name)
            .ok_or_else(|| Error::NoSuchType(name.to_owned()))?;
        let at = Path::default().then(&name.to_owned());
        Ok(DataSource::new(self, name, schema::read(Some(found), &at)?))
    }

    /// Returns an ephemeral resource, to be played.
    ///
    /// # Errors
    /// [`Error::NoSuchType`]; [`Error::Broken`] if Terraform would not load its schema.
    pub fn ephemeral_resource(&self, name: &str) -> Result<EphemeralResource<'_>, Error> {
        let found = self
            .schema
            .ephemeral_resource_schemas
            .get(name)
            .ok_or_else(|| Error::NoSuchType(name.to_owned()))?;
        let at = Path::default().then(&name.to_owned());
        let attributes = schema::read(Some(found), &at)?;
        Ok(EphemeralResource::new(self, name, attributes))
    }

    /// Tells the provider that the user wants to stop.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub async fn stop(&self) -> Result<(), Error> {
        self.raw()
            .stop_provider(wire::stop_provider::Request {})
            .await?;
        Ok(())
    }

    /// Ends the plugin as Terraform does; none if this client did not start it.
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

/// What Terraform 1.11 can do.
pub(crate) fn capabilities() -> wire::ClientCapabilities {
    wire::ClientCapabilities {
        write_only_attributes_allowed: true,
        ..Default::default()
    }
}
