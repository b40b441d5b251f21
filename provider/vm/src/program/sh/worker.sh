
# Does: runs the worker of a run: takes the lock, undoes a run that died, and reports the end.
# Needs: base bootstrap deadrun drain emit follow launch remove state undolog
# Gives: run_worker start_worker refuse_state finish finish_undone outcome_of
# Owns: lock, holder and token-before in the directory of runs; pid in the run's own
# Undo: follow removes lock and holder after a removal; the rest goes with the run
run_worker() {
  start_worker "$1"
  remove_ended_runs
  if [ -n "$suspect" ] && [ "$verb" = remove ]; then
    refuse_state launch untouched
  fi
  # A removal also clears what cannot be undone.
  if ! undo_dead_run && [ "$verb" != remove ]; then
    finish halfway "$(last_step)"
  fi
  idle_requests=$(count_requests)
  idle_since=$(uptime)
  "run_$verb"
}
start_worker() {
  run_dir=$1
  run=${1##*/}
  verb=$(field verb)
  lock_wait=$(field wait.lock)
  emit $$ >"$run_dir/pid"
  trap '' HUP
  exec 9>"$runs_dir/lock"
  await "${lock_wait:-30}" take_lock ||
    finish busy "$(cat "$runs_dir/holder")"
  emit "$run ${verb:-undo}" >"$runs_dir/holder"
  if [ -e "$state_dir" ]; then
    secure_state_parent
  fi
  check_state_dir
}
remove_ended_runs() {
  for ended_log in "$runs_dir"/*/log; do
    case $ended_log in
    "$run_dir"/*) continue ;;
    esac
    if grep -qx end "$ended_log"; then
      rm -rf "${ended_log%/log}"
    fi
  done
}
# refuse_state STEP REPORT…: ends the run because the state directory cannot be trusted.
refuse_state() {
  journal failed "$1"
  state_problem | journal_lines
  shift
  finish "$@"
}
take_lock() {
  if flock -n 9; then
    return 0
  fi
  end_abandoned_run 2>/dev/null
  return 1
}
# Ends the bootstrap that holds the lock if its caller has gone and this run is for the same workload: it would wait for its
# token or its verdict until these are overdue. A caller that only lost its connection starts no other run.
end_abandoned_run() {
  read -r holder_run holder_verb <"$runs_dir/holder" || return 0
  [ "$holder_verb" = bootstrap ] || return 0
  [ "$holder_run" != "$run" ] || return 0
  is_abandoned "$runs_dir/$holder_run" || return 0
  [ "$(workload_of <"$runs_dir/$holder_run/in/owner")" = "$(field owner | workload_of)" ] || return 0
  : >"$runs_dir/$holder_run/revert"
  # A download may take long, and nothing is changed yet.
  if [ "$(last_step)" = stage ]; then
    systemctl stop "mesh-vm-$holder_run.service"
  fi
}
is_abandoned() {
  [ -s "$1/follower" ] &&
    ! is_followed "$1"
}
workload_of() { sed 's/.* //'; }
# finish REPORT…: ends the run and its worker.
finish() {
  rm -rf "$run_dir/in" "$run_dir/token"
  journal report "$@" &&
    journal end
  exit 0
}
# finish_undone STEP: ends a run that failed in this step and was undone.
finish_undone() { finish "$(outcome_of "$1")"; }
outcome_of() {
  case " $UNTOUCHING_STEPS " in
  *" $1 "*) emit untouched ;;
  *) emit reverted ;;
  esac
}
