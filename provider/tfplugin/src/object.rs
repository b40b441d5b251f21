//! Declarations: one list of attributes is struct, schema, documentation and change rules.

use std::collections::BTreeMap;

use crate::{Diagnostics, Kind, Path, Raw, Value};

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

/// The type of an attribute; `E` is what a change of an attribute does.
#[derive(Clone, Debug)]
pub enum Type<E> {
    /// Text.
    Text,
    /// A number.
    Number,
    /// A truth value.
    Bool,
    /// Any type.
    Dynamic,
    /// A list.
    List(Box<Type<E>>),
    /// A set: no order, no duplicates.
    Set(Box<Type<E>>),
    /// A map.
    Map(Box<Type<E>>),
    /// An object with attributes of its own.
    Object(Vec<Attribute<E>>),
}

impl<E> Type<E> {
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
pub fn kind_of<E>(attributes: &[Attribute<E>]) -> Kind {
    Kind::Object(
        attributes
            .iter()
            .map(|attribute| (attribute.name.to_owned(), attribute.ty.kind()))
            .collect(),
    )
}

/// An attribute of an object.
#[derive(Clone, Debug)]
pub struct Attribute<E> {
    /// Its name.
    pub name: &'static str,
    /// Who writes it.
    pub mode: Mode,
    /// Its type.
    pub ty: Type<E>,
    /// What a change of it does; for a computed one: from which effect on it is unknown in a plan.
    pub effect: E,
    /// Its documentation, as Markdown, with a space at the start of each line as in the source.
    pub doc: &'static str,
}

/// A Rust type that is the typed view of a value of Terraform.
pub trait Shape<E>: Sized {
    /// Returns the type in a schema.
    fn ty() -> Type<E>;

    /// Reads a value, tells every problem in it and goes on behind each.
    ///
    /// `None` stands for unknown: the value is unknown, or it has a problem that was told.
    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self>;

    /// Writes the value.
    fn write(&self) -> Raw;
}

/// A declared object; [`object!`](crate::object!) writes the implementation.
pub trait Object<E>: Shape<E> {
    /// Its documentation, as Markdown.
    const DOC: &'static str;

    /// Returns the attributes, in the order of the declaration.
    fn attributes() -> Vec<Attribute<E>>;
}

/// Reads an attribute of an object: what cannot be read counts as unknown, so that checks over it are skipped.
pub fn field<E, T: Shape<E>>(
    fields: &BTreeMap<String, Raw>,
    name: &'static str,
    at: &Path,
    problems: &mut Diagnostics,
) -> Value<T> {
    match fields.get(name) {
        None | Some(Raw::Null) => Value::Null,
        Some(Raw::Unknown) => Value::Unknown,
        Some(raw) => T::read(raw, &at.name(name), problems).map_or(Value::Unknown, Value::Known),
    }
}

/// Returns an object with every attribute unknown: what a new resource's output is in a plan.
pub fn all_unknown<E, O: Object<E> + Clone + Default>() -> O {
    unknown_where(&O::default(), |_, _| true)
}

/// Returns the object with every attribute unknown whose rule is at most the effect: the rest keeps its value.
///
/// `Computed digest: String => Rebootstrap` is unknown from `Rebootstrap` on.
pub fn unknown_from<E: Ord, O: Object<E> + Clone>(object: &O, effect: &E) -> O {
    unknown_where(object, |attribute: &Attribute<E>, _| {
        attribute.effect <= *effect
    })
}

/// Returns the object with every attribute unknown that the rule picks, by its declaration and its value: the rest
/// keeps its value.
pub fn unknown_where<E, O: Object<E> + Clone>(
    object: &O,
    is_unknown: impl Fn(&Attribute<E>, &Raw) -> bool,
) -> O {
    let Raw::Map(mut fields) = object.write() else {
        return object.clone();
    };
    for attribute in O::attributes() {
        let value = fields.entry(attribute.name.to_owned()).or_insert(Raw::Null);
        if is_unknown(&attribute, value) {
            *value = Raw::Unknown;
        }
    }
    O::read(&Raw::Map(fields), &Path::root(), &mut Diagnostics::none())
        .unwrap_or_else(|| object.clone())
}

/// Returns the object with every attribute that is unknown taken from another one.
pub fn filled<E, O: Object<E> + Clone>(object: &O, from: &O) -> O {
    let (Raw::Map(mut fields), Raw::Map(known)) = (object.write(), from.write()) else {
        return object.clone();
    };
    for (name, value) in known {
        let field = fields.entry(name).or_insert(Raw::Unknown);
        if field.has_unknown() {
            *field = value;
        }
    }
    O::read(&Raw::Map(fields), &Path::root(), &mut Diagnostics::none())
        .unwrap_or_else(|| object.clone())
}

/// Declares an object once: struct, schema, documentation and what a change of each attribute does.
///
/// ```
/// # #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)] pub enum Effect { Nothing, Replace }
/// tfplugin::object! {
///     /// A bucket.
///     pub struct BucketInput: Effect {
///         /// Name of the bucket.
///         Required name: String => Replace,
///         /// Free text.
///         Optional about: String => Nothing,
///     }
/// }
/// ```
///
/// Each field is a [`Value`] of the type named; the modes are those of [`Mode`](crate::Mode).
/// The struct is `Clone`, `Debug`, `PartialEq` and `Default` (all null).
#[macro_export]
macro_rules! object {
    ($(#[doc = $about:literal])+ $vis:vis struct $Object:ident: $Effect:ident {
        $( $(#[doc = $doc:literal])+ $mode:ident $field:ident: $ty:ty => $effect:ident, )+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, PartialEq)]
        $vis struct $Object { $( $(#[doc = $doc])+ pub $field: $crate::Value<$ty>, )+ }

        impl $crate::Object<$Effect> for $Object {
            const DOC: &'static str = concat!($($about, "\n"),+);

            fn attributes() -> Vec<$crate::Attribute<$Effect>> {
                vec![ $( $crate::Attribute {
                    name: stringify!($field),
                    mode: $crate::Mode::$mode,
                    ty: <$ty as $crate::Shape<$Effect>>::ty(),
                    effect: $Effect::$effect,
                    doc: concat!($($doc, "\n"),+),
                } ),+ ]
            }
        }

        impl $crate::Shape<$Effect> for $Object {
            fn ty() -> $crate::Type<$Effect> {
                $crate::Type::Object(<Self as $crate::Object<$Effect>>::attributes())
            }

            fn read(raw: &$crate::Raw, at: &$crate::Path, problems: &mut $crate::Diagnostics) -> Option<Self> {
                let fields = $crate::fields(raw, at, problems)?;
                Some(Self { $( $field: $crate::field::<$Effect, $ty>(fields, stringify!($field), at, problems), )+ })
            }

            fn write(&self) -> $crate::Raw {
                $crate::Raw::Map([ $( (
                    stringify!($field).to_owned(),
                    <$crate::Value<$ty> as $crate::Shape<$Effect>>::write(&self.$field),
                ) ),+ ].into())
            }
        }
    };
}
