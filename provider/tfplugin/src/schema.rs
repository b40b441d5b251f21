//! Declarations as the schemas that Terraform reads.

use proto::tfplugin6::{
    self as wire, StringKind,
    schema::{Attribute as WireAttribute, Block, Object as WireObject, object::NestingMode},
};

use plugin::{Attribute, Declared, Mode, Object, Rule, Type, markdown};

use crate::codec::kind;

/// Returns the schema of a declaration: input and output side by side.
pub(crate) fn of_declared(declared: &Declared, version: u32) -> wire::Schema {
    let input = attributes(&declared.input, declared.describe_rule);
    let output = attributes(&declared.output, declared.describe_rule);
    schema(
        declared.doc,
        version,
        input.into_iter().chain(output).collect(),
    )
}

/// Returns the schema of a provider block.
pub(crate) fn of_config<O: Object>() -> wire::Schema {
    schema(O::DOC, 0, attributes(&O::attributes(), |_| ""))
}

fn schema(doc: &str, version: u32, attributes: Vec<WireAttribute>) -> wire::Schema {
    let description_kind = StringKind::Markdown.into();
    let block = Block {
        attributes,
        description: markdown(doc),
        description_kind,
        ..Block::default()
    };
    wire::Schema {
        version: version.into(),
        block: Some(block),
    }
}

fn attributes(
    declared: &[Attribute],
    describe_rule: fn(Rule) -> &'static str,
) -> Vec<WireAttribute> {
    declared
        .iter()
        .map(|attribute| write(attribute, describe_rule))
        .collect()
}

fn write(attribute: &Attribute, describe_rule: fn(Rule) -> &'static str) -> WireAttribute {
    let (r#type, nested_type) = match nested(&attribute.ty, describe_rule) {
        Some(object) => (vec![], Some(object)),
        None => (
            kind::write(&attribute.ty.kind()).to_string().into_bytes(),
            None,
        ),
    };
    let rule = if attribute.mode == Mode::Computed {
        ""
    } else {
        describe_rule(attribute.rule)
    };
    WireAttribute {
        name: attribute.name.to_owned(),
        r#type,
        nested_type,
        description: format!("{} {rule}", markdown(attribute.doc))
            .trim_end()
            .to_owned(),
        description_kind: StringKind::Markdown.into(),
        required: attribute.mode == Mode::Required,
        optional: matches!(attribute.mode, Mode::Optional | Mode::Secret),
        computed: attribute.mode == Mode::Computed,
        sensitive: attribute.mode == Mode::Secret,
        ..WireAttribute::default()
    }
}

/// Returns the nested attributes of a type that has some. Only one level of nesting has a form on the wire:
/// a map of maps of objects is sent as a plain type, without documentation.
fn nested(ty: &Type, describe_rule: fn(Rule) -> &'static str) -> Option<WireObject> {
    let (nesting, inner) = match ty {
        Type::Object(inner) => (NestingMode::Single, inner),
        Type::List(ty) => (NestingMode::List, direct(ty)?),
        Type::Set(ty) => (NestingMode::Set, direct(ty)?),
        Type::Map(ty) => (NestingMode::Map, direct(ty)?),
        Type::Text | Type::Number | Type::Bool | Type::Dynamic => return None,
    };
    Some(WireObject {
        attributes: attributes(inner, describe_rule),
        nesting: nesting.into(),
    })
}

fn direct(ty: &Type) -> Option<&Vec<Attribute>> {
    if let Type::Object(attributes) = ty {
        Some(attributes)
    } else {
        None
    }
}
