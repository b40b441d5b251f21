//! The scripts as texts, each joined from its files: one file a concern.

/// A function of the program that prints a script which the VM keeps.
macro_rules! prints {
    ($function:literal, $($path:literal),+) => {
        concat!("\n", $function, "() {\n  cat <<'CARRIED'\n", $(include_str!($path)),+, "CARRIED\n}\n")
    };
}

/// The program without what only SSH uses. `head.sh` comes first; the other files only define functions.
macro_rules! carried {
    () => {
        concat!(
            include_str!("sh/head.sh"),
            include_str!("sh/emit.sh"),
            include_str!("sh/base.sh"),
            include_str!("sh/flush.sh"),
            include_str!("sh/closed.sh"),
            include_str!("sh/users.sh"),
            include_str!("sh/proxyfiles.sh"),
            include_str!("sh/handover.sh"),
            include_str!("sh/jwt.sh"),
            include_str!("sh/state.sh"),
            include_str!("sh/input.sh"),
            include_str!("sh/launch.sh"),
            include_str!("sh/follow.sh"),
            include_str!("sh/worker.sh"),
            include_str!("sh/deadrun.sh"),
            include_str!("sh/owner.sh"),
            include_str!("sh/bootstrap.sh"),
            include_str!("sh/commit.sh"),
            include_str!("sh/undolog.sh"),
            include_str!("sh/undo.sh"),
            include_str!("sh/reference.sh"),
            include_str!("sh/checks.sh"),
            include_str!("sh/checkruntime.sh"),
            include_str!("sh/network.sh"),
            include_str!("sh/authority.sh"),
            include_str!("sh/lastwords.sh"),
            include_str!("sh/hops.sh"),
            include_str!("sh/stage.sh"),
            include_str!("sh/fits.sh"),
            include_str!("sh/fetch.sh"),
            include_str!("sh/package.sh"),
            include_str!("sh/owners.sh"),
            include_str!("sh/uninstall.sh"),
            include_str!("sh/keep.sh"),
            include_str!("sh/set.sh"),
            include_str!("sh/put.sh"),
            include_str!("sh/unit.sh"),
            include_str!("sh/drain.sh"),
            include_str!("sh/admin.sh"),
            include_str!("sh/track.sh"),
            include_str!("sh/sweep.sh"),
            include_str!("sh/rules.sh"),
            include_str!("sh/jumps.sh"),
            include_str!("sh/guard.sh"),
            include_str!("sh/sshd.sh"),
            include_str!("sh/container.sh"),
            prints!(
                "proxy_script",
                "sh/emit.sh",
                "sh/closed.sh",
                "sh/sweep.sh",
                "carried/proxy.sh"
            ),
            prints!("sudo_script", "carried/sudo.sh"),
            include_str!("sh/token.sh"),
            include_str!("sh/place.sh"),
            include_str!("sh/hosts.sh"),
            include_str!("sh/remove.sh"),
            include_str!("sh/forget.sh"),
        )
    };
}

/// The program as it runs on the VM, with its comments, for an operator's audit.
pub const TEXT: &str = concat!(
    carried!(),
    include_str!("sh/changed.sh"),
    include_str!("sh/firewall.sh"),
    include_str!("sh/nftables.sh"),
    include_str!("sh/observe.sh")
);

/// What a machine needs that joins by itself.
pub(super) const CARRIED: &str = carried!();

/// `install.sh` of an archive: starts the program, and reports to people what it answers.
pub(super) const INSTALL: &str = concat!(
    include_str!("carried/install.sh"),
    include_str!("sh/emit.sh"),
    include_str!("carried/call.sh"),
    include_str!("carried/join.sh")
);

/// Fetches a new token by the user's command beside it.
pub(super) const REFRESH: &str = concat!(
    "#!/bin/sh",
    include_str!("sh/emit.sh"),
    include_str!("sh/closed.sh"),
    include_str!("sh/jwt.sh"),
    include_str!("carried/token.sh")
);
