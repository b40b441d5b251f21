//! A `mesh_vm_workload` or a `mesh_vm_fleet` with its state. `contract` calls the provider: each command is a separate
//! process, as with Terraform, but takes a fraction of the time.

use bed::Vm;
use contract::{Action, Answer, Client, Diagnostic, Plan, Resource, Severity, State, Value};
use serde_json::{Value as Json, json};

use crate::{Beside, Done, Failure, Result, Scenario};

/// Name of each scenario's workload.
pub const NAME: &str = "ratings-vm";
/// Name of each scenario's fleet.
pub const FLEET: &str = "ratings";

/// A workload or a fleet of a scenario, and its state.
pub struct Workload {
    binary: String,
    ty: &'static str,
    /// The provider block.
    pub block: Json,
    /// The configuration.
    pub config: Json,
    /// State that Terraform would keep, if any.
    pub state: Option<State>,
}

impl Workload {
    /// Returns the workload of a scenario's VM: a service `ratings.vm.NAMESPACE`, a Sidecar, and the bed's package.
    pub fn new(scenario: &Scenario) -> Result<Self> {
        let vm = &scenario.vm;
        let key = std::fs::read_to_string(&vm.private_key_path)?;
        let (url, sha256) = scenario.package();
        let binary = scenario.document()["provider_binary"].as_str();
        Ok(Self {
            binary: binary
                .ok_or_else(|| Failure::new("the bed has no provider"))?
                .to_owned(),
            ty: "mesh_vm_workload",
            block: json!({
                "kubernetes": { "config_path": scenario.kubectl().kubeconfig() },
                "istio": { "control_plane_address": scenario.control_plane_address() },
                "ssh": { "user": vm.user, "identities": { "bed": { "private_key": key } }, "connect_timeout": 5 },
            }),
            config: json!({
                "namespace": scenario.namespace,
                "name": NAME,
                "address": vm.address.to_string(),
                "labels": { "app": "ratings", "version": "v1" },
                "service_account": "bookinfo-ratings",
                "services": { "ratings": {
                    "hosts": [format!("ratings.vm.{}", scenario.namespace)],
                    "ports": { "http": { "number": 9080, "protocol": "HTTP" } },
                } },
                "sidecar": { "egress_hosts": ["*/*"] },
                "ssh": { "host_key": vm.host_key },
                "proxy": { "install": { "url": url, "sha256": sha256 } },
                "timeouts": { "create": "4m", "update": "4m", "delete": "4m" },
            }),
            state: None,
        })
    }

    /// Returns the workload of a VM of an additional bed, in one of its namespaces.
    pub fn beside(scenario: &Scenario, bed: &Beside, vm: &Vm, namespace: &str) -> Result<Self> {
        let mut workload = Self::new(scenario)?;
        let key = std::fs::read_to_string(&vm.private_key_path)?;
        let (url, sha256) = bed.package();
        let Self { block, config, .. } = &mut workload;
        block["kubernetes"]["config_path"] = json!(bed.kubectl().kubeconfig());
        block["istio"]["control_plane_address"] = json!(bed.control_plane_address());
        block["ssh"]["identities"]["bed"]["private_key"] = json!(key);
        config["namespace"] = json!(namespace);
        config["address"] = json!(vm.address.to_string());
        config["ssh"]["host_key"] = json!(vm.host_key);
        config["proxy"]["install"] = json!({ "url": url, "sha256": sha256 });
        Ok(workload)
    }

    /// Returns a fleet called `ratings`, with the service and the Sidecar of [`Self::new`].
    pub fn fleet(scenario: &Scenario) -> Result<Self> {
        let alone = Self::new(scenario)?;
        let config = json!({
            "namespace": scenario.namespace,
            "name": FLEET,
            "services": alone.config["services"],
            "sidecar": alone.config["sidecar"],
        });
        Ok(Self {
            ty: "mesh_vm_fleet",
            config,
            ..alone
        })
    }

    /// Returns the path of the provider.
    pub fn binary(&self) -> &str {
        &self.binary
    }

    /// Sets the program that starts the provider.
    pub fn launch_by(&mut self, program: String) {
        self.binary = program;
    }

    /// Makes the workload a member of the scenario's fleet.
    #[must_use]
    pub fn member(mut self) -> Self {
        let namespace = self.config["namespace"].as_str().unwrap_or_default();
        self.config["fleet"] = json!(format!("{namespace}/{FLEET}"));
        self.config["services"] = Json::Null;
        self.config["sidecar"] = Json::Null;
        self
    }

    /// Removes the VM from the configuration, so that only objects are written.
    #[must_use]
    pub fn objects_only(mut self) -> Self {
        self.config["ssh"] = Json::Null;
        self.config["proxy"] = Json::Null;
        self.config["objects_only"] = json!(true);
        self
    }

    /// Starts the provider and configures it.
    pub async fn provider(&self) -> Result<Client> {
        let trace = [("TF_LOG", "TRACE"), ("TF_LOG_PROVIDER", "TRACE")];
        let client = Client::launch(&self.binary, &trace).await?;
        client.configure(&self.block).await?.ok()?;
        Ok(client)
    }

    /// Refreshes the state and returns the provider's diagnostics.
    pub async fn refresh(&mut self) -> Result<Vec<Diagnostic>> {
        let client = self.provider().await?;
        self.refresh_by(&client.resource(self.ty)?).await
    }

