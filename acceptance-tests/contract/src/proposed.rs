//! The proposed new state: the configuration, with computed values from the prior state.

use std::collections::BTreeMap;

use crate::Value;
use crate::schema::{Attribute, Attributes, Nesting, Shape};
use crate::walk::{child, items};

/// Returns the proposed new state of a resource. `prior` is null for a new one.
pub(crate) fn object(attributes: &Attributes, prior: &Value, config: &Value) -> Value {
    let propose = |(name, attribute): (&String, _)| {
        (
            name.clone(),
            value(attribute, child(prior, name), child(config, name)),
        )
    };
    Value::Map(attributes.iter().map(propose).collect())
}

fn value(attribute: &Attribute, prior: &Value, config: &Value) -> Value {
    let (nesting, inner) = match &attribute.shape {
        Shape::Plain(_) | Shape::Nested(..) if attribute.computed && *config == Value::Null => {
            return if was_written(attribute, prior) {
                Value::Null
            } else {
                prior.clone()
            };
        }
        Shape::Plain(_) => return config.clone(),
        Shape::Nested(nesting, inner) | Shape::Block(nesting, inner) => (nesting, inner),
    };
    match (nesting, config) {
        (Nesting::Single | Nesting::Group, Value::Map(_)) => object(inner, prior, config),
        (Nesting::List, Value::List(all)) => {
            let prior = |index| items(prior).get(index).unwrap_or(&Value::Null);
            Value::List(
                all.iter()
                    .enumerate()
                    .map(|(index, item)| object(inner, prior(index), item))
                    .collect(),
            )
        }
        (Nesting::Map, Value::Map(all)) => {
            let propose = |(name, item): (&String, _)| {
                (name.clone(), object(inner, child(prior, name), item))
            };
            Value::Map(all.iter().map(propose).collect::<BTreeMap<_, _>>())
        }
        (Nesting::Set, Value::List(all)) => {
            let mut proposed: Vec<_> = all
                .iter()
                .map(|item| object(inner, same(inner, items(prior), item), item))
                .collect();
            proposed.sort();
            Value::List(proposed)
        }
        _ => config.clone(),
    }
}

/// Returns true if an optional and computed value contains something that only the user can have set.
fn was_written(attribute: &Attribute, prior: &Value) -> bool {
    let Shape::Nested(nesting, inner) = &attribute.shape else {
        return false;
    };
    let written = |object: &Value| {
        inner.iter().any(|(name, attribute)| {
            let value = child(object, name);
            *value != Value::Null && (!attribute.computed || was_written(attribute, value))
        })
    };
    match (nesting, prior) {
        _ if !attribute.optional => false,
        (Nesting::List | Nesting::Set, Value::List(all)) => all.iter().any(written),
        (Nesting::Map, Value::Map(all)) => all.values().any(written),
        (Nesting::Single | Nesting::Group, _) => written(prior),
        _ => false,
    }
}

/// Returns the element of a prior set that differs from `config` only in computed values; null if there is none.
fn same<'a>(attributes: &Attributes, prior: &'a [Value], config: &Value) -> &'a Value {
    prior
        .iter()
        .find(|item| object(attributes, item, config) == **item)
        .unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::schema;
    use crate::testing::{attribute, nested, schema_of};

    fn check(prior: &serde_json::Value, config: &serde_json::Value, expected: &serde_json::Value) {
        let item = || vec![attribute("key", "required"), attribute("seen", "computed")];
        let attributes = schema_of(vec![
            attribute("name", "required"),
            attribute("size", "optional computed"),
            attribute("id", "computed"),
            nested("list", 2, "optional", item()),
            nested("set", 3, "optional", item()),
            nested("map", 4, "optional computed", item()),
        ]);
        let ty = schema::object(&attributes);
        let read = |json| crate::Value::from_json(json, &ty).unwrap();
        let proposed = super::object(&attributes, &read(prior), &read(config)).to_json();
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&proposed[name], value, "{name} of {proposed}");
        }
    }

    #[test]
    fn the_configuration_wins_and_computed_values_are_kept() {
        let prior = json!({"name": "old", "size": "big", "id": "7"});
        check(
            &prior,
            &json!({"name": "new"}),
            &json!({"name": "new", "size": "big", "id": "7"}),
        );
        check(
            &prior,
            &json!({"name": "new", "size": "small"}),
            &json!({"size": "small", "id": "7"}),
        );
        check(
            &json!(null),
            &json!({"name": "new"}),
            &json!({"name": "new", "size": null, "id": null}),
        );
    }

    #[test]
    fn elements_keep_their_computed_values_by_index_key_and_content() {
        let item = |key: &str, seen: Option<&str>| json!({"key": key, "seen": seen});
        let prior = json!({
            "list": [item("a", Some("1")), item("b", Some("2"))],
            "set": [item("a", Some("1")), item("b", Some("2"))],
            "map": {"x": item("a", Some("1"))},
        });
        let config = json!({
            "name": "n",
            "list": [{"key": "b"}],
            "set": [{"key": "b"}, {"key": "c"}],
            "map": {"x": {"key": "b"}, "y": {"key": "a"}},
        });
        check(
            &prior,
            &config,
            &json!({
                "list": [item("b", Some("1"))],
                "set": [item("b", Some("2")), item("c", None)],
                "map": {"x": item("b", Some("1")), "y": item("a", None)},
            }),
        );
        // A value that only the user can have set is removed together with its configuration.
        check(
            &prior,
            &json!({"name": "n"}),
            &json!({"list": null, "map": null}),
        );
    }
}
