
# Does: ends and undoes a run whose worker died: by a kill, a reboot, a power cut, or a verdict that did not come.
# Needs: base bootstrap commit emit follow remove undo undolog worker
# Gives: undo_dead_run finish_dead_run finish_at_boot
# Owns: nothing of its own; it continues what the run began
# Undo: undo_run takes back each step of the run
# Undoes it before the next run, and reports that to its follower: always as reverted, since the next run goes on with
# the objects that the follower would delete after an untouched VM.
undo_dead_run() {
  if is_sealed; then
    return 0
  fi
  dead_run_dir=$runs_dir/$(line_of "$state_dir/run/id")
  undo_run || return 1
  if [ -e "$dead_run_dir/log" ]; then
    rm -rf "$dead_run_dir/in" "$dead_run_dir/token" &&
      printf '%s\n' 'report reverted' end >>"$dead_run_dir/log"
  fi
}
# finish_dead_run RUN_DIR: for the deadman timer, a boot, a kill, or a late `revert`.
finish_dead_run() {
  systemctl stop "mesh-vm-${1##*/}.service" 2>/dev/null
  start_worker "$1"
  if [ -n "$suspect" ] && [ "$verb" != remove ]; then
    refuse_state "$(last_journaled_step)" halfway "$(last_journaled_step)"
  fi
  owns_undo_log || finish_without_undo
  if is_sealed && [ ! -e "$run_dir/revert" ]; then
    commit_run
  fi
  rm -f "$state_dir/run/end"
  if [ -e "$run_dir/awaits" ] || [ -e "$run_dir/revert" ]; then
    fail verdict
  fi
  emit 'the run was interrupted on the VM' | journal_lines
  fail "$(last_step)"
}
# The run had begun no step of a bootstrap.
finish_without_undo() {
  finish_step=$(last_journaled_step)
  if [ "$verb:$finish_step" = remove:stop ]; then
    resume_proxy
  fi
  journal failed "$finish_step"
  finish_undone "$finish_step"
}
# Whether the undo log is this run's. Where a power cut took its name, it is of whichever run is asked for.
owns_undo_log() {
  logged_run=$(line_of "$state_dir/run/id")
  [ "$logged_run" != "$run" ] || return 0
  [ -z "$logged_run" ] &&
    [ -s "$state_dir/run/steps" ]
}
# finish_at_boot RUN: runs from the copy in the undo log, since nobody may ever ask for a run that the reboot interrupted.
# The proxy's unit starts behind this one.
finish_at_boot() {
  no_block=--no-block
  run_dir=
  run=$1
  prepare_boot_dir || return 1
  # A session that asked for the result may have been faster.
  if mv -T "$run_dir" "$runs_dir/$run" 2>/dev/null; then
    finish_dead_run "$runs_dir/$run"
  else
    rm -rf "$run_dir"
  fi
}
prepare_boot_dir() {
  ensure_dir "$runs_dir" &&
    run_dir=$(mktemp -d "$runs_dir/in.XXXXXX") &&
    : >"$run_dir/log" &&
    cp "$0" "$run_dir/program"
}
