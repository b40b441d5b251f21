//! Names in a file that no declaration has, each with the nearest one that exists.

use std::borrow::Cow;
use std::fmt;

use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Structure};
use mesh::nearest::nearest;
use plugin::{Attribute, Path, Step, Type};

use super::declarations::{Declarations, Declared};
use super::file::{File, key_of};

/// Characters of a name that are shown.
const LONGEST: usize = 100;

/// A name that does not exist.
pub(super) struct Finding {
    /// `file:line`
    place: String,
    /// The block that it stands in.
    title: String,
    at: Path,
    /// The names that exist there.
    known: Vec<&'static str>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = plain::line(&self.at.notation(), 4 * LONGEST);
        write!(
            f,
            "{}: {}: there is no attribute {path}.",
            self.place, self.title
        )?;
        let name = self.at.steps().last().map(Step::text).unwrap_or_default();
        match nearest(&name, &self.known) {
            Some(near) => write!(f, " Did you mean {near}?"),
            None => write!(f, " There are: {}.", self.known.join(", ")),
        }
    }
}

/// Returns the unknown names of a file.
pub(super) fn unknown(file: &File, declarations: &Declarations) -> Vec<Finding> {
    let mut found = Vec::new();
    for block in file.body.blocks() {
        if let Some(declared) = declarations.of(block) {
            let mut walk = Walk {
                file,
                title: &declared.title,
                found: &mut found,
            };
            walk.block(block, &declared);
        }
    }
    found
}

/// A walk through one block.
struct Walk<'a> {
    file: &'a File,
    title: &'a str,
    found: &'a mut Vec<Finding>,
}

impl Walk<'_> {
    fn block(&mut self, block: &Block, declared: &Declared) {
        for structure in &block.body {
            let (name, place) = match structure {
                Structure::Attribute(attribute) => (attribute.key.as_str(), attribute.key.span()),
                Structure::Block(block) => (block.ident.as_str(), block.ident.span()),
            };
            if declared.meta.contains(&name) {
                continue;
            }
            let at = Path::root().join(Step::Name(Cow::Owned(name.to_owned())));
            let ty = self.known(
                &declared.attributes,
                name,
                &at,
                place.map_or(0, |of| of.start),
            );
            if let (Some(ty), Structure::Attribute(attribute)) = (ty, structure) {
                self.value(ty, &attribute.value, &at);
            }
        }
    }

    /// Returns the type of an attribute; one that does not exist is reported.
    fn known<'a>(
        &mut self,
        attributes: &'a [Attribute],
        name: &str,
        at: &Path,
        place: usize,
    ) -> Option<&'a Type> {
        let found = attributes.iter().find(|attribute| attribute.name == name);
        if found.is_none() {
            self.found.push(Finding {
                place: self.file.place(place),
                title: self.title.to_owned(),
                at: at.clone(),
                known: attributes.iter().map(|attribute| attribute.name).collect(),
            });
        }
        found.map(|attribute| &attribute.ty)
    }

    /// Looks into a value that is written out. What an expression gives is not known here.
    fn value(&mut self, ty: &Type, value: &Expression, at: &Path) {
        match (ty, value) {
            (ty, Expression::Parenthesis(inner)) => self.value(ty, inner.inner(), at),
            (Type::Object(attributes), Expression::Object(object)) => {
                for (key, value) in object {
                    let Some(name) = key_of(key) else { continue };
                    let at = at.join(Step::Name(Cow::Owned(name.clone())));
                    let place = key.span().map_or(0, |of| of.start);
                    if let Some(ty) = self.known(attributes, &name, &at, place) {
                        self.value(ty, value.expr(), &at);
                    }
                }
            }
            (Type::Map(inner), Expression::Object(object)) => {
                for (key, value) in object {
                    let key = key_of(key).unwrap_or_else(|| "…".to_owned());
                    self.value(inner, value.expr(), &at.key(key));
                }
            }
            (Type::List(inner) | Type::Set(inner), Expression::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(inner, item, &at.index(index));
                }
            }
            _ => {}
        }
    }
}
