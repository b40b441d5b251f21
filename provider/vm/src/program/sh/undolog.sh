
# Does: keeps the undo log of a run: written before each step, and read to undo the run.
# Needs: base checks closed emit flush keep package place put stage state token track unit
# Gives: last_step run_step disable_undo_unit is_sealed seal_undo_log
# Owns: run, run.new, found/above and found/dirs in the state directory; mesh-vm-undo.service and its link
# Undo: undo_run and commit_run disable the unit; remove_state removes the rest
last_step() { tail -n 1 "$state_dir/run/steps" 2>/dev/null; }
# The step is in the undo log before it begins: what it names may have happened.
run_step() {
  journal step "$1"
  if [ "$1" != check ]; then
    record_step "$1" 2>"$run_dir/err" || return 1
  fi
  hook "$1"
  "do_$1" 2>"$run_dir/err"
}
# What undoes a step is on the disk before the step begins.
record_step() {
  if [ "$(line_of "$state_dir/run/id")" != "$run" ]; then
    open_undo_log || return 1
  fi
  emit "$1" >>"$state_dir/run/steps" || return 1
  if have "undo_$1"; then
    flush "$state_dir"
  fi
}
open_undo_log() {
  if write_undo_log; then
    return 0
  fi
  # No step has begun: nothing of it is left behind.
  disable_undo_unit
  rm -rf "$state_dir/run.new"
  if [ ! -e "$state_dir/found/dirs" ] && [ ! -e "$state_dir/owner" ]; then
    rm -rf "$state_dir"
    rmdir "${state_dir%/*}" 2>/dev/null
  fi
  return 1
}
# The undo log is there as a whole or not at all, and so is the list of directories that were there before the first run.
write_undo_log() {
  new_log_dir=$state_dir/run.new
  # Before anything is created.
  first_dirs=$(list_present_dirs)
  secure_state_parent || return 1
  ensure_dir "$state_dir/found" || return 1
  discard "$state_dir/run" || return 1
  rm -rf "$new_log_dir" || return 1
  mkdir "$new_log_dir" || return 1
  : >"$new_log_dir/steps" || return 1
  cp "$run_dir/program" "$new_log_dir/program" || return 1
  emit "$run" >"$new_log_dir/id" || return 1
  note_first_state || return 1
  enable_undo_unit || return 1
  flush "$state_dir" "$UNITS_DIR" || return 1
  for first_name in above dirs; do
    [ -e "$state_dir/found/$first_name.new" ] || continue
    mv -f "$state_dir/found/$first_name.new" "$state_dir/found/$first_name" || return 1
  done
  mv -T "$new_log_dir" "$state_dir/run"
}
# What was there before the first run.
note_first_state() {
  if [ -e "$run_dir/above" ] && [ ! -e "$state_dir/found/above" ]; then
    cp "$run_dir/above" "$state_dir/found/above.new" || return 1
  fi
  [ ! -e "$state_dir/found/dirs" ] || return 0
  printf '%s\n' all "$first_dirs" >"$state_dir/found/dirs.new"
}
list_present_dirs() {
  for present_dir in $OWNED_DIRS; do
    if [ -e "$present_dir" ]; then
      emit "$present_dir"
    fi
  done
}
# A link made by hand needs no reload: it is for the next boot.
enable_undo_unit() {
  boot_unit >"$run_dir/unit" &&
    put_file "$run_dir/unit" "$UNITS_DIR/$UNDO_UNIT" root 0644 &&
    ensure_public_dir "$UNITS_DIR/multi-user.target.wants" &&
    ln -sf "../$UNDO_UNIT" "$UNITS_DIR/multi-user.target.wants/$UNDO_UNIT"
}
boot_unit() {
  printf '%s\n' \
    '[Unit]' \
    'Description=Undoes a bootstrap that was interrupted' \
    'Before=istio.service' \
    "ConditionPathExists=$state_dir/run/program" \
    '[Service]' \
    'Type=oneshot' \
    "ExecStart=/bin/sh $state_dir/run/program boot $run"
}
# When the run has ended: a boot has nothing to undo.
disable_undo_unit() { rm -f "$UNITS_DIR/$UNDO_UNIT" "$UNITS_DIR/multi-user.target.wants/$UNDO_UNIT"; }
# Whether the run of the undo log is final. An empty file is what a power cut left of one.
is_sealed() { [ -s "$state_dir/run/end" ]; }
# The new set on the disk ends the undo log, and with it the set before.
seal_undo_log() {
  rm -f "$state_dir/run/end"
  if flush_all &&
    ln "$state_dir/run/steps" "$state_dir/run/end" &&
    flush "$state_dir"; then
    return 0
  fi
  rm -f "$state_dir/run/end"
  return 1
}
