//! How long work may take: defaults of a resource, and what the user wrote.

use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
    time::Duration,
};

use crate::{
    Attribute, Diagnostics, Mode, Object, Path, Raw, Rule, Shape, Text, Type, Value, field, fields,
};

/// How long each operation may take unless the user says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Creating.
    pub create: Duration,
    /// Refreshing, importing.
    pub read: Duration,
    /// Updating in place.
    pub update: Duration,
    /// Deleting.
    pub delete: Duration,
}

impl Limits {
    /// Twenty minutes for each change, five for a refresh.
    pub const DEFAULT: Self = Self {
        create: Duration::from_mins(20),
        read: Duration::from_mins(5),
        update: Duration::from_mins(20),
        delete: Duration::from_mins(20),
    };

    /// Returns the limits with what a value's `timeouts` attribute says instead.
    #[must_use]
    pub fn for_value(self, raw: &Raw) -> Self {
        let written = raw.get("timeouts");
        let limit = |name, default| match written.get(name) {
            Raw::Text(text) => text.parse().map_or(default, |GoDuration(limit)| limit),
            _ => default,
        };
        Self {
            create: limit("create", self.create),
            read: limit("read", self.read),
            update: limit("update", self.update),
            delete: limit("delete", self.delete),
        }
    }
}

/// The attribute `timeouts` of an input. The framework obeys it: the attribute must have that name.
///
/// It is usable wherever the weakest effect is the default one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Creating.
    pub create: Value<Text<GoDuration>>,
    /// Refreshing, importing.
    pub read: Value<Text<GoDuration>>,
    /// Updating in place.
    pub update: Value<Text<GoDuration>>,
    /// Deleting.
    pub delete: Value<Text<GoDuration>>,
}

impl Object for Timeouts {
    const DOC: &'static str = "How long each operation may take, as `30s`, `20m` or `1h30m`.";

    fn attributes() -> Vec<Attribute> {
        let limit = |name, doc| Attribute {
            name,
            mode: Mode::Optional,
            ty: Type::Text,
            rule: Rule::NONE,
            doc,
        };
        vec![
            limit(
                "create",
                "Limit of a create, as `30s`, `20m` or `1h30m`. Default: `20m`.",
            ),
            limit("read", "Limit of a refresh. Default: `5m`."),
            limit("update", "Limit of an update in place. Default: `20m`."),
            limit("delete", "Limit of a delete. Default: `20m`."),
        ]
    }
}

impl Shape for Timeouts {
    fn ty() -> Type {
        Type::Object(Self::attributes())
    }

    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self> {
        let fields = fields(raw, at, problems)?;
        let mut limit = |name| field::<Text<GoDuration>>(fields, name, at, problems);
        Some(Self {
            create: limit("create"),
            read: limit("read"),
            update: limit("update"),
            delete: limit("delete"),
        })
    }

    fn write(&self) -> Raw {
        let limits = [
            ("create", &self.create),
            ("read", &self.read),
            ("update", &self.update),
            ("delete", &self.delete),
        ];
        Raw::Map(
            limits
                .into_iter()
                .map(|(name, limit)| (name.to_owned(), Shape::write(limit)))
                .collect(),
        )
    }
}

/// A length of time as Go writes it, `300ms`, `1h30m`, `1.5h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(pub Duration);

/// Text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a length of time such as \"30s\", \"20m\" or \"1h30m\", got {0:?}")]
pub struct InvalidDuration(String);

impl FromStr for GoDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text)
            .map(Self)
            .ok_or_else(|| InvalidDuration(text.to_owned()))
    }
}

impl Display for GoDuration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        let mut text = String::new();
        for (amount, unit) in [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (u64::from(millis), "ms"),
        ] {
            if amount > 0 {
                text += &amount.to_string();
                text += unit;
            }
        }
        f.write_str(if text.is_empty() { "0s" } else { &text })
    }
}

fn parse(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest[..number].parse().ok()?;
        rest = &rest[number..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let seconds = match &rest[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(amount * seconds).ok()?)?;
        rest = &rest[unit..];
    }
    // A limit of nothing would fail everything at once; one of centuries would overflow the clock.
    (!total.is_zero() && total <= Duration::from_hours(366 * 24)).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, millis) in [
            ("30s", 30_000),
            ("20m", 1_200_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("300ms", 300),
            ("1h0m5s", 3_605_000),
        ] {
            assert_eq!(
                text.parse::<GoDuration>().unwrap().0.as_millis(),
                millis,
                "{text}"
            );
        }
        for bad in [
            "",
            "20",
            "m",
            "-1s",
            "0s",
            "1d",
            "1h 2m",
            "1..2s",
            "99999999999999999999h",
            "9999999h",
        ] {
            assert!(bad.parse::<GoDuration>().is_err(), "{bad}");
        }
        assert_eq!("90m".parse::<GoDuration>().unwrap().to_string(), "1h30m");
    }

    #[test]
    fn written_timeouts_win_over_defaults() {
        let written = Raw::Map([("update".into(), Raw::Text("1s".into()))].into());
        let limits = Limits::DEFAULT.for_value(&Raw::Map([("timeouts".into(), written)].into()));
        assert_eq!(
            (limits.update, limits.create),
            (Duration::from_secs(1), Limits::DEFAULT.create)
        );
    }
}
