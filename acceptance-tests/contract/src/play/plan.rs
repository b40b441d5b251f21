//! Plans a resource as often as Terraform does, and checks each plan.

use proto::tfplugin6 as wire;
use serde_json::Value as Json;

use super::{Action, Plan, Resource, State, broken, deferred, wire_identity};
use crate::answer::{Answer, decode, encode, failed};
use crate::client::capabilities;
use crate::{Error, Path, Rule, Value, proposed, rules};

/// The response of one plan call.
struct Planned {
    value: Value,
    requires_replace: Vec<Path>,
    private: Vec<u8>,
    identity: Option<Value>,
}

impl Planned {
    /// Returns what Terraform plans a replacement from a second time, as a creation: since 1.12 with the identity that
    /// the first plan returned.
    fn replaced(&self) -> Before<'_> {
        Before {
            private: &self.private,
            identity: self.identity.as_ref(),
            ..Before::default()
        }
    }
}

/// What a plan call starts from.
#[derive(Clone, Copy)]
struct Before<'a> {
    value: &'a Value,
    private: &'a [u8],
    identity: Option<&'a Value>,
}

impl Default for Before<'_> {
    fn default() -> Self {
        Self {
            value: &Value::Null,
            private: &[],
            identity: None,
        }
    }
}

impl<'a> From<&'a State> for Before<'a> {
    fn from(state: &'a State) -> Self {
        Self {
            value: &state.value,
            private: &state.private,
            identity: state.identity.as_ref(),
        }
    }
}

impl Resource<'_> {
    /// Validates and plans: a creation without `prior`, otherwise an update, or a replacement if the provider requires it.
    ///
    /// # Errors
    /// Returns [`Error::Config`], [`Error::Call`] or [`Error::Broken`].
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

    pub(super) async fn plan_value(
        &self,
        prior: Option<&State>,
        config: &Value,
    ) -> Result<Answer<Plan>, Error> {
        let tainted = prior.is_some_and(|state| state.tainted);
        let before = prior.filter(|_| !tainted).map(Before::from);
        let mut answer = self.call_plan(before.unwrap_or_default(), config).await?;
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
            let second = self.call_plan(planned.replaced(), config).await?;
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

    /// Calls plan once and checks the response.
    async fn call_plan(
        &self,
        before: Before<'_>,
        config: &Value,
    ) -> Result<Answer<Planned>, Error> {
        let proposed = proposed::object(&self.attributes, before.value, config);
        let response = self.send_plan(before, &proposed, config).await?;
        if failed(&response.diagnostics) {
            return Ok(Answer::new(None, &response.diagnostics));
        }
        let value = decode(response.planned_state.as_ref(), &self.ty)?;
        rules::plan(&self.attributes, before.value, config, &value)?;
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
        before: Before<'_>,
        proposed: &Value,
        config: &Value,
    ) -> Result<wire::plan_resource_change::Response, Error> {
        let request = wire::plan_resource_change::Request {
            type_name: self.name.clone(),
            prior_state: Some(encode(before.value)),
            proposed_new_state: Some(encode(proposed)),
            config: Some(encode(config)),
            prior_private: before.private.to_vec(),
            client_capabilities: Some(capabilities()),
            prior_identity: wire_identity(before.identity),
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
    /// Returns [`Error::Call`] or [`Error::Broken`].
    pub async fn plan_destroy(&self, prior: &State) -> Result<Answer<Plan>, Error> {
        let response = self
            .send_plan(prior.into(), &Value::Null, &Value::Null)
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
}
