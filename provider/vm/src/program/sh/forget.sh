
# Does: removes the state and the directories that were not there before the first run.
# Needs: closed emit flush state token undolog
# Gives: remove_state list_left
# Owns: the state directory, and the directories of OWNED_DIRS that were not there before
# Undo: nothing to undo: the list of what was there before goes last, so that the next run continues what a power cut interrupts
# Directories where others put something stay.
remove_state() {
  removed_dirs=$(list_new_dirs)
  parent_before=$(state_parent_before)
  for removed_dir in $removed_dirs; do
    remove_dir "$removed_dir"
  done
  disable_undo_unit
  discard "$state_dir"
  if is_among "${state_dir%/*}" "$removed_dirs"; then
    rmdir "${state_dir%/*}" 2>/dev/null
  fi
  # shellcheck disable=SC2086 # owner and mode, or nothing
  restore_state_parent $parent_before
  systemctl daemon-reload 2>/dev/null
}
list_new_dirs() {
  for owned_dir in $OWNED_DIRS; do
    if ! is_linked "$owned_dir" && ! was_there "$owned_dir"; then
      emit "$owned_dir"
    fi
  done
}
# What a link of the package leads to has a name of its own on the list.
is_linked() {
  [ "${1%/*}" = "$ETC_DIR" ] &&
    [ -h "$ETC_DIR" ]
}
# Whether a directory was there before the first run. Older versions noted the outermost only.
was_there() {
  if grep -qxF "$1" "$state_dir/found/dirs" 2>/dev/null; then
    return 0
  fi
  if grep -qx all "$state_dir/found/dirs" 2>/dev/null; then
    return 1
  fi
  grep -qxF "${1%/*}" "$state_dir/found/dirs" 2>/dev/null
}
remove_dir() {
  case $1 in
  "$LOG_DIR") rm -f "$1"/istio.log[.-]* "$1"/istio.err.log[.-]* ;;
  "${TOKEN_FILE%/*}") remove_token ;;
  "$SDS_DIR") in_dir "$1" rm -f ./socket ;;
  esac
  if [ -h "$1" ]; then
    rm -f "$1"
  else
    rmdir "$1" 2>/dev/null
  fi
}
# is_among WORD WORDS
is_among() {
  for among_word in $2; do
    [ "$among_word" != "$1" ] || return 0
  done
  return 1
}
# Prints what is in directories that were to be removed, and what of this program's own could not be.
list_left() {
  for left_dir in $removed_dirs; do
    [ -d "$left_dir" ] || continue
    list_left_in "$left_dir"
  done
  for left_file in "$state_dir" "$runs_dir/token-before"; do
    emit_if_there "$left_file"
  done
}
list_left_in() {
  for left_inner in "$1"/* "$1"/.[!.]*; do
    is_among "$left_inner" "$removed_dirs" || emit_if_there "$left_inner"
  done
}
emit_if_there() {
  if [ -e "$1" ] || [ -h "$1" ]; then
    emit "$1"
  fi
}
