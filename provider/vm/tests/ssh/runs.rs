//! Calls of the remote program over a session. `main` is replaced by one that only answers.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use vm::program::{Payload, Report, RunId, result};
use vm::{Session, VmError};

use crate::bed::{Sshd, signal, until, user};

const IDLE: Duration = Duration::from_secs(20);

/// Answers a `result` after `body` ran.
fn call(body: &str) -> Payload {
    let main = format!(
        "main() {{\n while read -r key value; do case $key in run) run=$(write_value \"$value\") ;; \
         end) break ;; esac; done\n echo; echo \"begin $run\"\n {body}\n echo 'report lost'; echo \"end $run\"\n}}"
    );
    result(RunId::generate()).appending(&main)
}

async fn run(session: &Session, payload: &Payload) -> Result<Report, VmError> {
    let mint = || ready(Ok::<_, Infallible>(SecretString::from("unasked")));
    session.run(payload, mint, IDLE).await
}

#[tokio::test]
async fn login_shells_banners_and_profiles_do_not_matter() {
    let noise = "Banner DIR/config\nForceCommand";
    for shell in ["/bin/sh", "/bin/bash", "/usr/bin/fish", "/usr/bin/tcsh"] {
        let command = format!(
            "{noise} printf 'hello\\n\\377 end 0 begin'; echo oops >&2; {shell} -c \"$SSH_ORIGINAL_COMMAND\""
        );
        let sshd = Sshd::with(&command);
        let session = sshd.connect().await.unwrap();
        let report = run(&session, &call(":")).await;
        assert!(matches!(report, Ok(Report::Lost)), "{shell}: {report:?}");
    }
}

#[tokio::test]
async fn one_session_carries_many_calls_at_once() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let payload = call(":");
    let (a, b, c) = tokio::join!(
        run(&session, &payload),
        run(&session, &payload),
        run(&session, &payload)
    );
    assert!(
        [a, b, c]
            .iter()
            .all(|report| matches!(report, Ok(Report::Lost)))
    );
    assert_eq!(sshd.logins(), 1);
}

#[tokio::test]
async fn a_large_payload_passes_a_program_that_talks_first() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    // More both ways than any pipe or window holds.
    let payload = call("head -c 5000000 /dev/zero | tr '\\0' 'x' | fold; echo")
        .appending(&format!("\n# {}", noise(3_000_000)));
    let report = run(&session, &payload).await;
    assert!(matches!(report, Ok(Report::Lost)), "{report:?}");
}

/// A VM may say anything, for as long as it likes.
#[tokio::test]
async fn an_answer_that_is_too_large_is_an_error_and_not_kept() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let endless = [
        "yes 'line a text of some words'",
        "tr '\\0' 'x' </dev/zero",
        "yes a | tr '\\n' ' '",
    ];
    for body in endless {
        let error = run(&session, &call(body)).await.unwrap_err();
        assert!(matches!(error, VmError::Excess { .. }), "{body}: {error:?}");
    }
}

#[tokio::test]
async fn other_output_beside_the_answer_is_kept_in_part() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let noise = "head -c 5000000 /dev/zero | tr '\\0' 'x'";
    let payload = result(RunId::generate()).appending(&format!(
        "main() {{ {noise}; echo; {noise} >&2; echo >&2; echo last >&2; exit 3; }}"
    ));
    let error = run(&session, &payload).await.unwrap_err();
    let VmError::Remote { lines, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(lines.last().map(String::as_str), Some("last"));
    assert!(lines.iter().map(String::len).sum::<usize>() < 20_000);
}

/// The host speaks before anybody has logged in.
#[tokio::test]
async fn a_banner_of_any_length_leaves_the_login_as_it_is() {
    let sshd = Sshd::with("Banner DIR/banner");
    let banner = "a".repeat(100_000) + "\n" + &"b\n".repeat(20_000);
    std::fs::write(sshd.path("banner"), banner).unwrap();
    let session = sshd.connect().await.unwrap();
    let report = run(&session, &call(":")).await;
    assert!(matches!(report, Ok(Report::Lost)), "{report:?}");
}

/// A program that hears no more of us counts us as gone.
#[tokio::test]
async fn a_call_sends_heartbeats() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let out = sshd.path("heard");
    let body = format!(
        "read -r first; read -r second; echo \"$first $second\" >{}",
        out.display()
    );
    let report = run(&session, &call(&body)).await;
    assert!(matches!(report, Ok(Report::Lost)), "{report:?}");
    assert_eq!(sshd.read("heard"), "here here\n");
}

