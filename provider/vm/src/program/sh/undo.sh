
# Does: undoes a run.
# Needs: base emit flush forget package place set token track undolog unit
# Gives: undo_run
# Owns: nothing of its own
# Undo: what cannot be undone stays in the undo log, and the set before with it, for the next run
undo_run() {
  if [ ! -e "$state_dir/run/steps" ] || is_sealed; then
    return 0
  fi
  undo_steps || return 1
  # The copies go once what was restored is on the disk.
  if ! flush_all 2>"$run_dir/err"; then
    journal_lines <"$run_dir/err"
    return 1
  fi
  rm -rf "$runs_dir/token-before"
  if [ ! -e "$state_dir/owner" ]; then
    undo_first_run
    return 0
  fi
  disable_undo_unit
  discard "$state_dir/run"
}
# Undoes each step, the last one first, and goes on where one fails.
undo_steps() {
  undo_failed=
  sed '1!G;h;$!d' "$state_dir/run/steps" >"$run_dir/undo"
  while read -r undone_step <&5; do
    journal undo "$undone_step"
    have "undo_$undone_step" || continue
    if ! "undo_$undone_step" 2>"$run_dir/err"; then
      emit "undoing $undone_step failed" >>"$run_dir/err"
      journal_lines <"$run_dir/err"
      undo_failed=1
    fi
  done 5<"$run_dir/undo"
  [ -z "$undo_failed" ]
}
# The first run ever leaves nothing: what it found is restored, and what it made is removed.
undo_first_run() {
  if ! restore_set "$state_dir/found" 2>"$run_dir/err"; then
    journal_lines <"$run_dir/err"
  fi
  remove_state
}
