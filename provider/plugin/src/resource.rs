//! The resource trait: what the author of a resource writes.

use std::{collections::BTreeMap, future::Future};

use tokio::time::Instant;

use crate::{Changed, Deadline, Diagnostics, Done, Limits, Object, Paths, Raw, Rule};

/// A kind of resource.
///
/// Its state is one object: the attributes of [`Input`](Self::Input), which the user writes, beside those of
/// [`Output`](Self::Output), which the provider finds out. The names are disjoint. The framework stores the input
/// as it came; a resource only ever fills the output.
pub trait Resource: Send + Sync + 'static {
    /// The name of the type, with the provider's prefix: `cloud_machine`.
    const NAME: &'static str;

    /// How long each operation may take unless the attribute `timeouts` says otherwise.
    const LIMITS: Limits = Limits::DEFAULT;

    /// The text attributes of the input that identify the resource, in the order of an import id.
    const IDENTITY: &'static [&'static str] = &[];

    /// The version of what is stored, from 0. A state of an earlier one goes through [`upgrade`](Self::upgrade).
    const VERSION: u32 = 0;

    /// What the user writes.
    type Input: Object + Clone + Send + Sync;
    /// What the provider finds out: every attribute is `Computed`.
    type Output: Object + Clone + Default + Send + Sync;
    /// What the configured provider hands to its resources.
    type Context: Send + Sync + 'static;

    /// Returns the sentence that ends the description of each attribute of that rule; empty for none.
    fn describe_rule(rule: Rule) -> &'static str;

    /// Returns a state of an earlier version as this version has it. Attributes that are missing in it are null, and
    /// those that this version does not have are dropped.
    ///
    /// # Errors
    /// What cannot be brought over, and what the user can do about it.
    fn upgrade(stored: Stored) -> Result<Raw, Diagnostics> {
        Ok(stored.state)
    }

    /// Checks a configuration: all problems at once, each with its path.
    ///
    /// A value that does not parse was reported already and reads as unknown. A problem that concerns something unknown
    /// (`unknown.is_unknown(path)`) must not be reported.
    fn check(input: &Self::Input, unknown: &Paths) -> Diagnostics;

    /// Checks what the user wrote against the provider block, as far as both are known: when a change is planned, and
    /// again before it is carried out. It must not connect to anything. Problems are reported as by
    /// [`check`](Self::check).
    fn check_configured(_: &Self::Context, _: &Self::Input, _: &Paths) -> Diagnostics {
        Diagnostics::none()
    }

    /// Returns what an input means, written in one way: two inputs that mean the same give the same. An edit is no edit
    /// where the meaning stays the same; only the state changes then.
    ///
    /// Unknown values may be left out of it: their edits always count.
    fn meaning(input: &Self::Input) -> Self::Input {
        input.clone()
    }

    /// Plans a change. Pure: the same stage gives the same plan, and it cannot do I/O.
    ///
    /// An update is planned even when nothing was edited: the output may ask for a repair. A known value of the
    /// planned output must come out of the apply unchanged.
    fn plan(stage: &Stage<'_, Self>) -> Planned<Self::Output>;

    /// Carries a planned change out; [`plan`](Self::plan) of the same stage gives the same result again.
    ///
    /// `reached` is what the state will hold, whatever happens: error, panic, cancellation, timeout.
    /// - Create and update start with `None`: nothing was changed yet. An update that fails with `None` keeps the
    ///   whole prior state, a create that does stores nothing. With `Some`, the new input and that output are stored.
    /// - Delete starts with the stored output; what is left in it when an error comes back stays in the state.
    ///
    /// At `deadline` the work should end by itself; shortly after, it is dropped. A wait for others may pause it.
    fn apply(
        context: &Self::Context,
        stage: &Stage<'_, Self>,
        deadline: &Deadline,
        reached: &mut Option<Self::Output>,
    ) -> impl Future<Output = Done> + Send;

    /// Looks at what there is. `reached` starts as the stored output; `None` at a good end means it is gone.
    fn read(
        context: &Self::Context,
        input: &Self::Input,
        deadline: Instant,
        reached: &mut Option<Self::Output>,
    ) -> impl Future<Output = Done> + Send;
}

/// A state of an earlier version, as it was stored: both sides in one map by the names of that version, sets as lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The version that stored it.
    pub version: u32,
    /// What was stored.
    pub state: Raw,
}

/// A change of one resource.
pub enum Stage<'a, R: Resource + ?Sized> {
    /// There is none yet.
    Create {
        /// What the user wrote.
        next: &'a R::Input,
    },
    /// It changes in place, or may need a repair.
    Update {
        /// What the user wrote before.
        prior: &'a R::Input,
        /// What the state holds.
        output: &'a R::Output,
        /// What the user wrote now.
        next: &'a R::Input,
        /// What differs between the two, leaf by leaf, and between what they [mean](Resource::meaning).
        edits: Vec<Changed>,
    },
    /// It goes away.
    Delete {
        /// What the user wrote before.
        prior: &'a R::Input,
        /// What the state holds.
        output: &'a R::Output,
    },
}

/// A plan.
pub struct Planned<O> {
    /// The output after the apply; unknown: known only after the apply. Ignored for a delete.
    pub output: O,
    /// Errors stop the plan; warnings are for what the diff itself cannot show.
    pub diagnostics: Diagnostics,
}

impl<O> Planned<O> {
    /// Returns a plan without a message.
    pub fn new(output: O) -> Self {
        Self {
            output,
            diagnostics: Diagnostics::none(),
        }
    }
}

/// A resource that can be imported.
pub trait Import: Resource {
    /// Finds what the user names; it is then read, so that the output may be incomplete.
    fn import(
        context: &Self::Context,
        id: &ImportId,
        deadline: Instant,
    ) -> impl Future<Output = Result<Imported<Self::Input, Self::Output>, Diagnostics>> + Send;
}

/// What an import has found.
pub struct Imported<I, O> {
    /// What the user would have written.
    pub input: I,
    /// What is known of the rest.
    pub output: O,
    /// Warnings.
    pub diagnostics: Diagnostics,
}

/// What names the resource to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportId {
    /// The id of the command or the block `import`.
    Text(String),
    /// The attributes of the identity, by name.
    Identity(BTreeMap<String, String>),
}
