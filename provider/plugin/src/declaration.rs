//! Declarations of attributes and objects, and the typed view of a value.

use crate::{Diagnostics, Kind, Path, Raw, Rule, Step};

/// Who writes an attribute. There is none that both sides write: see the crate's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The user must write it.
    Required,
    /// The user may write it.
    Optional,
    /// The user may write it, and no command shows it. With [`SecretText`](crate::SecretText) no `Debug` does either.
    Secret,
    /// The provider finds it out.
    Computed,
}

/// The type of an attribute.
#[derive(Clone, Debug)]
pub enum Type {
    /// Text.
    Text,
    /// A number.
    Number,
    /// A truth value.
    Bool,
    /// Any type.
    Dynamic,
    /// A list.
    List(Box<Type>),
    /// A set: no order, no duplicates.
    Set(Box<Type>),
    /// A map.
    Map(Box<Type>),
    /// An object with attributes of its own.
    Object(Vec<Attribute>),
}

impl Type {
    /// Returns the type as the wire has it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Text => Kind::Text,
            Self::Number => Kind::Number,
            Self::Bool => Kind::Bool,
            Self::Dynamic => Kind::Dynamic,
            Self::List(inner) => Kind::List(Box::new(inner.kind())),
            Self::Set(inner) => Kind::Set(Box::new(inner.kind())),
            Self::Map(inner) => Kind::Map(Box::new(inner.kind())),
            Self::Object(attributes) => kind_of(attributes),
        }
    }
}

/// Returns the type of an object with these attributes.
pub fn kind_of(attributes: &[Attribute]) -> Kind {
    Kind::Object(
        attributes
            .iter()
            .map(|attribute| (attribute.name.to_owned(), attribute.ty.kind()))
            .collect(),
    )
}

/// Returns the rule of the innermost attribute at a path; `None` if there is none.
pub fn rule_at(attributes: &[Attribute], at: &Path) -> Option<Rule> {
    in_object(attributes, at.steps())
}

fn in_object(attributes: &[Attribute], steps: &[Step]) -> Option<Rule> {
    let (first, rest) = steps.split_first()?;
    let name = first.text();
    let attribute = attributes.iter().find(|attribute| attribute.name == name)?;
    below(&attribute.ty, rest).or(Some(attribute.rule))
}

fn below(ty: &Type, steps: &[Step]) -> Option<Rule> {
    match ty {
        Type::Object(attributes) => in_object(attributes, steps),
        Type::Map(inner) | Type::List(inner) | Type::Set(inner) => below(inner, steps.get(1..)?),
        Type::Text | Type::Number | Type::Bool | Type::Dynamic => None,
    }
}

/// An attribute of an object.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// Who writes it.
    pub mode: Mode,
    /// Its type.
    pub ty: Type,
    /// What a change of it does; for a computed one: from which rank on it is unknown in a plan.
    pub rule: Rule,
    /// Its documentation, as Markdown, with a space at the start of each line as in the source.
    pub doc: &'static str,
}

/// A Rust type that is the typed view of a value.
pub trait Shape: Sized {
    /// Returns the type in a schema.
    fn ty() -> Type;

    /// Reads a value, reports every problem in it and continues after each.
    ///
    /// `None` stands for unknown: the value is unknown, or it has a problem that was reported.
    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self>;

    /// Writes the value.
    fn write(&self) -> Raw;
}

/// A declared object; [`object!`](crate::object!) writes the implementation.
pub trait Object: Shape {
    /// Its documentation, as Markdown.
    const DOC: &'static str;

    /// Returns the attributes, in the order of the declaration.
    fn attributes() -> Vec<Attribute>;
}
