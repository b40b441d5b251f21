//! Every word that this crate and the program on a VM exchange. A test compares these lists with the program's text.
//!
//! A VM may hold a program, an undo log and files of an older version: words may be added here, and none gets another
//! meaning.

/// Lists words of one kind: an enum whose variants have a text.
macro_rules! words {
    ($(#[$about:meta])* $kind:ident { $($(#[$doc:meta])* $name:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $kind {
            $($(#[$doc])* $name,)+
        }

        impl $kind {
            /// All of them, in the order of their list.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the word as it is sent.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// Returns the word that is sent as this text.
            pub fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.text() == text)
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.text())
            }
        }
    };
}

words! {
    /// What a call asks of the program.
    Verb {
        /// What the VM and its proxy are; reads only.
        Observe = "observe",
        /// Whether a bootstrap could succeed; reads only.
        Check = "check",
        /// Make the VM run on a bundle, or leave it as it was.
        Bootstrap = "bootstrap",
        /// Take the VM out of the mesh.
        Remove = "remove",
        /// Follow a run that another connection started.
        Result = "result",
        /// Make a run final that awaits its verdict.
        Commit = "commit",
        /// Undo a run that awaits its verdict, or the last final one.
        Revert = "revert",
    }
}

words! {
    /// Key of a line of input, whose value becomes a file.
    Input {
        /// The run's id.
        Run = "run",
        /// The [`Verb`].
        Verb = "verb",
        /// The caller's clock, in seconds.
        Now = "now",
        /// `uid namespace/name` of the workload.
        Owner = "owner",
        /// Host and port of istiod.
        ControlPlane = "control-plane",
        /// The name in istiod's certificate.
        TlsName = "tls-name",
        /// Host and port of the certificate authority, where it is not istiod.
        Ca = "ca",
        /// What the authority's certificate is verified against, where it is not the mesh's root: `system`, `unknown`, or
        /// the path of a file on the VM.
        CaRoot = "ca-root",
        /// `yes` where the proxy verifies istiod against another root than the mesh's.
        OtherRoot = "other-root",
        /// The mesh's root certificate, as PEM.
        Root = "root",
        /// The line of the hosts file for istiod.
        Hosts = "hosts",
        /// `yes` where traffic is redirected to the proxy.
        Redirect = "redirect",
        /// `yes` where tproxy does it.
        Tproxy = "tproxy",
        /// The proxy's own ports, one a line.
        Ports = "ports",
        /// Ports that pods connect to once the VM's rules have redirected them: `4 PORT` or `6 PORT`, one a line.
        Inbound = "inbound",
        /// Addresses that entries of other workloads have: `address namespace/name`, one a line.
        Taken = "taken",
        /// `yes` where the VM puts its own address into the settings.
        FindAddress = "find-address",
        /// The container engine; without it systemd runs the proxy.
        Engine = "engine",
        /// The image of the container.
        Image = "image",
        /// When the image is pulled, as Kubernetes names it.
        Pull = "pull",
        /// Address of the package that is named.
        Url = "url",
        /// SHA-256 of the package.
        Sha256 = "sha256",
        /// Address of Istio's release, which has a package for each machine.
        Release = "release",
        /// Version of the release, where another installed one is replaced.
        Version = "version",
        /// Seconds to wait for another run to end.
        WaitLock = "wait.lock",
        /// Seconds to wait for the machine's first boot to end.
        WaitBoot = "wait.boot",
        /// Seconds to wait for a package or an image.
        WaitFetch = "wait.fetch",
        /// Seconds to wait for the token.
        WaitToken = "wait.token",
        /// Seconds to wait for open requests to end.
        WaitDrain = "wait.drain",
        /// Seconds to wait for the proxy to become ready.
        WaitReady = "wait.ready",
        /// Seconds to wait for the verdict.
        WaitVerdict = "wait.verdict",
    }
}

words! {
    /// Part of a file of the bundle: its key of input is `file.NUMBER.PART`.
    FilePart {
        /// Where it is placed.
        Path = "path",
        /// The user and group that own it.
        Owner = "owner",
        /// Its mode, in octal digits.
        Mode = "mode",
        /// What is in it.
        Content = "content",
    }
}

words! {
    /// Key of a line that the caller sends behind the input.
    Caller {
        /// A heartbeat.
        Here = "here",
        /// The token, in base64.
        Token = "token",
    }
}

words! {
    /// What ends the input.
    InputEnd {
        /// Nothing but heartbeats and the token follow.
        End = "end",
    }
}

