//! Waits count the time that passes, whatever the clock is set to meanwhile.

use crate::stage::{SHELLS, Stage};

/// A clock that is set forward by ten minutes each time it is read.
const JUMPS: &str = r#"date() { m=$(($(cat "$run_dir/clock" 2>/dev/null || emit 0) + 600)); emit "$m" | tee "$run_dir/clock"; }"#;
/// A clock that somebody sets back again and again. Who waits by it gives up the test.
const STANDS: &str = r#"date() { emit 1000; }; pauses=0
pause() { pauses=$((pauses + 1)); [ "$pauses" -lt 200 ] || { emit 'for ever'; exit; }; sleep 0.05; }"#;

#[test]
fn a_clock_that_is_set_forward_ends_no_wait() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let thrice = "thrice() { tries=$((${tries:-0} + 1)); [ \"$tries\" = 3 ]; }";
        let printed = stage.part(&format!("{JUMPS}\n{thrice}\nawait 60 thrice && emit came"));
        assert_eq!(printed, "came\n", "{shell}");
    }
}

#[test]
fn a_clock_that_is_set_back_prolongs_no_wait() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let printed = stage.part(&format!("{STANDS}\nawait 1 false || emit over"));
        assert_eq!(printed, "over\n", "{shell}");
    }
}

/// How long nothing has come, or nobody has followed, does not depend on the clock.
#[test]
fn a_clock_that_is_set_is_no_silence() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let quiet = "count_requests() { emit '0 42'; }; idle_requests= idle_since=; is_idle || emit 'not yet'; is_idle || emit 'not yet'";
        let printed = stage.part(&format!("{JUMPS}\n{quiet}"));
        assert_eq!(printed, "not yet\nnot yet\n", "{shell}");
        let alone = "emit 0 >\"$run_dir/token\"; (sleep 60) & emit $! >\"$run_dir/follower\"; is_answered() { false; }
            field() { emit 60; }; journal() { :; }
            await() { shift; \"$@\"; kill \"$(cat \"$run_dir/follower\")\"; wait; \"$@\" || emit 'not yet'; }
            do_ask";
        let printed = stage.part(&format!("{JUMPS}\n{alone}"));
        assert_eq!(printed, "not yet\n", "{shell}");
    }
}
