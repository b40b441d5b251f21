//! Rules that Terraform enforces on every response of a provider.

use std::collections::BTreeMap;

use crate::schema::{Attribute, Attributes, Nesting, Shape};
use crate::walk::{child, items};
use crate::{Path, Type, Value};

pub use crate::violation::{Rule, Violation};

type Checked = Result<(), Violation>;

fn broken(rule: Rule, path: &Path, text: impl Into<String>) -> Checked {
    Err(Violation {
        rule,
        path: path.clone(),
        text: text.into(),
    })
}

/// Checks a plan that is not a destroy: neither `config` nor `planned` may be null.
pub fn plan(attributes: &Attributes, prior: &Value, config: &Value, planned: &Value) -> Checked {
    let root = Path::default();
    if *planned == Value::Null {
        return broken(
            Rule::Existence,
            &root,
            "planned for absence but config wants existence",
        );
    }
    write_only(attributes, planned, &root)?;
    planned_object(attributes, prior, config, planned, &root)
}

/// Checks a state before it is stored: it must be known, and write-only attributes must be null.
pub fn state(attributes: &Attributes, value: &Value) -> Checked {
    if let Some(path) = value.first_unknown() {
        return broken(
            Rule::Known,
            &path,
            "a state must not contain unknown values",
        );
    }
    write_only(attributes, value, &Path::default())
}

/// Checks that `later` has all known values of `earlier`; otherwise `rule` is violated.
pub fn compatible(ty: &Type, earlier: &Value, later: &Value, rule: Rule) -> Checked {
    same(ty, earlier, later, rule, &Path::default())
}

/// Returns true if a plan requires replacement.
pub fn replaces(paths: &[Path], prior: &Value, planned: &Value) -> Result<bool, Violation> {
    let mut replace = false;
    for path in paths {
        let (before, after) = (path.find(prior), path.find(planned));
        if before.is_none() && after.is_none() {
            return broken(Rule::RequiresReplace, path, "a path that does not exist")
                .map(|()| false);
        }
        replace |= before.unwrap_or(&Value::Null) != after.unwrap_or(&Value::Null);
    }
    Ok(replace)
}

fn planned_object(
    attributes: &Attributes,
    prior: &Value,
    config: &Value,
    planned: &Value,
    at: &Path,
) -> Checked {
    attributes.iter().try_for_each(|(name, attribute)| {
        let (prior, config, planned) = (
            child(prior, name),
            child(config, name),
            child(planned, name),
        );
        planned_value(attribute, prior, config, planned, &at.then(name))
    })
}

fn planned_value(
    attribute: &Attribute,
    prior: &Value,
    config: &Value,
    planned: &Value,
    at: &Path,
) -> Checked {
    let echoed =
        planned == config || planned == prior && *prior != Value::Null && *config != Value::Null;
    match &attribute.shape {
        _ if attribute.write_only => Ok(()),
        Shape::Block(nesting, inner) => {
            planned_blocks((*nesting, inner), prior, config, planned, at)
        }
        _ if echoed || attribute.computed && *config == Value::Null => Ok(()),
        _ if *config == Value::Null => broken(
            Rule::ConfigEcho,
            at,
            format!("planned value {planned:?} for a non-computed attribute"),
        ),
        Shape::Nested(nesting, inner) if *config != Value::Unknown => {
            planned_elements((*nesting, inner), prior, config, planned, at)
        }
        _ => broken(
            Rule::ConfigEcho,
            at,
            format!("planned value {planned:?} does not match config value {config:?}"),
        ),
    }
}

fn planned_blocks(
    (nesting, inner): (Nesting, &Attributes),
    prior: &Value,
    config: &Value,
    planned: &Value,
    at: &Path,
) -> Checked {
    match (config, planned) {
        (Value::Unknown, Value::Unknown) => Ok(()),
        (Value::Unknown, _) => broken(Rule::Count, at, "planned value for unknown dynamic block"),
        (_, Value::Unknown) => broken(
            Rule::Existence,
            at,
            "attribute representing nested block must not be unknown itself",
        ),
        (_, Value::Null) if nesting != Nesting::Single => broken(
            Rule::Existence,
            at,
            "must be empty to indicate no blocks, not null",
        ),
        (Value::Null, Value::Null) => Ok(()),
        _ => planned_elements((nesting, inner), prior, config, planned, at),
    }
}