words! {
    /// Key of a line of an answer.
    Line {
        /// `begin RUN`: the answer to this run begins.
        Begin = "begin",
        /// `end RUN`: the answer is complete; without the run it is an end in the journal.
        End = "end",
        /// A heartbeat.
        Alive = "alive",
        /// The VM's sudo keeps what it is sent.
        Recorded = "recorded",
        /// `want token`: the worker waits for the token.
        Want = "want",
        /// `step STEP`: a [`Step`] begins.
        Step = "step",
        /// `undo STEP`: a step is being undone.
        Undo = "undo",
        /// `failed STEP`: a step failed.
        Failed = "failed",
        /// `line TEXT`: what a step printed.
        Text = "line",
        /// `hop NAME`: what broke.
        Hop = "hop",
        /// `bad NAME TEXT`: a check that failed.
        Bad = "bad",
        /// `unknown NAME TEXT`: a check that could not be made.
        Unknown = "unknown",
        /// `check NAME VERDICT TEXT`: a check and its [`CheckWord`].
        Check = "check",
        /// `owner TEXT`: whose the machine is.
        Owner = "owner",
        /// `file PATH …`: what lies at a path, as [`FileWord`]s or `OWNER MODE [CONTENT]`.
        File = "file",
        /// `changed TEXT`: what changed since the last bootstrap.
        Changed = "changed",
        /// `hosts TEXT`: a line of the program's block of the hosts file.
        Hosts = "hosts",
        /// `unit ACTIVE ENABLED`: the proxy's unit, in systemd's words.
        Unit = "unit",
        /// `machine TEXT`: `/etc/machine-id`.
        Machine = "machine",
        /// `runtime ENGINE`: the container engine.
        Runtime = "runtime",
        /// `image TEXT`: the image of the container.
        Image = "image",
        /// `version TEXT`: the version of the proxy.
        Version = "version",
        /// `certificate TEXT`: the proxy's certificate, as PEM.
        Certificate = "certificate",
        /// `ready yes`: the proxy is ready.
        Ready = "ready",
        /// `jump JUMP`: a jump to a chain of Istio or of the program.
        Jump = "jump",
        /// `lost JUMP`: one of the last bootstrap that is gone.
        Lost = "lost",
        /// `unfinished STEP`: a run was left unfinished at this step.
        Unfinished = "unfinished",
        /// `ipv6 TEXT`: an address whose traffic bypasses the proxy.
        Ipv6 = "ipv6",
        /// `published TEXT`: ports whose traffic bypasses the proxy.
        Published = "published",
        /// `blocked TEXT`: a port of the proxy, and the VM's own rule that keeps pods from it.
        Blocked = "blocked",
        /// `left TEXT`: a path that a removal could not remove.
        Left = "left",
        /// `report REPORT …`: the [`ReportWord`] that ends a run.
        Report = "report",
    }
}

words! {
    /// How a run or a call ended.
    ReportWord {
        /// `observe` has answered.
        Observed = "observed",
        /// `check` has answered.
        Checked = "checked",
        /// The VM runs on the new bundle.
        Committed = "committed",
        /// The proxy is ready, and the run awaits its verdict.
        Awaits = "awaits",
        /// The run failed before it changed anything that had to be undone.
        Untouched = "untouched",
        /// The run failed and was undone.
        Reverted = "reverted",
        /// The VM is out of the mesh.
        Removed = "removed",
        /// `foreign TEXT`: the machine belongs to another owner.
        Foreign = "foreign",
        /// `busy RUN VERB`: another run did not end in time.
        Busy = "busy",
        /// The VM knows nothing of the run.
        Lost = "lost",
        /// `halfway STEP`: the run failed and could not be undone.
        Halfway = "halfway",
    }
}

words! {
    /// What came out of a check.
    CheckWord {
        /// It is as needed.
        Ok = "ok",
        /// It is not.
        Bad = "bad",
        /// It could not be checked.
        Unknown = "unknown",
    }
}

words! {
    /// What lies at a path, where it is not a file that was read.
    FileWord {
        /// Nothing.
        Missing = "missing",
        /// `odd TEXT`: something that must not be read, and why.
        Odd = "odd",
    }
}

words! {
    /// By which word the copy of the program in a run's directory is called.
    Entry {
        /// The worker of a run.
        Work = "work",
        /// Undo or finish a run whose worker died.
        Mend = "mend",
        /// The same when the VM boots.
        Boot = "boot",
        /// Continue with a run over another connection: `resume VERB RUN`.
        Resume = "resume",
    }
}

/// What the program is doing, in a line `step NAME` or `failed NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// Whether a run that fails in it may have changed something that has to be undone.
    pub touches: bool,
}

const fn reads(name: &'static str) -> Step {
    Step {
        name,
        touches: false,
    }
}

const fn touches(name: &'static str) -> Step {
    Step {
        name,
        touches: true,
    }
}

/// The steps of a bootstrap, in their order.
pub const BOOTSTRAP: [Step; 11] = [
    // What a bootstrap needs.
    reads("check"),
    // Fetches the package or the image.
    reads("stage"),
    // Copies what is about to change.
    reads("keep"),
    // Gets the token from the caller.
    reads("ask"),
    // Drains and stops the proxy of before.
    touches("stop"),
    // Installs the package, or the unit of the container.
    touches("install"),
    // Puts the token in its place.
    touches("token"),
    // Puts the files of the bundle in their places.
    touches("place"),
    // Installs the rules ahead of Istio's.
    touches("track"),
    // Starts the proxy.
    touches("start"),
    // Waits until the proxy is ready.
    touches("ready"),
];

/// What a run reports beside the steps of a bootstrap.
pub const OTHER_STEPS: [Step; 6] = [
    // Starts the worker.
    reads("launch"),
    // Waits for the machine's first boot to end.
    reads("boot"),
    // Waits for the verdict.
    touches("verdict"),
    // Makes the run final.
    touches("commit"),
    // Of a removal: restores what was there before the first run.
    touches("clean"),
    // Of a removal: removes the package and the user.
    touches("uninstall"),
];