#[tokio::test]
async fn the_token_is_minted_once_when_the_program_wants_it() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let out = sshd.path("token");
    let body = format!(
        "echo 'want token'; while read -r key value && [ \"$key\" = here ]; do :; done; printf %s \"$value\" | base64 -d >{}",
        out.display()
    );
    let token = SecretString::from("s3cret $(id) '\n");
    let given = token.clone();
    let mint = move || ready(Ok::<_, Infallible>(given));
    let report = session.run(&call(&body), mint, IDLE).await;
    assert!(matches!(report, Ok(Report::Lost)), "{report:?}");
    assert_eq!(sshd.read("token"), token.expose_secret());

    let refused = || ready(Err::<SecretString, _>("audience refused"));
    let error = session.run(&call(&body), refused, IDLE).await.unwrap_err();
    assert!(
        matches!(&error, VmError::Token(cause) if cause.to_string() == "audience refused"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_program_that_fails_is_reported_with_status_and_last_lines() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let payload = result(RunId::generate())
        .appending("main() { echo to-stdout; echo to-stderr >&2; exit 3; }");
    let error = run(&session, &payload).await.unwrap_err();
    let VmError::Remote { status, lines, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(status, Some(3));
    assert!(
        lines.contains(&"to-stdout".into()) && lines.contains(&"to-stderr".into()),
        "{lines:?}"
    );
    let unbegun = result(RunId::generate()).appending("main() { kill -9 $$; }");
    for (payload, printed) in [(unbegun, false), (call("kill -9 $$"), true)] {
        let error = run(&session, &payload).await.unwrap_err();
        assert!(
            matches!(error, VmError::Remote { status: None, begun, .. } if begun == printed),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn silence_is_an_error() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let mint = || ready(Ok::<_, Infallible>(SecretString::from("unasked")));
    let error = session
        .run(&call("sleep 600"), mint, Duration::from_secs(1))
        .await
        .unwrap_err();
    assert!(matches!(error, VmError::Silent { .. }), "{error:?}");
}

#[tokio::test]
async fn a_broken_connection_is_an_error_and_not_a_hang() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let marker = sshd.path("running");
    let payload = call(&format!("touch {}; sleep 600", marker.display()));
    let never = || pending::<Result<SecretString, Infallible>>();
    let cut = async {
        until("the program runs", || marker.exists()).await;
        for pid in &sshd.processes()[1..] {
            signal("KILL", *pid);
        }
    };
    let (report, ()) = tokio::join!(session.run(&payload, never, Duration::from_mins(10)), cut);
    let error = report.unwrap_err();
    assert!(matches!(error, VmError::Dropped { .. }), "{error:?}");
    until("the session knows", || !session.is_alive()).await;
    let error = run(&session, &payload).await.unwrap_err();
    assert!(matches!(error, VmError::Dropped { .. }), "{error:?}");
}

#[tokio::test]
async fn a_sudo_that_wants_a_password_is_reported_in_its_own_words() {
    let passwd = tempfile::NamedTempFile::new().unwrap();
    let (name, command) = ordinary_user(passwd.path());
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let sshd = Sshd::started_by("", &command);
    open_to_others(&sshd);
    let mut target = sshd.target();
    target.vm.user = Some(name.clone());
    let session = crate::bed::connect(&target, &sshd.credentials())
        .await
        .unwrap();
    assert!(matches!(run(&session, &call(":")).await, Ok(Report::Lost)));
    // A sudo that wants a terminal gets one, and the answer is complete all the same.
    let wants = "(: </dev/tty) 2>/dev/null || { echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1; }; shift; exec \"$@\"";
    sshd.script("bin/sudo", wants);
    let payload = call("head -c 100000 /dev/zero | tr '\\0' 'x' | fold; echo")
        .appending(&format!("\n# {}", noise(300_000)));
    for _ in 0..2 {
        let report = run(&session, &payload).await;
        assert!(matches!(report, Ok(Report::Lost)), "{report:?}");
    }
    for words in [
        "sudo: a password is required",
        "sudo: sorry, you must have a tty to run sudo",
    ] {
        sshd.script("bin/sudo", &format!("echo '{words}' >&2; exit 1"));
        let error = run(&session, &call(":")).await.unwrap_err();
        let VmError::NoSudo { user, line, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!((user, line.as_str()), (name.clone(), words));
    }
}

/// Root needs no sudo: then an sshd sees a user of our own in its `passwd`.
fn ordinary_user(passwd: &std::path::Path) -> (String, Vec<String>) {
    if user() != "root" {
        return (user(), vec!["/usr/sbin/sshd".into()]);
    }
    let known = std::fs::read_to_string("/etc/passwd").unwrap();
    std::fs::write(
        passwd,
        format!("{known}mesh-test:x:61234:61234::/:/bin/sh\n"),
    )
    .unwrap();
    let mount = "mount --bind \"$1\" /etc/passwd && shift && exec \"$@\"";
    let command = [
        "unshare",
        "-m",
        "sh",
        "-c",
        mount,
        "sh",
        passwd.to_str().unwrap(),
        "/usr/sbin/sshd",
    ];
    ("mesh-test".into(), command.map(String::from).into())
}

fn open_to_others(sshd: &Sshd) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(sshd.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Text that does not compress.
fn noise(length: usize) -> String {
    let mut state = 1_u64;
    let next = |state: &mut u64| {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b"abcdefghijklmnopqrstuvwxyzABCDEF"[usize::try_from(*state >> 59).unwrap()])
    };
    (0..length).map(|_| next(&mut state)).collect()
}

/// Where a run left its program nothing is sent; where it is gone, or not allowed, everything is.
#[tokio::test]
async fn a_run_is_resumed_by_the_program_that_it_left() {
    let rewritten = "ForceCommand echo >>DIR/calls; exec /bin/sh -c \"$(echo \"$SSH_ORIGINAL_COMMAND\" | sed s:/run/mesh-vm:DIR/runs:)\"";
    let sshd = Sshd::with(rewritten);
    let session = sshd.connect().await.unwrap();
    let payload = call(":");
    let calls = || sshd.read("calls").lines().count();
    assert!(matches!(run(&session, &payload).await, Ok(Report::Lost)));
    assert_eq!(calls(), 2);

    let folder = sshd.path("runs").join(payload.run().as_str());
    std::fs::create_dir_all(&folder).unwrap();
    let left = "[ \"$1 $2\" = 'resume result' ] && printf '\\nbegin %s\\nreport lost\\nend %s\\n' \"$3\" \"$3\"\n";
    std::fs::write(folder.join("program"), left).unwrap();
    assert!(matches!(run(&session, &payload).await, Ok(Report::Lost)));
    assert_eq!(calls(), 3);
}
