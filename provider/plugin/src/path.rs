//! Attribute paths: where a value stands, written as a user writes it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Characters of a key that are shown: more than a label's key has.
const LONGEST: usize = 400;

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// An attribute of an object.
    Name(Cow<'static, str>),
    /// A key of a map.
    Key(String),
    /// A place in a list, from 0.
    Index(usize),
}

impl Step {
    /// Returns the step without any sign around it.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Name(name) => Cow::Borrowed(name),
            Self::Key(key) => Cow::Borrowed(key),
            Self::Index(index) => Cow::Owned(index.to_string()),
        }
    }
}

/// Where a value stands, from the root of the configuration.
///
/// A message holds the steps, and each front writes them as its users do. A path made from text knows no
/// schema, so its steps are names; [`Kind::resolve`](crate::Kind::resolve) turns them into keys and indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

impl Path {
    /// Returns the path of the whole object.
    pub fn root() -> Self {
        Self::default()
    }

    /// Returns the path one step below this one.
    #[must_use]
    pub fn join(&self, step: Step) -> Self {
        let mut steps = Vec::with_capacity(self.0.len() + 1);
        steps.extend_from_slice(&self.0);
        steps.push(step);
        Self(steps)
    }

    /// Returns the path of an attribute of the object at this path.
    #[must_use]
    pub fn name(&self, name: &'static str) -> Self {
        self.join(Step::Name(Cow::Borrowed(name)))
    }

    /// Returns the path of an element of the map at this path.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.join(Step::Key(key.into()))
    }

    /// Returns the path of an element of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.join(Step::Index(index))
    }

    /// Returns the steps, outermost first.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Returns the steps joined by dots, whatever their kind: what two paths are compared by,
    /// since one of them may come from text.
    pub fn flat(&self) -> String {
        self.0.iter().map(Step::text).collect::<Vec<_>>().join(".")
    }
}

impl FromIterator<Step> for Path {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl From<&str> for Path {
    fn from(text: &str) -> Self {
        let mut steps = vec![];
        let mut rest = text;
        while let Some((step, after)) = first_step(rest) {
            steps.push(step);
            rest = after;
        }
        Self(steps)
    }
}

impl From<&String> for Path {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Path {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&Path> for Path {
    fn from(path: &Path) -> Self {
        path.clone()
    }
}

/// Splits `name.rest`, `["key"].rest` or `[0].rest`; `None` at the end.
fn first_step(text: &str) -> Option<(Step, &str)> {
    let text = text.strip_prefix('.').unwrap_or(text);
    if text.is_empty() {
        return None;
    }
    if let Some((key, rest)) = text
        .strip_prefix("[\"")
        .and_then(|rest| rest.split_once("\"]"))
    {
        return Some((Step::Key(key.replace("\\\"", "\"")), rest));
    }
    if let Some((index, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        && let Ok(index) = index.parse()
    {
        return Some((Step::Index(index), rest));
    }
    let end = text
        .char_indices()
        .skip(1)
        .find(|(_, c)| matches!(c, '.' | '['))
        .map_or(text.len(), |(at, _)| at);
    Some((Step::Name(Cow::Owned(text[..end].to_owned())), &text[end..]))
}

impl Path {
    /// Returns the text that is read as this path, e.g. `services.ratings.ports["a b"].number`: for what is stored and
    /// for engines whose users write paths like this.
    pub fn notation(&self) -> String {
        let mut text = String::new();
        for step in &self.0 {
            let dot = if text.is_empty() { "" } else { "." };
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Name(name) => write!(text, "{dot}{name}"),
                Step::Key(key) if is_identifier(key) => write!(text, "{dot}{key}"),
                Step::Key(key) => {
                    let key = plain::line(&key.replace('"', "\\\""), LONGEST);
                    write!(text, "[\"{key}\"]")
                }
                Step::Index(index) => write!(text, "[{index}]"),
            };
        }
        text
    }
}

/// Returns whether a key can stand after a dot.
fn is_identifier(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_the_user_writes_it() {
        let path = Path::root()
            .name("services")
            .key("ratings")
            .name("ports")
            .key("a b")
            .name("number");
        assert_eq!(path.notation(), r#"services.ratings.ports["a b"].number"#);
        assert_eq!(Path::root().name("hosts").index(2).notation(), "hosts[2]");
        for text in ["a.b.c", r#"a["x/y"].b[3]"#, "labels", ""] {
            assert_eq!(Path::from(text).notation(), text);
        }
    }
}
