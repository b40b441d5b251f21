
# Does: bootstraps: runs each step, waits for the verdict, and undoes all on a failure.
# Needs: base commit emit follow lastwords owner undo undolog worker
# Gives: run_bootstrap needs_verdict fail
# Owns: awaits, commit and revert in the run's directory
# Undo: fail undoes every step that was begun, in reverse
run_bootstrap() {
  refuse_foreign_namespace
  if [ -e "$state_dir/owner" ] && ! read_mark >/dev/null; then
    emit "the mark of the proxy's owner was lost: the bootstrap writes it again" | journal_lines
  fi
  await_first_boot
  for bootstrap_step in $STEPS; do
    if is_recalled; then
      emit 'the caller of this run has gone, and the next run ended it' | journal_lines
      fail "$bootstrap_step"
    fi
    run_step "$bootstrap_step" || fail "$bootstrap_step"
  done
  if needs_verdict; then
    await_verdict
  fi
  commit_run
}
# A VM has one namespace.
refuse_foreign_namespace() {
  claimed_owner=$(claimed_by)
  [ -n "$claimed_owner" ] || return 0
  if [ "$(emit "$claimed_owner" | namespace_of)" != "$(field owner | namespace_of)" ]; then
    finish foreign "$(emit "$claimed_owner" | encode)"
  fi
}
# The first boot of a fresh machine installs and writes what it was made for: that comes first.
await_first_boot() {
  if is_booted; then
    return 0
  fi
  journal step boot
  if ! await "$(field wait.boot)" is_booted_or_recalled; then
    emit 'cloud-init is still running' | journal_lines
  fi
}
is_booted_or_recalled() {
  is_booted ||
    is_recalled
}
is_booted() {
  [ "$(field wait.boot)" = 0 ] ||
    [ ! -e "$CLOUD_INIT_DIR/status.json" ] ||
    [ -e "$CLOUD_INIT_DIR/result.json" ]
}
# New rules might lock everybody out: a run that adds them needs a verdict over a new connection.
needs_verdict() {
  [ "$(field redirect)" = yes ] &&
    [ ! -e "$state_dir/run/proven" ]
}
await_verdict() {
  : >"$run_dir/awaits"
  journal report awaits
  await "$(field wait.verdict)" is_decided
  [ -e "$run_dir/commit" ] || fail verdict
}
# fail STEP: undoes the run and ends it.
fail() {
  journal failed "$1"
  journal_cause "$1" 2>/dev/null
  undo_run || finish halfway "$1"
  case $1 in
  start | ready)
    # After a reboot the input is gone, and with it what to check.
    if has now; then
      journal_failing_hop
    fi
    ;;
  esac
  finish_undone "$1"
}
journal_cause() {
  case $1 in
  check) ;;
  start | ready) journal_last_words ;;
  *) journal_lines <"$run_dir/err" ;;
  esac
}
