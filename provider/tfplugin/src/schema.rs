//! Declarations as the schemas that Terraform reads.

use proto::tfplugin6::{
    self as wire, StringKind,
    schema::{Attribute as WireAttribute, Block, Object as WireObject, object::NestingMode},
};

use crate::{Attribute, Mode, Object, Rule, Type};

/// Returns the schema of a resource or a data source: input and output side by side.
pub(crate) fn of_sides<I: Object, O: Object>(tells: fn(Rule) -> &'static str) -> wire::Schema {
    let input = attributes(&I::attributes(), tells);
    let output = attributes(&O::attributes(), tells);
    schema(I::DOC, input.into_iter().chain(output).collect())
}

/// Returns the schema of a provider block.
pub(crate) fn of_config<O: Object>() -> wire::Schema {
    schema(O::DOC, attributes(&O::attributes(), |_| ""))
}

/// Returns documentation as Markdown: comment lines start with a space.
pub(crate) fn markdown(doc: &str) -> String {
    let lines: Vec<_> = doc
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
        .collect();
    lines.join("\n").trim().to_owned()
}

/// Returns what is wrong with the declarations of two sides; nothing if they were tested once.
pub(crate) fn faults(input: &[Attribute], output: &[Attribute]) -> Vec<String> {
    let mut faults = vec![];
    for (computed, declared) in [(false, input), (true, output)] {
        let mut wrong = vec![];
        not_of(computed, declared, "", &mut wrong);
        faults.extend(
            wrong
                .into_iter()
                .map(|name| format!("`{name}` is on the wrong side of input and output")),
        );
    }
    let shared = input
        .iter()
        .filter(|attribute| output.iter().any(|other| other.name == attribute.name));
    faults.extend(
        shared.map(|attribute| format!("`{}` is in the input and in the output", attribute.name)),
    );
    faults
}

/// Returns what is wrong with the names that make an identity.
pub(crate) fn faults_of_identity(identity: &[&'static str], input: &[Attribute]) -> Vec<String> {
    let is_text = |name: &str| {
        input
            .iter()
            .any(|attribute| attribute.name == name && matches!(attribute.ty, Type::Text))
    };
    let strange = identity.iter().filter(|name| !is_text(name));
    strange
        .map(|name| format!("the identity `{name}` is no text of the input"))
        .collect()
}

fn not_of(computed: bool, attributes: &[Attribute], at: &str, wrong: &mut Vec<String>) {
    for attribute in attributes {
        let name = format!("{at}{}", attribute.name);
        if (attribute.mode == Mode::Computed) != computed {
            wrong.push(name.clone());
        }
        if let Some(inner) = object_in(&attribute.ty) {
            not_of(computed, inner, &format!("{name}."), wrong);
        }
    }
}

fn object_in(ty: &Type) -> Option<&[Attribute]> {
    match ty {
        Type::Object(attributes) => Some(attributes),
        Type::List(inner) | Type::Set(inner) | Type::Map(inner) => object_in(inner),
        Type::Text | Type::Number | Type::Bool | Type::Dynamic => None,
    }
}

fn schema(doc: &str, attributes: Vec<WireAttribute>) -> wire::Schema {
    let description_kind = StringKind::Markdown.into();
    let block = Block {
        attributes,
        description: markdown(doc),
        description_kind,
        ..Block::default()
    };
    wire::Schema {
        version: 0,
        block: Some(block),
    }
}

fn attributes(declared: &[Attribute], tells: fn(Rule) -> &'static str) -> Vec<WireAttribute> {
    declared
        .iter()
        .map(|attribute| write(attribute, tells))
        .collect()
}

fn write(attribute: &Attribute, tells: fn(Rule) -> &'static str) -> WireAttribute {
    let (r#type, nested_type) = match nested(&attribute.ty, tells) {
        Some(object) => (vec![], Some(object)),
        None => (attribute.ty.kind().to_json().to_string().into_bytes(), None),
    };
    let rule = if attribute.mode == Mode::Computed {
        ""
    } else {
        tells(attribute.rule)
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
fn nested(ty: &Type, tells: fn(Rule) -> &'static str) -> Option<WireObject> {
    let (nesting, inner) = match ty {
        Type::Object(inner) => (NestingMode::Single, inner),
        Type::List(ty) => (NestingMode::List, direct(ty)?),
        Type::Set(ty) => (NestingMode::Set, direct(ty)?),
        Type::Map(ty) => (NestingMode::Map, direct(ty)?),
        Type::Text | Type::Number | Type::Bool | Type::Dynamic => return None,
    };
    Some(WireObject {
        attributes: attributes(inner, tells),
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
