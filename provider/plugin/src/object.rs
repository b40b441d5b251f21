//! Declared objects: one list of attributes is struct, schema, documentation and change rules.

use std::collections::BTreeMap;

use crate::{Attribute, Diagnostics, Object, Path, Raw, Shape, Value};

/// Reads an attribute of an object: what cannot be read counts as unknown, so that checks over it are skipped.
pub fn field<T: Shape>(
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
pub fn all_unknown<O: Object + Clone + Default>() -> O {
    unknown_where(&O::default(), |_, _| true)
}

/// Returns the object with every attribute unknown whose rank is at most this one: the rest keeps its value.
///
/// `Computed digest: String => BOOTSTRAP` is unknown from the rank of `BOOTSTRAP` on.
pub fn unknown_from<O: Object + Clone>(object: &O, rank: u8) -> O {
    unknown_where(object, |attribute: &Attribute, _| {
        attribute.rule.rank <= rank
    })
}

/// Returns the object with every attribute unknown that the rule picks, by its declaration and its value: the rest
/// keeps its value.
pub fn unknown_where<O: Object + Clone>(
    object: &O,
    is_unknown: impl Fn(&Attribute, &Raw) -> bool,
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
pub fn filled<O: Object + Clone>(object: &O, from: &O) -> O {
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
/// # use plugin::Rule;
/// const REPLACE: Rule = Rule::new(1).replacing();
/// plugin::object! {
///     /// A bucket.
///     pub struct BucketInput {
///         /// Name of the bucket.
///         Required name: String => REPLACE,
///         /// Free text.
///         Optional about: String,
///     }
/// }
/// ```
///
/// Each field is a [`Value`] of the type named; the modes are those of [`Mode`](crate::Mode). An attribute without a
/// [`Rule`](crate::Rule) has [`Rule::NONE`](crate::Rule::NONE).
/// The struct is `Clone`, `Debug`, `PartialEq` and `Default` (all null).
#[macro_export]
macro_rules! object {
    ($(#[doc = $about:literal])+ $vis:vis struct $Object:ident {
        $( $(#[doc = $doc:literal])+ $mode:ident $field:ident: $ty:ty $(=> $rule:expr)?, )+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, PartialEq)]
        $vis struct $Object { $( $(#[doc = $doc])+ pub $field: $crate::Value<$ty>, )+ }

        impl $crate::Object for $Object {
            const DOC: &'static str = concat!($($about, "\n"),+);

            fn attributes() -> Vec<$crate::Attribute> {
                vec![ $( $crate::Attribute {
                    name: stringify!($field),
                    mode: $crate::Mode::$mode,
                    ty: <$ty as $crate::Shape>::ty(),
                    rule: $crate::rule!($($rule)?),
                    doc: concat!($($doc, "\n"),+),
                } ),+ ]
            }
        }

        impl $crate::Shape for $Object {
            fn ty() -> $crate::Type {
                $crate::Type::Object(<Self as $crate::Object>::attributes())
            }

            fn read(raw: &$crate::Raw, at: &$crate::Path, problems: &mut $crate::Diagnostics) -> Option<Self> {
                let fields = $crate::fields(raw, at, problems)?;
                Some(Self { $( $field: $crate::field::<$ty>(fields, stringify!($field), at, problems), )+ })
            }

            fn write(&self) -> $crate::Raw {
                $crate::Raw::Map([ $( (
                    stringify!($field).to_owned(),
                    <$crate::Value<$ty> as $crate::Shape>::write(&self.$field),
                ) ),+ ].into())
            }
        }
    };
}