/// Checks that `config` and `planned` both exist and have the same elements.
fn planned_elements(
    (nesting, inner): (Nesting, &Attributes),
    prior: &Value,
    config: &Value,
    planned: &Value,
    at: &Path,
) -> Checked {
    match (nesting, config, planned) {
        (_, _, Value::Unknown) => {
            broken(Rule::Existence, at, "planned unknown for configured value")
        }
        (_, _, Value::Null) => broken(
            Rule::Existence,
            at,
            "planned for absence but config wants existence",
        ),
        (_, Value::Null, _) => broken(
            Rule::Existence,
            at,
            "planned for existence but config wants absence",
        ),
        (Nesting::Single | Nesting::Group, ..) => planned_object(inner, prior, config, planned, at),
        (Nesting::List, Value::List(configs), Value::List(plans)) => {
            count(configs.len(), plans.len(), at)?;
            (0..)
                .zip(configs.iter().zip(plans))
                .try_for_each(|(index, (config, planned))| {
                    let prior = items(prior).get(index).unwrap_or(&Value::Null);
                    planned_object(inner, prior, config, planned, &at.then(index))
                })
        }
        (Nesting::Map, Value::Map(configs), Value::Map(plans)) => {
            keys(configs, plans, Rule::Count, at)?;
            configs
                .iter()
                .zip(plans.values())
                .try_for_each(|((name, config), planned)| {
                    planned_object(inner, child(prior, name), config, planned, &at.then(name))
                })
        }
        (Nesting::Set, Value::List(configs), Value::List(plans)) => {
            count(configs.len(), plans.len(), at)?;
            plans.iter().try_for_each(|planned| {
                let fits = |config: &Value| {
                    let mut priors = items(prior).iter().chain([&Value::Null]);
                    priors.any(|prior| planned_object(inner, prior, config, planned, at).is_ok())
                };
                if configs.iter().any(fits) {
                    Ok(())
                } else {
                    broken(Rule::ConfigEcho, at, format!("{planned:?} is in no config"))
                }
            })
        }
        _ => broken(
            Rule::Existence,
            at,
            "planned value does not match the configuration",
        ),
    }
}

fn count(config: usize, planned: usize, at: &Path) -> Checked {
    if config == planned {
        return Ok(());
    }
    broken(
        Rule::Count,
        at,
        format!("count in plan ({planned}) disagrees with count in config ({config})"),
    )
}

fn keys(
    wanted: &BTreeMap<String, Value>,
    found: &BTreeMap<String, Value>,
    rule: Rule,
    at: &Path,
) -> Checked {
    let lone = wanted.keys().find(|name| !found.contains_key(*name));
    match lone.or_else(|| found.keys().find(|name| !wanted.contains_key(*name))) {
        None => Ok(()),
        Some(name) => broken(
            rule,
            &at.then(name),
            "only one of plan and configuration has this key",
        ),
    }
}

fn same(ty: &Type, earlier: &Value, later: &Value, rule: Rule, at: &Path) -> Checked {
    match (ty, earlier, later) {
        (_, Value::Unknown, _) => Ok(()),
        (Type::Object(types), Value::Map(before), Value::Map(after)) => {
            types.iter().try_for_each(|(name, ty)| {
                let of =
                    |all: &BTreeMap<String, Value>| all.get(name).cloned().unwrap_or(Value::Null);
                same(ty, &of(before), &of(after), rule, &at.then(name))
            })
        }
        (Type::Map(ty), Value::Map(before), Value::Map(after)) => {
            keys(before, after, rule, at)?;
            before
                .iter()
                .zip(after.values())
                .try_for_each(|((name, before), after)| {
                    same(ty, before, after, rule, &at.then(name))
                })
        }
        (Type::List(ty), Value::List(before), Value::List(after))
            if before.len() == after.len() =>
        {
            (0..)
                .zip(before.iter().zip(after))
                .try_for_each(|(index, (before, after))| {
                    same(ty, before, after, rule, &at.then(index))
                })
        }
        (Type::Tuple(types), Value::List(before), Value::List(after))
            if before.len() == after.len() =>
        {
            (0..).zip(types).zip(before.iter().zip(after)).try_for_each(
                |((index, ty), (before, after))| same(ty, before, after, rule, &at.then(index)),
            )
        }
        // Several unknown elements may have become equal.
        (Type::Set(ty), Value::List(before), Value::List(after)) if !earlier.is_known() => {
            let fits = |one: &Value, other: &Value| same(ty, one, other, rule, at).is_ok();
            let all = before
                .iter()
                .all(|one| after.iter().any(|other| fits(one, other)));
            if all
                && after
                    .iter()
                    .all(|other| before.iter().any(|one| fits(one, other)))
            {
                Ok(())
            } else {
                broken(rule, at, "other elements than planned")
            }
        }
        (_, before, after) if before == after => Ok(()),
        (_, before, after) => broken(rule, at, format!("was {before:?}, but now {after:?}")),
    }
}

