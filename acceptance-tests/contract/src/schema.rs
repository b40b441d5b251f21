//! The schema of a provider, checked as Terraform does when it loads the provider.

use std::collections::BTreeMap;

use proto::tfplugin6 as wire;
use wire::schema::nested_block::NestingMode as BlockNesting;
use wire::schema::object::NestingMode;

use crate::walk::{child, items};
use crate::{Mismatch, Path, Rule, Type, Value, Violation};

/// Nesting mode: how often a nested object can occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nesting {
    /// At most once.
    Single,
    /// Exactly once; never null.
    Group,
    /// As a list.
    List,
    /// As a set.
    Set,
    /// As a map.
    Map,
}

/// Attributes and blocks by name.
pub type Attributes = BTreeMap<String, Attribute>;

/// Content of an attribute.
#[derive(Clone, Debug)]
pub enum Shape {
    /// A value of a type.
    Plain(Type),
    /// Nested objects with their own attributes.
    Nested(Nesting, Attributes),
    /// Nested objects written as blocks, which are never null or unknown.
    Block(Nesting, Attributes),
}

/// An attribute or block of a schema.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of the protocol")]
pub struct Attribute {
    /// Content.
    pub shape: Shape,
    /// Whether the user must set it.
    pub required: bool,
    /// Whether the user may set it.
    pub optional: bool,
    /// Whether the provider may set it.
    pub computed: bool,
    /// Whether the provider never returns it.
    pub write_only: bool,
}

impl Attribute {
    /// Returns the type of its values.
    pub fn ty(&self) -> Type {
        match &self.shape {
            Shape::Plain(ty) => ty.clone(),
            Shape::Nested(nesting, attributes) | Shape::Block(nesting, attributes) => {
                let element = Box::new(object(attributes));
                match nesting {
                    Nesting::Single | Nesting::Group => *element,
                    Nesting::List => Type::List(element),
                    Nesting::Set => Type::Set(element),
                    Nesting::Map => Type::Map(element),
                }
            }
        }
    }
}

/// Returns the type of an object with these attributes.
pub fn object(attributes: &Attributes) -> Type {
    Type::Object(
        attributes
            .iter()
            .map(|(name, attribute)| (name.clone(), attribute.ty()))
            .collect(),
    )
}

/// Reads and checks a schema; a fault is a violation at its path.
pub(crate) fn read(schema: Option<&wire::Schema>, at: &Path) -> Result<Attributes, Violation> {
    let schema = schema.ok_or_else(|| fault(at, "missing schema"))?;
    if schema.version < 0 {
        return Err(fault(at, "negative version"));
    }
    block(schema.block.as_ref(), at, Around::NoSet)
}

fn fault(at: &Path, text: &str) -> Violation {
    Violation {
        rule: Rule::Schema,
        path: at.clone(),
        text: text.to_owned(),
    }
}

/// Whether one of the enclosing blocks and attributes is a set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    Set,
    NoSet,
}

impl Around {
    /// Returns what is around the attributes of such a block in it.
    fn and(self, nesting: Nesting) -> Self {
        if nesting == Nesting::Set {
            Self::Set
        } else {
            self
        }
    }
}

fn block(
    block: Option<&wire::schema::Block>,
    at: &Path,
    around: Around,
) -> Result<Attributes, Violation> {
    let block = block.ok_or_else(|| fault(at, "missing block"))?;
    let mut all = attributes(&block.attributes, at, around)?;
    for nested in &block.block_types {
        let at = at.then(&nested.type_name);
        let nesting = match nested.nesting() {
            BlockNesting::Single => Nesting::Single,
            BlockNesting::Group => Nesting::Group,
            BlockNesting::List => Nesting::List,
            BlockNesting::Set => Nesting::Set,
            BlockNesting::Map => Nesting::Map,
            BlockNesting::Invalid => return Err(fault(&at, "invalid nesting")),
        };
        let inner = self::block(nested.block.as_ref(), &at, around.and(nesting))?;
        let required = nested.min_items > 0;
        let shape = Shape::Block(nesting, inner);
        let attribute = Attribute {
            shape,
            required,
            optional: !required,
            computed: false,
            write_only: false,
        };
        insert(&mut all, &nested.type_name, attribute, &at)?;
    }
    Ok(all)
}

