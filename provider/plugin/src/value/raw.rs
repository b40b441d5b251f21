//! A decoded value of any type, and numbers of any size.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    str::FromStr,
};

use super::Kind;

/// A value, whatever its type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Raw {
    /// No value.
    #[default]
    Null,
    /// A value that is known only after some apply.
    Unknown,
    /// A truth value.
    Bool(bool),
    /// A number of any size and precision.
    Number(Number),
    /// Text.
    Text(String),
    /// A list, a set or a tuple.
    List(Vec<Raw>),
    /// A map or an object.
    Map(BTreeMap<String, Raw>),
    /// A value whose type is part of the value.
    Dynamic {
        /// Its type.
        kind: Kind,
        /// The value, never dynamic itself.
        value: Box<Raw>,
    },
}

impl Raw {
    /// Returns what an object or map has under a name; null if it has nothing.
    pub fn get(&self, name: &str) -> &Raw {
        static NULL: Raw = Raw::Null;
        match self {
            Self::Map(items) => items.get(name).unwrap_or(&NULL),
            _ => &NULL,
        }
    }

    /// Returns whether the value, or something in it, is unknown.
    pub fn has_unknown(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::List(items) => items.iter().any(Self::has_unknown),
            Self::Map(items) => items.values().any(Self::has_unknown),
            Self::Dynamic { value, .. } => value.has_unknown(),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => false,
        }
    }

    /// Returns the value with null for all that is unknown: nothing unknown may enter a state.
    #[must_use]
    pub fn settled(self) -> Self {
        match self {
            Self::Unknown => Self::Null,
            Self::List(items) => Self::List(items.into_iter().map(Self::settled).collect()),
            Self::Map(items) => Self::Map(
                items
                    .into_iter()
                    .map(|(key, item)| (key, item.settled()))
                    .collect(),
            ),
            Self::Dynamic { kind, value } => Self::Dynamic {
                kind,
                value: Box::new(value.settled()),
            },
            other => other,
        }
    }

    /// Returns the value with the attributes that objects of a type have: what is missing is null, all else is dropped.
    #[must_use]
    pub fn fit(self, kind: &Kind) -> Self {
        match (kind, self) {
            (Kind::Object(attributes), Self::Map(mut fields)) => {
                let attribute = |(name, kind): (&String, &Kind)| {
                    let value = fields.remove(name).unwrap_or_default();
                    (name.clone(), value.fit(kind))
                };
                Self::Map(attributes.iter().map(attribute).collect())
            }
            (Kind::Map(inner), Self::Map(items)) => {
                let item = |(key, item): (String, Self)| (key, item.fit(inner));
                Self::Map(items.into_iter().map(item).collect())
            }
            (Kind::List(inner) | Kind::Set(inner), Self::List(items)) => {
                Self::List(items.into_iter().map(|item| item.fit(inner)).collect())
            }
            (_, value) => value,
        }
    }

    /// Returns what the value is, for messages: `a number`.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Unknown => "an unknown value",
            Self::Bool(_) => "a bool",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map or object",
            Self::Dynamic { .. } => "a dynamic value",
        }
    }
}

impl Display for Raw {
    /// Writes the value as a user would read it in a sentence; null is `unset`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("unset"),
            Self::Unknown => f.write_str("(known after apply)"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Map(items) => {
                let items: Vec<_> = items
                    .iter()
                    .map(|(key, item)| format!("{key} = {item}"))
                    .collect();
                write!(f, "{{{}}}", items.join(", "))
            }
            Self::Dynamic { value, .. } => write!(f, "{value}"),
        }
    }
}

/// A number as decimal text: it may have any size, and an `f64` would change it.
///
/// Numbers compare by what they mean: `1.0` is `1e0`.
#[derive(Clone, Debug)]
pub struct Number(String);

/// Text that is not a decimal number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a decimal number")]
pub struct InvalidNumber(String);

/// A number taken apart: sign, digits without zeros at either end, and the power of ten they are multiplied with.
#[derive(PartialEq, Eq)]
struct Parts {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Number {
    /// Returns the decimal text as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the number if it is a whole one within the range.
    pub fn to_i128(&self) -> Option<i128> {
        let Parts {
            negative,
            digits,
            exponent,
        } = parts(&self.0)?;
        let zeros = usize::try_from(exponent)
            .ok()
            .filter(|zeros| digits.len() + zeros <= 38)?;
        let magnitude: i128 = format!("0{digits}{}", "0".repeat(zeros)).parse().ok()?;
        Some(if negative { -magnitude } else { magnitude })
    }

    /// Returns the nearest double.
    pub fn to_f64(&self) -> Option<f64> {
        self.0
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || parts(&self.0) == parts(&other.0)
    }
}

impl Eq for Number {}

impl FromStr for Number {
    type Err = InvalidNumber;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if parts(text).is_some() {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidNumber(text.chars().take(60).collect()))
        }
    }
}

impl From<i128> for Number {
    fn from(number: i128) -> Self {
        Self(number.to_string())
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes decimal text apart; `None` if it is none.
fn parts(text: &str) -> Option<Parts> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, i64::from(power.parse::<i32>().ok()?)),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = all.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(Parts {
            negative: false,
            digits: String::new(),
            exponent: 0,
        });
    }
    let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
    let exponent = power - i64::try_from(fraction.len()).ok()? + dropped;
    Some(Parts {
        negative,
        digits: significant.to_owned(),
        exponent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_meaning_and_keep_their_text() {
        let number = |text: &str| text.parse::<Number>().unwrap();
        for (left, right) in [
            ("1", "1.0"),
            ("1e400", &format!("1{}", "0".repeat(400))),
            ("-0", "0"),
            ("0.10", "1E-1"),
            ("+5", "5"),
        ] {
            assert_eq!(number(left), number(right));
        }
        assert_ne!(
            number("0.1"),
            number("0.1000000000000000055511151231257827")
        );
        assert_eq!(number("1e400").to_string(), "1e400");
        assert_eq!(number("-12e2").to_i128(), Some(-1200));
        assert_eq!(number("1.5").to_i128(), None);
        assert_eq!(number("1e99999").to_i128(), None);
        for bad in [
            "",
            ".",
            "-",
            "1e",
            "0x1",
            "1_0",
            "NaN",
            "inf",
            "1e99999999999",
        ] {
            assert!(bad.parse::<Number>().is_err(), "{bad}");
        }
    }
}
