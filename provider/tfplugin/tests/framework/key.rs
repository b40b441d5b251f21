//! An ephemeral resource of the toy provider.

use plugin::{
    Diagnostic, Diagnostics, Done, EphemeralResource, Lease, Opened, Paths, Text, Value, object,
};
use tokio::time::Instant;

use crate::toy::{Name, World};

object! {
    /// A key to a thing, for a while.
    pub(crate) struct KeyInput {
        /// The thing.
        Required thing: Text<Name>,
        /// What goes wrong: `open`, `renew`, `close` or `panic`.
        Optional fault: String,
    }
}

object! {
    /// The key.
    pub(crate) struct KeyOutput {
        /// Its secret.
        Computed secret: String,
        /// Nobody's.
        Computed nothing: String,
    }
}

/// A key: each opened one is in the world until it is closed.
pub(crate) struct Key;

impl EphemeralResource for Key {
    const NAME: &'static str = "toy_key";

    type Input = KeyInput;
    type Output = KeyOutput;
    type Context = World;

    fn check(input: &KeyInput, unknown: &Paths) -> Diagnostics {
        let odd = input.fault.known().filter(|fault| *fault == "odd");
        odd.filter(|_| !unknown.is_unknown("thing"))
            .map(|_| Diagnostic::error("Odd fault", "Choose another.").at("fault"))
            .into_iter()
            .collect()
    }

    async fn open(
        world: &World,
        input: &KeyInput,
        _: Instant,
    ) -> Result<Opened<KeyOutput>, Diagnostics> {
        let fault = input.fault.known().cloned().unwrap_or_default();
        assert!(fault != "panic", "as ordered");
        if fault == "open" {
            return Err(Diagnostic::error("Failed", "As ordered.")
                .at("fault")
                .into());
        }
        world.keys().push("opened".into());
        Ok(Opened {
            output: KeyOutput {
                secret: "geheim".to_owned().into(),
                nothing: Value::Unknown,
            },
            lease: Lease {
                renew_at: jiff::Timestamp::from_second(1).ok(),
                kept: fault.clone().into_bytes(),
            },
            diagnostics: (fault == "warn")
                .then(|| Diagnostic::warning("Careful", "As ordered."))
                .into_iter()
                .collect(),
        })
    }

    async fn renew(world: &World, kept: &[u8]) -> Result<Lease, Diagnostics> {
        if kept == b"renew" {
            return Err(Diagnostic::error("Failed", "As ordered.").into());
        }
        world.keys().push("renewed".into());
        Ok(Lease {
            renew_at: None,
            kept: b"renewed".to_vec(),
        })
    }

    async fn close(world: &World, kept: &[u8]) -> Done {
        let kept = String::from_utf8_lossy(kept);
        if kept == "close" {
            return Err(Diagnostic::error("Failed", "As ordered.").into());
        }
        world.keys().push(format!("closed {kept}"));
        Ok(Diagnostics::none())
    }
}