fn write_only(attributes: &Attributes, value: &Value, at: &Path) -> Checked {
    attributes.iter().try_for_each(|(name, attribute)| {
        let (value, at) = (child(value, name), at.then(name));
        if attribute.write_only && *value != Value::Null {
            return broken(Rule::WriteOnly, &at, "a write-only value was returned");
        }
        let (Shape::Nested(nesting, inner) | Shape::Block(nesting, inner)) = &attribute.shape
        else {
            return Ok(());
        };
        match (nesting, value) {
            (Nesting::Single | Nesting::Group, _) => write_only(inner, value, &at),
            (Nesting::Map, Value::Map(all)) => all
                .iter()
                .try_for_each(|(name, one)| write_only(inner, one, &at.then(name))),
            _ => (0..)
                .zip(items(value))
                .try_for_each(|(index, one)| write_only(inner, one, &at.then(index))),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::schema;
    use crate::testing::{attribute, nested, schema_of};

    fn attributes() -> Attributes {
        let item = || vec![attribute("key", "required"), attribute("seen", "computed")];
        schema_of(vec![
            nested("list", 2, "optional", item()),
            nested("set", 3, "optional", item()),
            nested("map", 4, "optional", item()),
        ])
    }

    fn check(prior: &Json, config: &Json, planned: &Json) -> Result<(), Violation> {
        let attributes = attributes();
        let ty = schema::object(&attributes);
        let read = |json| Value::from_json(json, &ty).unwrap();
        plan(&attributes, &read(prior), &read(config), &read(planned))
    }

    fn item(key: &str, seen: &str) -> Json {
        json!({ "key": key, "seen": seen })
    }

    #[test]
    fn elements_of_nested_attributes_may_only_add_computed_values() {
        let config = json!({ "list": [{"key": "a"}], "set": [{"key": "a"}, {"key": "b"}], "map": {"x": {"key": "a"}} });
        let good = json!({
            "list": [item("a", "1")], "set": [item("b", "2"), item("a", "1")], "map": {"x": item("a", "1")},
        });
        assert_eq!(check(&json!(null), &config, &good), Ok(()));
        let cases = [
            (
                "list",
                json!([item("b", "1")]),
                Rule::ConfigEcho,
                "list[0].key",
            ),
            (
                "list",
                json!([item("a", "1"), item("a", "2")]),
                Rule::Count,
                "list",
            ),
            ("list", json!(null), Rule::Existence, "list"),
            ("set", json!([item("a", "1")]), Rule::Count, "set"),
            (
                "set",
                json!([item("a", "1"), item("c", "1")]),
                Rule::ConfigEcho,
                "set",
            ),
            ("map", json!({"y": item("a", "1")}), Rule::Count, "map.x"),
            (
                "map",
                json!({"x": item("b", "1")}),
                Rule::ConfigEcho,
                "map.x.key",
            ),
        ];
        for (name, planned, rule, path) in cases {
            let mut wrong = good.clone();
            wrong[name] = planned;
            let violation = check(&json!(null), &config, &wrong).unwrap_err();
            assert_eq!(
                (violation.rule, violation.path.to_string().as_str()),
                (rule, path)
            );
        }
    }

    #[test]
    fn a_plan_may_have_the_prior_value_instead_of_the_configured_one() {
        let prior = json!({ "list": [item("A", "1")] });
        let config = json!({ "list": [{"key": "a"}] });
        assert_eq!(check(&prior, &config, &prior), Ok(()));
        assert_eq!(
            check(&prior, &json!({}), &prior).unwrap_err().rule,
            Rule::ConfigEcho
        );
    }

    #[test]
    fn a_set_with_unknown_elements_may_shrink_but_not_gain_others() {
        let set = Type::Set(Box::new(Type::String));
        let read = |json| Value::from_json(&json, &set).unwrap();
        let planned = read(json!(["a", crate::UNKNOWN]));
        let compare = |json| compatible(&set, &planned, &read(json), Rule::Result);
        assert_eq!(compare(json!(["a", "b"])), Ok(()));
        assert_eq!(compare(json!(["a"])), Ok(()));
        assert!(compare(json!(["b"])).is_err(), "a is lost");
    }
}
