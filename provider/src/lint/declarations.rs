//! What may stand in the blocks of this provider: the schema, and what Terraform itself adds.

use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Block, BlockLabel, Body};
use plugin::{Attribute, Object as _, Registry};

use super::file::{File, key_of};
use crate::provider::Mesh;
use crate::provider_config::ProviderBlock;

/// The end of this provider's source, whatever the registry.
const SOURCE: &str = "vm-mesh/mesh";

/// Names in a resource, a data source or an ephemeral resource that are Terraform's.
const OF_RESOURCES: &[&str] = &[
    "connection",
    "count",
    "depends_on",
    "dynamic",
    "for_each",
    "lifecycle",
    "provider",
    "provisioner",
];
/// The same in a provider block.
const OF_PROVIDERS: &[&str] = &["alias", "dynamic", "for_each", "version"];

/// The declarations of the provider, by the blocks that use them.
pub(super) struct Declarations {
    registry: Registry<Mesh>,
    /// What a configuration calls this provider.
    local_names: Vec<String>,
    block: Vec<Attribute>,
}

/// What may stand in one block.
pub(super) struct Declared {
    /// The block as messages call it, e.g. `mesh_vm_workload.ratings`.
    pub(super) title: String,
    pub(super) attributes: Vec<Attribute>,
    /// Names that Terraform adds.
    pub(super) meta: &'static [&'static str],
}

impl Declarations {
    /// Returns the declarations for the blocks of some files, of which one may name the provider otherwise.
    pub(super) fn new(files: &[File]) -> Self {
        let named: Vec<(String, bool)> =
            files.iter().flat_map(|file| required(&file.body)).collect();
        let is_default = !named.iter().any(|(name, ours)| name == "mesh" && !ours);
        let ours = named.into_iter().filter(|(_, ours)| *ours);
        let default = is_default.then(|| "mesh".to_owned());
        Self {
            registry: Registry::new(Mesh),
            local_names: ours.map(|(name, _)| name).chain(default).collect(),
            block: ProviderBlock::attributes(),
        }
    }

    /// Returns what may stand in a block; `None` if it is not of this provider.
    pub(super) fn of(&self, block: &Block) -> Option<Declared> {
        let labels: Vec<&str> = block.labels.iter().map(BlockLabel::as_str).collect();
        let (kind, name) = (block.ident.as_str(), *labels.first()?);
        if kind == "provider" {
            return self.is_ours(name).then(|| Declared {
                title: format!("provider {}", plain::line(name, 100)),
                attributes: self.block.clone(),
                meta: OF_PROVIDERS,
            });
        }
        let prefix = match kind {
            "resource" => "",
            "data" => "data.",
            "ephemeral" => "ephemeral.",
            _ => return None,
        };
        let registry = &self.registry;
        let described = match kind {
            "resource" => registry.resources.get(name).map(|of| of.described()),
            "data" => registry.data_sources.get(name).map(|of| of.described()),
            _ => {
                let kinds = &registry.ephemeral_resources;
                kinds.get(name).map(|of| of.described())
            }
        }?;
        let (input, output) = (&described.declared.input, &described.declared.output);
        let label = labels.get(1).copied().unwrap_or_default();
        Some(Declared {
            title: format!("{prefix}{name}.{}", plain::line(label, 100)),
            attributes: input.iter().chain(output).cloned().collect(),
            meta: OF_RESOURCES,
        })
    }

    fn is_ours(&self, local_name: &str) -> bool {
        self.local_names.iter().any(|name| name == local_name)
    }
}

/// Returns each local name that a body declares in `required_providers`, and whether it is this provider's.
fn required(body: &Body) -> Vec<(String, bool)> {
    let of_terraform = body.get_blocks("terraform");
    let required = of_terraform.flat_map(|block| block.body.get_blocks("required_providers"));
    let entries = required.flat_map(|block| block.body.attributes());
    let named = entries.filter_map(|entry| {
        let source = entry.value.as_object()?.iter().find_map(source)?;
        Some((entry.key.to_string(), source.ends_with(SOURCE)))
    });
    named.collect()
}

fn source<'a>((key, value): (&ObjectKey, &'a hcl_edit::expr::ObjectValue)) -> Option<&'a str> {
    let is_source = key_of(key).is_some_and(|key| key == "source");
    match value.expr() {
        Expression::String(text) if is_source => Some(text.as_str()),
        _ => None,
    }
}
