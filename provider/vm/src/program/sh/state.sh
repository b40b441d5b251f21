
# Does: decides whether the state directory can be trusted: what lies there is believed, and run at boot, only where
#   nobody but root can have put it there. Istio's guide gives the directory above to the proxy's user, who could replace it.
# Needs: closed emit
# Gives: state_problem check_state_dir secure_state_parent state_parent_before restore_state_parent
# Owns: owner and mode of the directory above the state directory
# Undo: restore_state_parent, with what was noted in found/above
# Prints what is wrong with the state directory and the command that fixes it; nothing where it is fine or not there.
state_problem() {
  set -- "${real_state_dir:-$state_dir}"
  if ! root_controls_path "${1%/*}"; then
    emit "others than root can replace ${1%/*}: move it to where every directory above is root's"
  elif [ -h "$1" ] || is_open_to_others "$1"; then
    emit "others than root can write to $1. Run: chown -hR root:root $1 && chmod 0700 $1, if only root has written there; else: rm -rf $1"
  fi
}
is_open_to_others() {
  [ -e "$1" ] || return 1
  ! is_private "$1"
}
is_private() {
  # shellcheck disable=SC2046 # two numbers
  set -- $(stat -c '%u %a' "$1")
  case $1 in
  0 | "$ROOT_UID") [ "$2" = 700 ] ;;
  *) return 1 ;;
  esac
}
# Goes on as if there were no state, if it cannot be trusted. `suspect` is the directory, then.
check_state_dir() {
  real_state_dir=$state_dir
  suspect=
  if [ -n "$(state_problem)" ]; then
    suspect=$state_dir
  elif [ -e "$state_dir" ] && ! root_controls_dir "${state_dir%/*}"; then
    suspect=${state_dir%/*}
  fi
  if [ -n "$suspect" ]; then
    state_dir=$run_dir/nothing
  fi
}
# Gives the directory above to root before anything below it is read or written. Its owner is noted in $run_dir/above.
secure_state_parent() {
  parent_dir=${state_dir%/*}
  ensure_public_dir "$parent_dir" || return 1
  if root_controls_dir "$parent_dir"; then
    return 0
  fi
  root_controls_path "$parent_dir" || return 1
  stat -L -c '%u:%g %a' "$parent_dir" >"$run_dir/above" &&
    chown root:root "$parent_dir" &&
    chmod 0755 "$parent_dir"
}
# Prints owner and mode of the directory above before the first run. Older versions noted them among the modes.
state_parent_before() {
  cat "$state_dir/found/above" 2>/dev/null ||
    awk -v path="${state_dir%/*}" '$3 == path { print $1, $2; exit }' "$state_dir/found/modes" 2>/dev/null
}
# restore_state_parent OWNER MODE: once nothing of root's is left in it.
restore_state_parent() {
  if [ -z "${2:-}" ] || [ ! -d "${state_dir%/*}" ]; then
    return 0
  fi
  chown "$1" "${state_dir%/*}" &&
    chmod "$2" "${state_dir%/*}"
}
