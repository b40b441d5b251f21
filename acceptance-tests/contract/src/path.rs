//! Paths in values.

use std::fmt;

use proto::tfplugin6::AttributePath;
use proto::tfplugin6::attribute_path::step::Selector;

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// An attribute of an object, or an element of a map.
    Name(String),
    /// An element of a list or tuple.
    Index(usize),
}

impl From<&String> for Step {
    fn from(name: &String) -> Self {
        Self::Name(name.clone())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// Steps from the outermost object inwards. Displayed as `ports[0].number`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// Returns this path below `outer`.
    #[must_use]
    pub(crate) fn below(mut self, outer: impl Into<Step>) -> Self {
        self.0.insert(0, outer.into());
        self
    }

    /// Returns the path of an element.
    #[must_use]
    pub(crate) fn then(&self, inner: impl Into<Step>) -> Self {
        let mut steps = self.0.clone();
        steps.push(inner.into());
        Self(steps)
    }
}

impl From<&AttributePath> for Path {
    /// A step without a selector or with a negative index becomes an empty name, which never exists.
    fn from(path: &AttributePath) -> Self {
        let step = |selector: Option<&Selector>| match selector {
            Some(Selector::AttributeName(name) | Selector::ElementKeyString(name)) => {
                Step::Name(name.clone())
            }
            Some(Selector::ElementKeyInt(index)) => {
                usize::try_from(*index).map_or_else(|_| Step::Name(String::new()), Step::Index)
            }
            None => Step::Name(String::new()),
        };
        Self(
            path.steps
                .iter()
                .map(|each| step(each.selector.as_ref()))
                .collect(),
        )
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(the whole object)");
        }
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Name(name) if number == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}