    /// Plans without a refresh.
    pub async fn plan(&self) -> Result<Plan> {
        let client = self.provider().await?;
        let resource = client.resource(self.ty)?;
        Ok(resource
            .plan(self.state.as_ref(), &self.config)
            .await?
            .ok()?)
    }

    /// Applies an earlier plan, like `terraform apply FILE`, and returns the provider's diagnostics.
    pub async fn apply_plan(&mut self, plan: &Plan) -> Result<Vec<Diagnostic>> {
        let client = self.provider().await?;
        let resource = client.resource(self.ty)?;
        Ok(self.keep(resource.apply(plan, &self.config).await?))
    }

    /// Refreshes, plans and applies, like `terraform apply`, and returns the provider's diagnostics.
    pub async fn apply(&mut self) -> Result<Vec<Diagnostic>> {
        let client = self.provider().await?;
        self.apply_by(&client).await
    }

    /// Does the same with a running provider.
    pub async fn apply_by(&mut self, client: &Client) -> Result<Vec<Diagnostic>> {
        let resource = client.resource(self.ty)?;
        let mut reported = self.refresh_by(&resource).await?;
        let plan = resource.plan(self.state.as_ref(), &self.config).await?;
        reported.extend(plan.diagnostics);
        if let Some(plan) = plan.value {
            reported.extend(self.keep(resource.apply(&plan, &self.config).await?));
        }
        Ok(reported)
    }

    /// Applies, which must succeed without diagnostics, and plans again, which must plan no changes.
    pub async fn converge(&mut self) -> Done {
        let reported = self.apply().await?;
        if !reported.is_empty() {
            return Err(Failure::new(format!(
                "the apply returned {}",
                texts(&reported)
            )));
        }
        // Both in one process, as in `terraform plan`.
        let client = self.provider().await?;
        let resource = client.resource(self.ty)?;
        self.refresh_by(&resource).await?;
        let drift = [self.drift("objects"), self.drift("vm")].concat();
        let plan = resource.plan(self.state.as_ref(), &self.config).await?;
        let action = plan.ok()?.action;
        if action == Action::NoOp {
            Ok(())
        } else {
            Err(Failure::new(format!(
                "{action:?} after the apply; drift {drift:?}"
            )))
        }
    }

    /// Imports by `namespace/name`, and returns the provider's diagnostics.
    pub async fn import(&mut self, id: &str) -> Result<Vec<Diagnostic>> {
        let client = self.provider().await?;
        let answer = client.resource(self.ty)?.import(id).await?;
        Ok(self.keep(answer))
    }

    /// Imports by an identity such as `{"namespace": …, "name": …}`, and returns the provider's diagnostics.
    pub async fn import_identity(&mut self, identity: &Json) -> Result<Vec<Diagnostic>> {
        let client = self.provider().await?;
        let answer = client.resource(self.ty)?.import_identity(identity).await?;
        Ok(self.keep(answer))
    }

    /// Destroys, and returns the provider's diagnostics.
    pub async fn destroy(&mut self) -> Result<Vec<Diagnostic>> {
        let client = self.provider().await?;
        self.destroy_by(&client).await
    }

    /// Does the same with a running provider.
    pub async fn destroy_by(&mut self, client: &Client) -> Result<Vec<Diagnostic>> {
        let resource = client.resource(self.ty)?;
        let Some(state) = self.state.clone() else {
            return Ok(vec![]);
        };
        Ok(self.keep(resource.destroy(&state).await?))
    }

    /// Returns the lines of drift in the state for `objects` or `vm`.
    pub fn drift(&self, side: &str) -> Vec<String> {
        let lines = self.state.as_ref().map(|state| &state.value["drift"][side]);
        let Some(Value::List(lines)) = lines else {
            return vec![];
        };
        let text = |line: &Value| match line {
            Value::String(line) => line.clone(),
            other => format!("{other:?}"),
        };
        lines.iter().map(text).collect()
    }

    async fn refresh_by(&mut self, resource: &Resource<'_>) -> Result<Vec<Diagnostic>> {
        match self.state.clone() {
            // Terraform continues with the previous state if a read fails. Here, the read must not fail.
            Some(state) => {
                let tainted = state.tainted;
                let reported = self.keep(resource.read(&state).await?);
                if let Some(state) = &mut self.state {
                    state.tainted = tainted;
                }
                Ok(reported)
            }
            None => Ok(vec![]),
        }
    }

    fn keep(&mut self, answer: Answer<State>) -> Vec<Diagnostic> {
        self.state = answer.value;
        answer.diagnostics
    }
}

/// Checks that there is exactly one error, with this code and all of the words.
pub fn fails(reported: &[Diagnostic], code: &str, words: &[&str]) -> Done {
    let errors: Vec<_> = reported
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .collect();
    let [error] = errors[..] else {
        return Err(Failure::new(format!(
            "expected one error, got {}: {}",
            errors.len(),
            texts(reported)
        )));
    };
    holds(error, code, words)
}

/// Checks that a diagnostic has this code and all of the words.
pub fn holds(reported: &Diagnostic, code: &str, words: &[&str]) -> Done {
    let text = reported.to_string();
    let missing: Vec<_> = std::iter::once(format!("[{code}]"))
        .chain(words.iter().map(|&word| word.to_owned()))
        .filter(|word| !text.contains(word))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("{missing:?} not in: {text}")))
    }
}

/// Returns diagnostics as text.
pub fn texts(reported: &[Diagnostic]) -> String {
    reported
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