fn attributes(
    list: &[wire::schema::Attribute],
    at: &Path,
    around: Around,
) -> Result<Attributes, Violation> {
    let mut all = Attributes::new();
    for one in list {
        let at = at.then(&one.name);
        let shape = shape(one, &at, around)?;
        if one.required == (one.optional || one.computed) {
            return Err(fault(
                &at,
                "must be required, or optional or computed or both",
            ));
        }
        if one.write_only && (one.computed || around == Around::Set) {
            return Err(fault(
                &at,
                "a write-only attribute must not be computed or in a set",
            ));
        }
        let wire::schema::Attribute {
            required,
            optional,
            computed,
            write_only,
            ..
        } = *one;
        insert(
            &mut all,
            &one.name,
            Attribute {
                shape,
                required,
                optional,
                computed,
                write_only,
            },
            &at,
        )?;
    }
    Ok(all)
}

fn shape(
    attribute: &wire::schema::Attribute,
    at: &Path,
    around: Around,
) -> Result<Shape, Violation> {
    match (&attribute.nested_type, attribute.r#type.as_slice()) {
        (None, json) => {
            let ty = serde_json::from_slice(json)
                .ok()
                .as_ref()
                .and_then(Type::from_json);
            let ty = ty.ok_or_else(|| fault(at, "invalid type"))?;
            if around == Around::Set && ty == Type::Dynamic {
                Err(fault(at, "dynamic attributes are not allowed in a set"))
            } else {
                Ok(Shape::Plain(ty))
            }
        }
        (Some(object), []) => {
            let nesting = match object.nesting() {
                NestingMode::Single => Nesting::Single,
                NestingMode::List => Nesting::List,
                NestingMode::Set => Nesting::Set,
                NestingMode::Map => Nesting::Map,
                NestingMode::Invalid => return Err(fault(at, "invalid nesting")),
            };
            Ok(Shape::Nested(
                nesting,
                attributes(&object.attributes, at, around.and(nesting))?,
            ))
        }
        (Some(_), _) => Err(fault(at, "both a type and a nested type")),
    }
}

fn insert(
    all: &mut Attributes,
    name: &str,
    attribute: Attribute,
    at: &Path,
) -> Result<(), Violation> {
    if name.is_empty()
        || !name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    {
        return Err(fault(at, "names must consist of a-z, 0-9 and _"));
    }
    match all.insert(name.to_owned(), attribute) {
        None => Ok(()),
        Some(_) => Err(fault(at, "two attributes or blocks with the same name")),
    }
}

