//! Calls that return a state besides apply: read, import and upgrade.

use proto::tfplugin6 as wire;
use serde_json::Value as Json;

use super::{Resource, State, broken, deferred, wire_identity};
use crate::answer::{Answer, decode, encode, failed};
use crate::client::capabilities;
use crate::{Error, Rule, Value, rules};

impl Resource<'_> {
    /// Reads the resource. The answer has no state if it no longer exists.
    ///
    /// # Errors
    /// Returns [`Error::Call`] or [`Error::Broken`].
    pub async fn read(&self, prior: &State) -> Result<Answer<State>, Error> {
        let request = wire::read_resource::Request {
            type_name: self.name.clone(),
            current_state: Some(encode(&prior.value)),
            private: prior.private.clone(),
            client_capabilities: Some(capabilities()),
            current_identity: wire_identity(prior.identity.as_ref()),
            ..Default::default()
        };
        let response = self.client.raw().read_resource(request).await?.into_inner();
        deferred(response.deferred)?;
        if failed(&response.diagnostics) {
            return Ok(Answer::new(Some(prior.clone()), &response.diagnostics));
        }
        if response.new_state.is_none() {
            return Err(broken(
                Rule::Encoding,
                "read returned neither a state nor an error: Terraform forgets the resource",
            ));
        }
        let value = decode(response.new_state.as_ref(), &self.ty)?;
        if value == Value::Null {
            return Ok(Answer::new(None, &response.diagnostics));
        }
        rules::state(&self.attributes, &value)?;
        let identity =
            self.stored_identity(response.new_identity.as_ref(), prior.identity.as_ref())?;
        let state = State {
            value,
            private: response.private,
            identity,
            tainted: prior.tainted,
        };
        Ok(Answer::new(Some(state), &response.diagnostics))
    }

    /// Imports by ID and reads the result, as Terraform does. The answer has no state if the imported resource does not
    /// exist.
    ///
    /// # Errors
    /// Returns [`Error::Call`] or [`Error::Broken`].
    pub async fn import(&self, id: &str) -> Result<Answer<State>, Error> {
        self.call_import(id, None).await
    }

    /// Imports by identity; see [`Resource::import`].
    ///
    /// # Errors
    /// Returns [`Error::Config`] for an invalid identity of this type, [`Error::Call`] or [`Error::Broken`].
    pub async fn import_identity(&self, identity: &Json) -> Result<Answer<State>, Error> {
        let ty = self
            .identity
            .as_ref()
            .ok_or_else(|| broken(Rule::Identity, "the type has no identity"))?;
        let identity = Value::from_json(identity, ty)?;
        self.call_import("", wire_identity(Some(&identity))).await
    }

    async fn call_import(
        &self,
        id: &str,
        identity: Option<wire::ResourceIdentityData>,
    ) -> Result<Answer<State>, Error> {
        let request = wire::import_resource_state::Request {
            type_name: self.name.clone(),
            id: id.to_owned(),
            client_capabilities: Some(capabilities()),
            identity,
        };
        let response = self
            .client
            .raw()
            .import_resource_state(request)
            .await?
            .into_inner();
        deferred(response.deferred)?;
        if failed(&response.diagnostics) {
            return Ok(Answer::new(None, &response.diagnostics));
        }
        let [imported] = &response.imported_resources[..] else {
            return Err(broken(
                Rule::Import,
                &format!("{} resources imported", response.imported_resources.len()),
            ));
        };
        let value = decode(imported.state.as_ref(), &self.ty)?;
        if imported.type_name != self.name || value == Value::Null {
            return Err(broken(
                Rule::Import,
                &format!("imported a {:?} with {value:?}", imported.type_name),
            ));
        }
        rules::state(&self.attributes, &value)?;
        let identity = self.identity_of(imported.identity.as_ref())?;
        let state = State {
            value,
            private: imported.private.clone(),
            identity,
            tainted: false,
        };
        let mut answer = self.read(&state).await?;
        answer.diagnostics.splice(
            0..0,
            Answer::<()>::new(None, &response.diagnostics).diagnostics,
        );
        Ok(answer)
    }

    /// Upgrades a JSON state of schema version `version`. Terraform does so before every use.
    ///
    /// # Errors
    /// Returns [`Error::Call`] or [`Error::Broken`].
    pub async fn upgrade(&self, version: i64, state: &Json) -> Result<Answer<Value>, Error> {
        let raw_state = wire::RawState {
            json: state.to_string().into_bytes(),
            ..Default::default()
        };
        let request = wire::upgrade_resource_state::Request {
            type_name: self.name.clone(),
            version,
            raw_state: Some(raw_state),
        };
        let response = self
            .client
            .raw()
            .upgrade_resource_state(request)
            .await?
            .into_inner();
        if failed(&response.diagnostics) {
            return Ok(Answer::new(None, &response.diagnostics));
        }
        let value = decode(response.upgraded_state.as_ref(), &self.ty)?;
        if value == Value::Null {
            return Err(broken(
                Rule::Encoding,
                "upgrade returned neither a state nor an error: Terraform forgets the resource",
            ));
        }
        rules::state(&self.attributes, &value)?;
        Ok(Answer::new(Some(value), &response.diagnostics))
    }

    pub(super) fn identity_of(
        &self,
        sent: Option<&wire::ResourceIdentityData>,
    ) -> Result<Option<Value>, Error> {
        let Some(sent) = sent else { return Ok(None) };
        let ty = self
            .identity
            .as_ref()
            .ok_or_else(|| broken(Rule::Identity, "an identity without a schema for it"))?;
        Ok(Some(decode(sent.identity_data.as_ref(), ty)?))
    }

    /// Reads the identity of a state. If the type has one, it must be present, known, and the same as `before`.
    pub(super) fn stored_identity(
        &self,
        sent: Option<&wire::ResourceIdentityData>,
        before: Option<&Value>,
    ) -> Result<Option<Value>, Error> {
        let identity = self.identity_of(sent)?;
        match (&identity, before) {
            (None | Some(Value::Null), _) if self.identity.is_some() => {
                Err(broken(Rule::Identity, "a state without its identity"))
            }
            (Some(now), _) if !now.is_known() => {
                Err(broken(Rule::Identity, "an identity that is not known"))
            }
            (Some(now), Some(before)) if now != before => Err(broken(
                Rule::Identity,
                &format!("was {before:?}, but now {now:?}"),
            )),
            _ => Ok(identity),
        }
    }
}
