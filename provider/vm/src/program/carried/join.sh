
# Does: joins the mesh or leaves it, as the words of the command line say.
# Needs: emit install call
# Gives: join and remove: the words of the command line
# Owns: mesh-vm-join.service and its link, while it tries; the token of the archive
# Undo: the unit is removed when the machine has joined or left; the token when it has joined
# The token is fetched once all else is ready, so that a slow package does not use it up.
emit_token() {
  # It bypasses a proxy that is there, and cannot read the answers of the program.
  bypass_words=$(list_bypass_words)
  # shellcheck disable=SC2086 # words, or none
  if [ -e "$archive_dir/token-command" ]; then
    token_text=$($bypass_words timeout 60 /bin/sh "$archive_dir/token-command" </dev/null 3>&-) || token_text=
  else
    token_text=$(cat "$archive_dir/token" 2>/dev/null)
  fi
  [ -n "$token_text" ] &&
    emit_pair token "$token_text"
}
# Prints the words with which root runs a command in the proxy's group, whose traffic is not intercepted. sudo may want a
# terminal, or not allow groups.
list_bypass_words() {
  proxy_gid=$(id -g istio-proxy 2>/dev/null) || return 0
  if setpriv --regid "$proxy_gid" --keep-groups true 2>/dev/null; then
    emit "setpriv --regid $proxy_gid --keep-groups"
  elif have sudo; then
    emit 'sudo -n -g istio-proxy'
  fi
}
# Without a token the run is undone at once, instead of when nobody has answered for long.
revert_without_token() {
  emit '    there is no token: create a new archive, or check token-command'
  emit_pair verb revert >"$work_dir/revert.data" &&
    (call revert "$work_dir/revert.data") >/dev/null
}
# cloud-init runs this at a machine's first boot only: at a later one a unit tries again, until the machine has joined.
enable_join_unit() {
  printf '%s\n' \
    '[Unit]' \
    'Description=Makes this machine a member of the mesh' \
    'Wants=network-online.target' \
    'After=network-online.target' \
    '[Service]' \
    "ExecStart=/bin/sh $archive_dir/install.sh join $1" >"$work_dir/unit" || return 1
  (
    umask 022
    [ -d "$UNITS_DIR/multi-user.target.wants" ] ||
      mkdir -p "$UNITS_DIR/multi-user.target.wants" ||
      return 1
    cat "$work_dir/unit" >"$UNITS_DIR/$JOIN_UNIT"
  ) || return 1
  ln -sf "../$JOIN_UNIT" "$UNITS_DIR/multi-user.target.wants/$JOIN_UNIT"
}
disable_join_unit() { rm -f "$UNITS_DIR/$JOIN_UNIT" "$UNITS_DIR/multi-user.target.wants/$JOIN_UNIT"; }
new_run_id() { tr -d - </proc/sys/kernel/random/uuid; }
join() {
  run=$(new_run_id)
  call bootstrap "$archive_dir/join.data"
  case $? in
  0) ;;
  3) confirm || return 1 ;;
  *) return 1 ;;
  esac
  rm -f "$archive_dir/token"
}
# Nobody's connection depends on it: sshd's own ports are never intercepted.
confirm() {
  emit_pair verb commit >"$work_dir/commit.data" &&
    call commit "$work_dir/commit.data"
}
leave() {
  run=$(new_run_id)
  call remove "$archive_dir/leave.data"
}
# join_with_tries TRIES
join_with_tries() {
  tries_left=$1
  if [ "$tries_left" != 1 ]; then
    enable_join_unit "$tries_left"
  fi
  until join; do
    tries_left=$((tries_left - 1))
    [ "$tries_left" -gt 0 ] || exit 1
    sleep 30
  done
  disable_join_unit
}
case ${1:-join} in
join) join_with_tries "${2:-1}" ;;
remove)
  leave || exit 1
  disable_join_unit || exit 1
  ;;
*)
  refuse 'usage: sh install.sh [join [TRIES] | remove]'
  exit 1
  ;;
esac