/// Reads the identity of a resource type.
pub(crate) fn identity(
    schema: &wire::ResourceIdentitySchema,
    at: &Path,
) -> Result<Type, Violation> {
    let mut all = BTreeMap::new();
    for one in &schema.identity_attributes {
        let at = at.then(&one.name);
        match serde_json::from_slice(&one.r#type)
            .ok()
            .as_ref()
            .and_then(Type::from_json)
        {
            None => return Err(fault(&at, "invalid type")),
            Some(Type::Map(_) | Type::Set(_) | Type::Object(_)) => {
                return Err(fault(&at, "no maps, sets or objects in identities"));
            }
            Some(ty) => _ = all.insert(one.name.clone(), ty),
        }
        if one.required_for_import == one.optional_for_import {
            return Err(fault(&at, "must be either required or optional for import"));
        }
    }
    Ok(Type::Object(all))
}

/// Checks that all required attributes are set, as Terraform does before it calls the provider.
pub(crate) fn required(attributes: &Attributes, config: &Value) -> Result<(), Mismatch> {
    attributes.iter().try_for_each(|(name, attribute)| {
        let value = child(config, name);
        let below = |mismatch: Mismatch| Mismatch {
            path: mismatch.path.below(name),
            ..mismatch
        };
        if attribute.required && *value == Value::Null {
            return Err(below(Mismatch {
                path: Path::default(),
                text: "required, but not set".to_owned(),
            }));
        }
        let (Shape::Nested(nesting, inner) | Shape::Block(nesting, inner)) = &attribute.shape
        else {
            return Ok(());
        };
        match (nesting, value) {
            (Nesting::Single | Nesting::Group, Value::Map(_)) => {
                required(inner, value).map_err(below)
            }
            (_, Value::Map(all)) => all
                .values()
                .try_for_each(|one| required(inner, one))
                .map_err(below),
            _ => items(value)
                .iter()
                .try_for_each(|one| required(inner, one))
                .map_err(below),
        }
    })
}

/// Returns `value` as Terraform's configuration represents it: absent blocks are empty, not null.
pub(crate) fn with_blocks(attributes: &Attributes, value: Value) -> Value {
    let Value::Map(mut all) = value else {
        return value;
    };
    for (name, attribute) in attributes {
        let Shape::Block(nesting, inner) = &attribute.shape else {
            continue;
        };
        let written = all.remove(name).unwrap_or(Value::Null);
        let value = match (nesting, written) {
            (Nesting::List | Nesting::Set, Value::Null) => Value::List(Vec::new()),
            (Nesting::Map, Value::Null) => Value::Map(BTreeMap::new()),
            (Nesting::Group, Value::Null) => {
                let empty = inner
                    .keys()
                    .map(|name| (name.clone(), Value::Null))
                    .collect();
                with_blocks(inner, Value::Map(empty))
            }
            (Nesting::Single | Nesting::Group, written) => with_blocks(inner, written),
            (Nesting::Map, Value::Map(all)) => Value::Map(
                all.into_iter()
                    .map(|(name, one)| (name, with_blocks(inner, one)))
                    .collect(),
            ),
            (_, Value::List(all)) => {
                Value::List(all.into_iter().map(|one| with_blocks(inner, one)).collect())
            }
            (_, written) => written,
        };
        all.insert(name.clone(), value);
    }
    Value::Map(all)
}

#[cfg(test)]
mod tests {
    use proto::tfplugin6::Schema;

    use super::*;
    use crate::testing::{attribute, nested, wire_schema};

    #[test]
    fn a_schema_that_terraform_would_reject_is_reported_with_its_path() {
        let typeless = |name| wire::schema::Attribute {
            r#type: Vec::new(),
            ..attribute(name, "required")
        };
        let both = wire::schema::Attribute {
            r#type: b"\"string\"".to_vec(),
            ..nested("a", 1, "optional", vec![])
        };
        let cases = [
            (vec![attribute("a", "")], "a: must be required"),
            (
                vec![attribute("a", "required computed")],
                "a: must be required",
            ),
            (vec![attribute("A-b", "required")], "A-b: names must"),
            (
                vec![attribute("a", "required"), attribute("a", "optional")],
                "a: two attributes",
            ),
            (vec![typeless("a")], "a: invalid type"),
            (vec![both], "a: both a type and a nested type"),
            (
                vec![nested("a", 9, "optional", vec![])],
                "a: invalid nesting",
            ),
            (
                vec![attribute("a", "computed write_only")],
                "a: a write-only attribute",
            ),
            (
                vec![nested(
                    "a",
                    3,
                    "optional",
                    vec![attribute("b", "optional write_only")],
                )],
                "a.b: a write-only attribute",
            ),
        ];
        for (attributes, expected) in cases {
            let violation = read(Some(&wire_schema(attributes)), &Path::default()).unwrap_err();
            let text = violation.to_string();
            assert_eq!(violation.rule, Rule::Schema);
            assert!(text.starts_with(&format!("Schema at {expected}")), "{text}");
        }
        assert!(read(None, &Path::default()).is_err(), "no schema");
        assert!(
            read(Some(&Schema::default()), &Path::default()).is_err(),
            "no block"
        );
        let negative = Schema {
            version: -1,
            ..wire_schema(vec![])
        };
        assert!(
            read(Some(&negative), &Path::default()).is_err(),
            "a negative version"
        );
    }
}
