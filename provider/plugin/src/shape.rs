//! The typed views of leaves and collections.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    net::IpAddr,
    str::FromStr,
};

use crate::{Diagnostic, Diagnostics, Fault, Key, Path, Raw, SecretText, Shape, Text, Type, Value};

/// Returns the attributes of an object; any other value is reported.
pub fn fields<'a>(
    raw: &'a Raw,
    at: &Path,
    problems: &mut Diagnostics,
) -> Option<&'a BTreeMap<String, Raw>> {
    match raw {
        Raw::Map(fields) => Some(fields),
        other => mismatch("an object", other, at, problems),
    }
}

impl<T: Shape> Shape for Value<T> {
    fn ty() -> Type {
        T::ty()
    }

    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self> {
        Some(match raw {
            Raw::Null => Self::Null,
            Raw::Unknown => Self::Unknown,
            raw => T::read(raw, at, problems).map_or(Self::Unknown, Self::Known),
        })
    }

    fn write(&self) -> Raw {
        match self {
            Self::Known(value) => value.write(),
            Self::Null => Raw::Null,
            Self::Unknown => Raw::Unknown,
        }
    }
}

/// A value of any type, as it came.
impl Shape for Raw {
    fn ty() -> Type {
        Type::Dynamic
    }

    fn read(raw: &Raw, _: &Path, _: &mut Diagnostics) -> Option<Self> {
        Some(raw.clone())
    }

    fn write(&self) -> Raw {
        self.clone()
    }
}

impl Shape for String {
    fn ty() -> Type {
        Type::Text
    }

    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self> {
        text(raw, at, problems).map(str::to_owned)
    }

    fn write(&self) -> Raw {
        Raw::Text(self.clone())
    }
}

impl Shape for IpAddr {
    fn ty() -> Type {
        Type::Text
    }

    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self> {
        let text = text(raw, at, problems)?;
        let invalid = || format!("must be an IP address such as 10.0.0.20, got {text:?}");
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => report(&invalid(), at, problems),
        }
    }

    fn write(&self) -> Raw {
        Raw::Text(self.to_string())
    }
}

impl Shape for SecretText {
    fn ty() -> Type {
        Type::Text
    }

    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self> {
        text(raw, at, problems).map(Self::from)
    }

    fn write(&self) -> Raw {
        Raw::Text(self.expose().to_owned())
    }
}

impl<T: FromStr<Err: Display> + Display> Shape for Text<T> {
    fn ty() -> Type {
        Type::Text
    }

    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self> {
        match text(raw, at, problems)?.parse() {
            Ok(value) => Some(Self(value)),
            Err(err) => report(&format!("{err}"), at, problems),
        }
    }

    fn write(&self) -> Raw {
        Raw::Text(self.0.to_string())
    }
}

impl Shape for bool {
    fn ty() -> Type {
        Type::Bool
    }

    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self> {
        match raw {
            Raw::Bool(value) => Some(*value),
            other => mismatch("a bool", other, at, problems),
        }
    }

    fn write(&self) -> Raw {
        Raw::Bool(*self)
    }
}

macro_rules! whole_number {
    ($($Type:ty),+) => { $(
        impl Shape for $Type {
            fn ty() -> Type {
                Type::Number
            }

            fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self> {
                let Raw::Number(number) = raw else { return mismatch("a number", raw, at, problems) };
                let whole = number.to_i128().and_then(|whole| Self::try_from(whole).ok());
                whole.or_else(|| {
                    let range = format!("must be a whole number from {} to {}, got {number}", Self::MIN, Self::MAX);
                    report(&range, at, problems)
                })
            }

            fn write(&self) -> Raw {
                Raw::Number(i128::from(*self).into())
            }
        }
    )+ };
}
whole_number!(u16, u32, u64, i64);

impl Shape for f64 {
    fn ty() -> Type {
        Type::Number
    }

    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self> {
        let Raw::Number(number) = raw else {
            return mismatch("a number", raw, at, problems);
        };
        number.to_f64().or_else(|| {
            report(
                &format!("must be a smaller number, got {number}"),
                at,
                problems,
            )
        })
    }

    /// There is no infinity and no NaN: they become null.
    fn write(&self) -> Raw {
        self.to_string().parse().map_or(Raw::Null, Raw::Number)
    }
}

/// A list with an unknown element counts as unknown, since the places behind would shift.
impl<T: Shape> Shape for Vec<T> {
    fn ty() -> Type {
        Type::List(Box::new(T::ty()))
    }

    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self> {
        elements("a list", raw, at, problems)
    }

    fn write(&self) -> Raw {
        Raw::List(self.iter().map(Shape::write).collect())
    }
}

impl<T: Shape + Ord> Shape for BTreeSet<T> {
    fn ty() -> Type {
        Type::Set(Box::new(T::ty()))
    }

    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self> {
        elements("a set", raw, at, problems).map(|items| items.into_iter().collect())
    }

    fn write(&self) -> Raw {
        Raw::List(self.iter().map(Shape::write).collect())
    }
}

/// Elements that are null, unknown or have a problem are left out; `BTreeMap<String, Value<T>>` keeps the first two.
impl<K: Key, T: Shape> Shape for BTreeMap<K, T> {
    fn ty() -> Type {
        Type::Map(Box::new(T::ty()))
    }

    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self> {
        let Raw::Map(items) = raw else {
            return mismatch("a map", raw, at, problems);
        };
        let mut map = Self::new();
        for (key, item) in items {
            let at = at.key(key);
            let value = T::read(item, &at, problems);
            match K::parse_key(key) {
                Ok(key) => map.extend(value.map(|value| (key, value))),
                Err(err) => {
                    problems.push(Diagnostic::fault(Fault::InvalidKey, format!("{err}.")).at(at));
                }
            }
        }
        Some(map)
    }

    fn write(&self) -> Raw {
        Raw::Map(
            self.iter()
                .map(|(key, item)| (key.key_text(), item.write()))
                .collect(),
        )
    }
}

fn elements<T: Shape>(
    noun: &str,
    raw: &Raw,
    at: &Path,
    problems: &mut Diagnostics,
) -> Option<Vec<T>> {
    let Raw::List(items) = raw else {
        return mismatch(noun, raw, at, problems);
    };
    let read = |(index, item)| match item {
        &Raw::Null => report(
            "must not be null; leave the element out",
            &at.index(index),
            problems,
        ),
        item => T::read(item, &at.index(index), problems),
    };
    // All elements are read, so that each problem is reported.
    items
        .iter()
        .enumerate()
        .map(read)
        .collect::<Vec<_>>()
        .into_iter()
        .collect()
}

fn text<'a>(raw: &'a Raw, at: &Path, problems: &mut Diagnostics) -> Option<&'a str> {
    match raw {
        Raw::Text(text) => Some(text),
        other => mismatch("a string", other, at, problems),
    }
}

/// Reports a value of the wrong type. Null and unknown have no type and are valid.
fn mismatch<T>(expected: &str, found: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<T> {
    match found {
        Raw::Null | Raw::Unknown => None,
        found => report(
            &format!("must be {expected}, got {}", found.noun()),
            at,
            problems,
        ),
    }
}

fn report<T>(what: &str, at: &Path, problems: &mut Diagnostics) -> Option<T> {
    problems.push(Diagnostic::invalid(at, format!("{what}.")));
    None
}
