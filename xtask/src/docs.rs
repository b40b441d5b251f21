//! `cargo xtask docs [--check]`: generates the pages of the registry from the binary's own schema and from `examples/`.
//! Guides in `docs/guides` are written by hand.
//!
//! Layout: <https://developer.hashicorp.com/terraform/registry/providers/docs>.

use std::error::Error;
use std::fs;
use std::path::Path;

use contract::Client;
use contract::wire::get_provider_schema::Response;

use crate::arguments::WrongArguments;
use crate::cargo::{Profile, provider_binary, root};
use crate::examples;
use crate::page::{Example, page};

const PROVIDER: &str = "mesh";

/// Writes the pages or, with `--check`, checks that they are up to date and the examples are valid.
///
/// # Errors
/// Fails if an argument is unknown, the build fails, the provider does not respond, a resource has no example, or a file
/// cannot be read or written. With `--check`, stale pages and invalid examples are errors.
pub(crate) fn run(args: &[&str]) -> Result<(), Box<dyn Error>> {
    let check = match args {
        [] => false,
        ["--check"] => true,
        _ => return Err(WrongArguments.into()),
    };
    let binary = provider_binary(Profile::Dev)?;
    let pages = pages(&schema(&binary)?)?;
    if !check {
        return write(&pages);
    }
    compare(&pages, &root().join("docs"))?;
    examples::validate(&binary)
}

/// Requests the schema from the provider, as Terraform does.
fn schema(binary: &Path) -> Result<Response, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = Client::launch(binary, &[]).await?;
        let schema = client.schema().clone();
        client.shutdown().await?;
        Ok(schema)
    })
}

/// A page: path in `docs/` and content.
type Page = (String, String);

fn write(pages: &[Page]) -> Result<(), Box<dyn Error>> {
    for (path, text) in pages {
        let path = root().join("docs").join(path);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(path, text)?;
    }
    Ok(())
}

fn compare(pages: &[Page], folder: &Path) -> Result<(), Box<dyn Error>> {
    let is_stale =
        |(path, text): &&Page| fs::read_to_string(folder.join(path)).ok().as_deref() != Some(text);
    let stale = pages.iter().filter(is_stale);
    let mut wrong: Vec<String> = stale.map(|(path, _)| path.clone()).collect();
    for kind in ["resources", "data-sources", "ephemeral-resources"] {
        if !folder.join(kind).exists() {
            continue;
        }
        for entry in fs::read_dir(folder.join(kind))? {
            let path = format!("{kind}/{}", entry?.file_name().display());
            if !pages.iter().any(|(known, _)| *known == path) {
                wrong.push(format!("{path} (no such type)"));
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "stale in docs/: {}. Run `cargo xtask docs`.",
        wrong.join(", ")
    )
    .into())
}

/// Returns a page for the provider and one for each resource, data source and ephemeral resource.
fn pages(schema: &Response) -> Result<Vec<Page>, Box<dyn Error>> {
    let provider = schema
        .provider
        .as_ref()
        .ok_or("the provider's response has no provider schema")?;
    let example = Example {
        configuration: example("provider/provider.tf")?,
        import: None,
    };
    let mut pages = vec![(
        "index.md".to_owned(),
        page(PROVIDER, "Provider", provider, &example),
    )];
    for (name, schema) in &schema.resource_schemas {
        let folder = format!("resources/{name}");
        let example = Example {
            configuration: self::example(&format!("{folder}/resource.tf"))?,
            import: Some(self::example(&format!("{folder}/import.sh"))?),
        };
        let file = file(name);
        pages.push((
            format!("resources/{file}.md"),
            page(name, "Resource", schema, &example),
        ));
    }
    let of_kinds = [
        ("data-source", "Data Source", &schema.data_source_schemas),
        (
            "ephemeral-resource",
            "Ephemeral Resource",
            &schema.ephemeral_resource_schemas,
        ),
    ];
    for (folder, kind, schemas) in of_kinds {
        for (name, schema) in schemas {
            let example = Example {
                configuration: self::example(&format!("{folder}s/{name}/{folder}.tf"))?,
                import: None,
            };
            let file = file(name);
            pages.push((
                format!("{folder}s/{file}.md"),
                page(name, kind, schema, &example),
            ));
        }
    }
    Ok(pages)
}

fn file(name: &str) -> &str {
    name.strip_prefix("mesh_").unwrap_or(name)
}

fn example(path: &str) -> Result<String, String> {
    let path = root().join("examples").join(path);
    fs::read_to_string(&path)
        .map_err(|error| format!("the page requires an example, {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_differs_or_has_no_type_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("resources")).unwrap();
        let page = |path: &str| vec![(path.to_owned(), "text".to_owned())];
        fs::write(folder.path().join("resources/vm.md"), "text").unwrap();
        compare(&page("resources/vm.md"), folder.path()).unwrap();
        fs::write(folder.path().join("resources/vm.md"), "other text").unwrap();
        assert!(compare(&page("resources/vm.md"), folder.path()).is_err());
        let error = compare(&page("resources/new.md"), folder.path())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("new.md") && error.contains("vm.md (no such type)"),
            "{error}"
        );
    }
}
