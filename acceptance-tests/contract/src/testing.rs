//! Small schemas for tests.

use proto::tfplugin6::Schema;
use proto::tfplugin6::schema::{Attribute, Block, Object};

use crate::Path;
use crate::schema::{self, Attributes};

/// Returns a string attribute; `flags` are words such as `required`.
pub(crate) fn attribute(name: &str, flags: &str) -> Attribute {
    let has = |flag| flags.contains(flag);
    Attribute {
        name: name.to_owned(),
        r#type: b"\"string\"".to_vec(),
        required: has("required"),
        optional: has("optional"),
        computed: has("computed"),
        write_only: has("write_only"),
        ..Attribute::default()
    }
}

/// Returns a nested attribute. `nesting` is the protocol's number, from 1: single, list, set, map.
pub(crate) fn nested(
    name: &str,
    nesting: i32,
    flags: &str,
    attributes: Vec<Attribute>,
) -> Attribute {
    let nested_type = Some(Object {
        attributes,
        nesting,
    });
    Attribute {
        r#type: Vec::new(),
        nested_type,
        ..attribute(name, flags)
    }
}

/// Returns a schema as a protocol message.
pub(crate) fn wire_schema(attributes: Vec<Attribute>) -> Schema {
    Schema {
        version: 0,
        block: Some(Block {
            attributes,
            ..Block::default()
        }),
    }
}

/// Returns a parsed schema.
pub(crate) fn schema_of(attributes: Vec<Attribute>) -> Attributes {
    schema::read(Some(&wire_schema(attributes)), &Path::default()).unwrap()
}
