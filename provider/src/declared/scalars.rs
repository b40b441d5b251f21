//! Scalar types of the declarations that neither `plugin` nor `mesh` has.

use std::fmt;
use std::str::FromStr;

use mesh::names::{Invalid, Port};
use plugin::{Diagnostic, Diagnostics, Path, Raw, Shape, Type};

/// A port, written as a number from 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortNumber(pub(crate) Port);

impl Shape for PortNumber {
    fn ty() -> Type {
        Type::Number
    }

    fn read(raw: &Raw, at: &Path, problems: &mut Diagnostics) -> Option<Self> {
        let Raw::Number(number) = raw else {
            // It reports the type that it finds.
            return <u16 as Shape>::read(raw, at, problems)?
                .try_into()
                .ok()
                .map(Self);
        };
        let port = number.to_string().parse();
        port.map(Self)
            .map_err(|err: Invalid| {
                problems.push(Diagnostic::invalid(at, format!("{err}.")));
            })
            .ok()
    }

    fn write(&self) -> Raw {
        <u16 as Shape>::write(&self.0.get())
    }
}

/// Declares an enum whose variants are written as the given words.
macro_rules! choice {
    ($(#[doc = $about:literal])+ $Name:ident { $( $(#[doc = $doc:literal])+ $Variant:ident = $word:literal, )+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $Name { $( $(#[doc = $doc])+ $Variant, )+ }

        impl FromStr for $Name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $( $word => Ok(Self::$Variant), )+
                    _ => Err(format!("must be one of {}, got {text:?}", [$(concat!("\"", $word, "\"")),+].join(", "))),
                }
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $( Self::$Variant => $word, )+ })
            }
        }
    };
}

choice! {
    /// What a destroy does to the VM.
    OnDestroy {
        /// Stops and removes the proxy.
        Clean = "clean",
        /// Leaves the VM alone.
        Keep = "keep",
    }
}

choice! {
    /// Whether a refresh checks the VMs.
    CheckOnRefresh {
        /// Each refresh does.
        Always = "always",
        /// None does: drift of VMs is not seen.
        Never = "never",
    }
}
