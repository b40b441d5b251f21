//! A resource, played as Terraform plays it.

use proto::tfplugin6 as wire;
use serde_json::Value as Json;

use crate::client::{Answer, capabilities, decode, encode, failed};
use crate::schema::{self, Attributes};
use crate::{Client, Error, Mismatch, Path, Rule, Type, Value, Violation, proposed, rules};

/// What Terraform keeps about a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Its attributes; never unknown.
    pub value: Value,
    /// Bytes of the provider's own.
    pub private: Vec<u8>,
    /// Its identity, if the type has one.
    pub identity: Option<Value>,
    /// Whether its creation failed half way: the next plan replaces it.
    pub tainted: bool,
}

/// What a plan is going to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    NoOp,
    /// Make a new one.
    Create,
    /// Change it in place.
    Update,
    /// Delete it and make a new one.
    Replace,
    /// Delete it.
    Delete,
}

/// A plan that kept the rules.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is going to do.
    pub action: Action,
    /// What it starts from.
    pub prior: Option<State>,
    /// The state after apply, as far as known; null for a delete.
    pub planned: Value,
    /// Paths whose change asked for a replacement.
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

/// One answer to a plan call.
struct Planned {
    value: Value,
    requires_replace: Vec<Path>,
    private: Vec<u8>,
    identity: Option<Value>,
}

