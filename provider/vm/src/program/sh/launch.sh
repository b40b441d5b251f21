
# Does: starts the worker of a run, or finds the run again.
# Needs: base emit
# Gives: launch detach find_run
# Owns: RUN in the directory of runs, and the transient units mesh-vm-RUN and mesh-vm-RUN-again
# Undo: the directory goes when its run has ended and another one begins, or at a reboot; units end with their process
launch() {
  claim_run_dir || die "run $run exists already"
  if ! detach "mesh-vm-$run" work; then
    journal failed launch
    journal_lines <"$run_dir/launch"
    journal report untouched
    journal end
  fi
}
claim_run_dir() {
  mv "$run_dir" "$runs_dir/$run" &&
    run_dir=$runs_dir/$run &&
    : >"$run_dir/log"
}
# detach UNIT ENTRY: runs the program apart from this session. Under logind with KillUserProcesses only a unit of its own
# outlives the session. Plain words only: systemd 252 spoils quotes, dollars and semicolons when it reloads a transient unit.
detach() {
  if [ -d /run/systemd/system ]; then
    systemd-run --quiet --collect --unit="$1" --property=TimeoutStopSec=5 \
      /bin/sh "$run_dir/program" "$2" "$run_dir" </dev/null >/dev/null 2>"$run_dir/launch"
  else
    setsid /bin/sh "$run_dir/program" "$2" "$run_dir" </dev/null >/dev/null 2>&1 &
  fi
}
# Finds the directory of a run, or after a reboot its undo log.
find_run() {
  must_restart=
  if [ -e "$runs_dir/$run/log" ]; then
    rm -rf "$run_dir"
    run_dir=$runs_dir/$run
    find_committed_run
  elif [ "$(line_of "$state_dir/run/id")" = "$run" ]; then
    find_run_after_boot 2>/dev/null
  else
    send report lost
    return 1
  fi
  if [ "$verb" != result ]; then
    : >"$run_dir/$verb"
  fi
  if [ -n "$must_restart" ]; then
    detach "mesh-vm-$run-again" mend
  fi
}
find_committed_run() {
  if [ "$verb" = revert ] && grep -q '^report committed' "$run_dir/log"; then
    : >"$run_dir/log"
    must_restart=1
  fi
}
# The unit that undoes a run at boot may have been faster.
find_run_after_boot() {
  : >"$run_dir/log"
  if mv -T "$run_dir" "$runs_dir/$run"; then
    must_restart=1
  else
    rm -rf "$run_dir"
  fi
  run_dir=$runs_dir/$run
}
