
# Does: lists what changed on the VM since the last bootstrap.
# Needs: closed container emit reference
# Gives: list_changed
# Owns: nothing
# Undo: nothing to undo: it reads only
list_changed() {
  if [ -e "$state_dir/sums" ]; then
    changed_files | sort -u
  fi
  missing_image 2>/dev/null
  if [ -n "$suspect" ]; then
    emit "$suspect"
  fi
  # Root sources what is in it: an upgrade of the package gives it back to the proxy's user.
  if [ -e "$state_dir/sums" ] && [ -e "$ENVOY_DIR" ] && ! root_controls_dir "$ENVOY_DIR"; then
    emit "$ENVOY_DIR"
  fi
  if [ -e "$state_dir/modes" ]; then
    changed_modes
  fi
}
# Files that define the unit and changed, are gone, or are new.
changed_files() {
  list_sums |
    cat - "$state_dir/sums" |
    sort |
    uniq -u |
    cut -c 67- |
    while IFS= read -r changed_path; do
      is_unlisted_part "$changed_path" || emit "$changed_path"
    done
  if is_other_container; then
    emit 'the container istio-proxy'
  fi
  if is_timer_stopped; then
    emit "the timer $TOKEN_UNIT"
  fi
}
# The timer starts and ends with the proxy.
is_timer_stopped() {
  [ -e "$UNITS_DIR/$TOKEN_UNIT.timer" ] &&
    systemctl -q is-active istio.service &&
    ! systemctl -q is-active "$TOKEN_UNIT.timer"
}
# Older versions saved no sums of this program's own parts: they are no difference then.
is_unlisted_part() {
  list_own_parts | grep -qxF "$1" || return 1
  ! cut -c 67- "$state_dir/sums" | grep -qxF "$1"
}
# An engine gives each container its own id, so one that somebody else started has another, whatever its options.
is_other_container() {
  [ -e "$state_dir/engine" ] || return 1
  [ -e "$CONTAINER_ID_FILE" ] || return 1
  container_id=$(run_engine inspect -f '{{.Id}}' istio-proxy 2>/dev/null) || return 1
  [ "$container_id" != "$(cat "$CONTAINER_ID_FILE")" ]
}
# Prints the image of the container, if the engine has lost it: the proxy runs on, but cannot start again. An engine that
# does not answer proves nothing.
missing_image() {
  [ -e "$state_dir/engine" ] || return 0
  {
    read -r image_id &&
      read -r image_name
  } <"$state_dir/image" || return 0
  if has_image "$image_id" || has_image "$image_name"; then
    return 0
  fi
  if run_engine images --quiet >/dev/null 2>&1; then
    emit "the image $image_name"
  fi
}
has_image() { run_engine image inspect "$1" >/dev/null 2>&1; }
# Owners and modes that differ from those at the last bootstrap; what is gone has none.
changed_modes() {
  while read -r saved_owner saved_mode saved_path; do
    current_mode=$(stat -L -c '%U:%G %a' "$saved_path" 2>/dev/null) || continue
    if [ "$current_mode" != "$saved_owner $saved_mode" ]; then
      emit "$saved_path ($current_mode, was $saved_owner $saved_mode)"
    fi
  done <"$state_dir/modes"
}