impl<'a> Resource<'a> {
    pub(crate) fn new(
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

    /// Reads a configuration: what is not written is null, and what is required must be there.
    fn config(&self, config: &Json) -> Result<Value, Error> {
        let value = schema::with_blocks(&self.attributes, Value::from_json(config, &self.ty)?);
        schema::required(&self.attributes, &value)?;
        Ok(value)
    }

    /// Validates a configuration.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Call`].
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

    /// Validates and plans: a creation without `prior`, else an update, or a replacement as the provider asks for it.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Call`], [`Error::Broken`].
    pub async fn plan(&self, prior: Option<&State>, config: &Json) -> Result<Answer<Plan>, Error> {
        let config = self.config(config)?;
        let validated = self.validate_value(&config).await?;
        if validated.value.is_none() {
            return Ok(Answer {
                value: None,
                diagnostics: validated.diagnostics,
            });
        }
        let mut answer = self.plan_value(prior, &config).await?;
        answer.diagnostics.splice(0..0, validated.diagnostics);
        Ok(answer)
    }

    async fn plan_value(
        &self,
        prior: Option<&State>,
        config: &Value,
    ) -> Result<Answer<Plan>, Error> {
        let tainted = prior.is_some_and(|state| state.tainted);
        let mut answer = self.call_plan(prior.filter(|_| !tainted), config).await?;
        let Some(first) = answer.value.take() else {
            return Ok(Answer {
                value: None,
                diagnostics: answer.diagnostics,
            });
        };
        let before = prior.map_or(&Value::Null, |state| &state.value);
        let replace = match prior {
            Some(_) if tainted => true,
            Some(_) => rules::replaces(&first.requires_replace, before, &first.value)?,
            None => false,
        };
        let mut planned = first;
        if replace && !tainted {
            // Terraform plans a replacement once more, as a creation.
            let second = self.call_plan(None, config).await?;
            answer.diagnostics.extend(second.diagnostics);
            let Some(second) = second.value else {
                return Ok(Answer {
                    value: None,
                    diagnostics: answer.diagnostics,
                });
            };
            planned = Planned {
                requires_replace: planned.requires_replace,
                ..second
            };
        }
        let action = match prior {
            None => Action::Create,
            Some(_) if replace => Action::Replace,
            Some(state) if state.value == planned.value => Action::NoOp,
            Some(_) => Action::Update,
        };
        let Planned {
            value,
            requires_replace,
            private,
            identity,
        } = planned;
        let plan = Plan {
            action,
            prior: prior.cloned(),
            planned: value,
            requires_replace,
            private,
            identity,
        };
        Ok(Answer {
            value: Some(plan),
            diagnostics: answer.diagnostics,
        })
    }

    /// Calls plan once and holds the answer to the rules.
    async fn call_plan(
        &self,
        prior: Option<&State>,
        config: &Value,
    ) -> Result<Answer<Planned>, Error> {
        let before = prior.map_or(&Value::Null, |state| &state.value);
        let proposed = proposed::object(&self.attributes, before, config);
        let response = self.send_plan(prior, &proposed, config).await?;
        if failed(&response.diagnostics) {
            return Ok(Answer::new(None, &response.diagnostics));
        }
        let value = decode(response.planned_state.as_ref(), &self.ty)?;
        rules::plan(&self.attributes, before, config, &value)?;
        let identity = self.identity_of(response.planned_identity.as_ref())?;
        let requires_replace = response.requires_replace.iter().map(Path::from).collect();
        let planned = Planned {
            value,
            requires_replace,
            private: response.planned_private,
            identity,
        };
        Ok(Answer::new(Some(planned), &response.diagnostics))
    }

    async fn send_plan(
        &self,
        prior: Option<&State>,
        proposed: &Value,
        config: &Value,
    ) -> Result<wire::plan_resource_change::Response, Error> {
        let request = wire::plan_resource_change::Request {
            type_name: self.name.clone(),
            prior_state: Some(encode(prior.map_or(&Value::Null, |state| &state.value))),
            proposed_new_state: Some(encode(proposed)),
            config: Some(encode(config)),
            prior_private: prior.map(|state| state.private.clone()).unwrap_or_default(),
            client_capabilities: Some(capabilities()),
            prior_identity: prior.and_then(|state| wire_identity(state.identity.as_ref())),
            ..Default::default()
        };
        let response = self
            .client
            .raw()
            .plan_resource_change(request)
            .await?
            .into_inner();
        if response.legacy_type_system {
            return Err(broken(Rule::LegacyTypeSystem, "legacy_type_system is set"));
        }
        deferred(response.deferred)?;
        Ok(response)
    }

    /// Plans the delete of `prior`.
    ///
    /// # Errors
    /// [`Error::Call`], [`Error::Broken`].
    pub async fn plan_destroy(&self, prior: &State) -> Result<Answer<Plan>, Error> {
        let response = self
            .send_plan(Some(prior), &Value::Null, &Value::Null)
            .await?;
        if failed(&response.diagnostics) {
            return Ok(Answer::new(None, &response.diagnostics));
        }
        let planned = decode(response.planned_state.as_ref(), &self.ty)?;
        if planned != Value::Null {
            return Err(broken(
                Rule::DestroyPlan,
                "planned a non-null destroy value",
            ));
        }
        let plan = Plan {
            action: Action::Delete,
            prior: Some(prior.clone()),
            planned,
            requires_replace: Vec::new(),
            private: response.planned_private,
            identity: prior.identity.clone(),
        };
        Ok(Answer::new(Some(plan), &response.diagnostics))
    }

    /// Applies a plan with `config`, in which all is known now: plans again first, as Terraform does.
    ///
    /// The answer has the state that Terraform would keep: after an error also that of a failed creation, tainted.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Call`], [`Error::Broken`].
    pub async fn apply(&self, plan: &Plan, config: &Json) -> Result<Answer<State>, Error> {
        let config = self.config(config)?;
        if let Some(path) = config.first_unknown() {
            return Err(Mismatch {
                path,
                text: "must be known at apply".to_owned(),
            }
            .into());
        }
        let mut diagnostics = Vec::new();
        let mut prior = plan.prior.as_ref();
        if let (Action::Replace, Some(old)) = (plan.action, prior) {
            let delete = Plan {
                planned: Value::Null,
                ..plan.clone()
            };
            let deleted = self.call_apply(&delete, Some(old), &Value::Null).await?;
            if deleted.value.is_some() || !deleted.errors().is_empty() {
                return Ok(deleted);
            }
            diagnostics = deleted.diagnostics;
            prior = None;
        }
        let again = self.plan_value(prior, &config).await?;
        diagnostics.extend(again.diagnostics);
        let Some(again) = again.value else {
            return Ok(Answer {
                value: prior.cloned(),
                diagnostics,
            });
        };
        self.agree(plan, &again)?;
        if again.action == Action::NoOp {
            let kept = prior.map(|state| State {
                private: again.private,
                ..state.clone()
            });
            return Ok(Answer {
                value: kept,
                diagnostics,
            });
        }
        let mut applied = self.call_apply(&again, prior, &config).await?;
        applied.diagnostics.splice(0..0, diagnostics);
        Ok(applied)
    }

    /// Checks that a plan made again with more known is the same plan.
    fn agree(&self, first: &Plan, again: &Plan) -> Result<(), Error> {
        rules::compatible(&self.ty, &first.planned, &again.planned, Rule::FinalPlan)?;
        match (first.action, again.action) {
            (Action::Replace, Action::Create) | (Action::Update, Action::NoOp) => Ok(()),
            (before, now) if before == now => Ok(()),
            (before, now) => Err(broken(
                Rule::FinalPlan,
                &format!("planned {before:?}, then {now:?}"),
            )),
        }
    }

    /// Deletes the resource: plan and apply. The answer has the state that is left, if any.
    ///
    /// # Errors
    /// [`Error::Call`], [`Error::Broken`].
    pub async fn destroy(&self, prior: &State) -> Result<Answer<State>, Error> {
        let planned = self.plan_destroy(prior).await?;
        let Some(plan) = planned.value else {
            return Ok(Answer {
                value: Some(prior.clone()),
                diagnostics: planned.diagnostics,
            });
        };
        let mut applied = self.call_apply(&plan, Some(prior), &Value::Null).await?;
        applied.diagnostics.splice(0..0, planned.diagnostics);
        Ok(applied)
    }

    /// Calls apply once and holds the answer to the rules.
    async fn call_apply(
        &self,
        plan: &Plan,
        prior: Option<&State>,
        config: &Value,
    ) -> Result<Answer<State>, Error> {
        let request = wire::apply_resource_change::Request {
            type_name: self.name.clone(),
            prior_state: Some(encode(prior.map_or(&Value::Null, |state| &state.value))),
            planned_state: Some(encode(&plan.planned)),
            config: Some(encode(config)),
            planned_private: plan.private.clone(),
            planned_identity: wire_identity(plan.identity.as_ref()),
            ..Default::default()
        };
        let response = self
            .client
            .raw()
            .apply_resource_change(request)
            .await?
            .into_inner();
        if response.legacy_type_system {
            return Err(broken(Rule::LegacyTypeSystem, "legacy_type_system is set"));
        }
        let value = decode(response.new_state.as_ref(), &self.ty)?;
        rules::state(&self.attributes, &value)?;
        let failed = failed(&response.diagnostics);
        let creating = prior.is_none();
        match (&plan.planned, &value) {
            _ if failed => {}
            (Value::Null, Value::Null) => {}
            (Value::Null, _) => {
                return Err(broken(Rule::Deleted, "a delete left a non-null object"));
            }
            (_, Value::Null) => {
                return Err(broken(
                    Rule::Result,
                    "root object was present, but now absent",
                ));
            }
            _ => rules::compatible(&self.ty, &plan.planned, &value, Rule::Result)?,
        }
        let kept = match value {
            // Terraform reads an update that failed without a state as one that did nothing.
            Value::Null if failed && plan.planned != Value::Null => prior.cloned(),
            Value::Null => None,
            value => {
                let known = plan
                    .identity
                    .as_ref()
                    .filter(|identity| identity.is_known());
                let identity = self.stored_identity(response.new_identity.as_ref(), known)?;
                Some(State {
                    value,
                    private: response.private,
                    identity,
                    tainted: failed && creating,
                })
            }
        };
        Ok(Answer::new(kept, &response.diagnostics))
    }

    /// Reads the resource as it is; no state if it is gone.
    ///
    /// # Errors
    /// [`Error::Call`], [`Error::Broken`].
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
                "read gave neither a state nor an error: Terraform forgets the resource",
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

    /// Imports by id and reads the result, as Terraform does. No state if what was imported does not exist.
    ///
    /// # Errors
    /// [`Error::Call`], [`Error::Broken`].
    pub async fn import(&self, id: &str) -> Result<Answer<State>, Error> {
        self.call_import(id, None).await
    }

    /// Imports by identity; see [`Resource::import`].
    ///
    /// # Errors
    /// [`Error::Config`] for something that is no identity of this type, [`Error::Call`], [`Error::Broken`].
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

    /// Upgrades a state that was written as JSON by schema version `version`; Terraform does so before every use.
    ///
    /// # Errors
    /// [`Error::Call`], [`Error::Broken`].
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
                "upgrade gave neither a state nor an error: Terraform forgets the resource",
            ));
        }
        rules::state(&self.attributes, &value)?;
        Ok(Answer::new(Some(value), &response.diagnostics))
    }

    fn identity_of(
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

    /// Reads the identity of a state: there if the type has one, known, and the same as `before`.
    fn stored_identity(
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
