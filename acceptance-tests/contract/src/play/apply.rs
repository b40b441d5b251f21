//! Applies a plan: the second plan, the apply call, and the state that Terraform keeps.

use proto::tfplugin6 as wire;
use serde_json::Value as Json;

use super::{Action, Plan, Resource, State, broken, wire_identity};
use crate::answer::{Answer, decode, encode, failed};
use crate::{Error, Mismatch, Rule, Value, rules};

impl Resource<'_> {
    /// Applies a plan with `config`, which must be known. It plans again first, as Terraform does.
    ///
    /// The answer has the state that Terraform would keep, including the tainted state of a failed creation.
    ///
    /// # Errors
    /// Returns [`Error::Config`], [`Error::Call`] or [`Error::Broken`].
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

    /// Checks that a second plan with more known values agrees with the first one.
    fn agree(&self, first: &Plan, again: &Plan) -> Result<(), Error> {
        rules::compatible(&self.ty, &first.planned, &again.planned, Rule::FinalPlan)?;
        let known = first.identity.as_ref().filter(|of| of.is_known());
        if known.is_some() && first.identity != again.identity {
            let text = "the plan has another identity than the plan of the apply";
            return Err(broken(Rule::Identity, text));
        }
        match (first.action, again.action) {
            (Action::Replace, Action::Create) | (Action::Update, Action::NoOp) => Ok(()),
            (before, now) if before == now => Ok(()),
            (before, now) => Err(broken(
                Rule::FinalPlan,
                &format!("planned {before:?}, then {now:?}"),
            )),
        }
    }

    /// Plans and applies the deletion of the resource. The answer has the remaining state, if any.
    ///
    /// # Errors
    /// Returns [`Error::Call`] or [`Error::Broken`].
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

    /// Calls apply once and checks the response.
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
        if !failed {
            self.check_applied(&plan.planned, &value)?;
        }
        let kept = match value {
            // Terraform assumes that an update which failed without a state changed nothing.
            Value::Null if failed && plan.planned != Value::Null => prior.cloned(),
            Value::Null => None,
            value => {
                let known = plan
                    .identity
                    .as_ref()
                    .filter(|identity| identity.is_known());
                let sent = response.new_identity.as_ref();
                let identity = if failed {
                    self.identity_of(sent)?
                } else {
                    self.stored_identity(sent, known)?
                };
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

    /// Checks the result of a successful apply.
    fn check_applied(&self, planned: &Value, value: &Value) -> Result<(), Error> {
        match (planned, value) {
            (Value::Null, Value::Null) => Ok(()),
            (Value::Null, _) => Err(broken(Rule::Deleted, "a delete left a non-null object")),
            (_, Value::Null) => Err(broken(
                Rule::Result,
                "root object was present, but now absent",
            )),
            _ => Ok(rules::compatible(&self.ty, planned, value, Rule::Result)?),
        }
    }
}
