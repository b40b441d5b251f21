
# Does: the step track: rules that keep connections, the unit's drop-in, and the stand-in for sudo.
# Needs: base container emit guard put set sweep users
# Gives: do_track undo_track
# Owns: mesh.conf among the unit's drop-ins; bin/sudo in the state directory
# Undo: undo_track restores these files, and removes this program's chains where none were before
do_track() {
  choose_backend
  if has engine; then
    rm -f "$state_dir/bin/sudo" || return 1
  else
    place_sudo || return 1
  fi
  if [ "$(field redirect)" = yes ]; then
    install_guard || return 1
  else
    rm -f "$state_dir/guard" || return 1
    sweep_chains "$OUR_CHAINS" || return 1
  fi
  drop_in >"$run_dir/dropin" &&
    put_file "$run_dir/dropin" "$DROP_IN_DIR/mesh.conf" root 0644
}
undo_track() {
  restore_set "$state_dir/run/keep" || return 1
  [ -e "$state_dir/guard" ] || sweep_chains "$OUR_CHAINS"
}
# The legacy tables where they hold rules, else nft.
choose_backend() {
  backend=
  if have iptables-legacy-save && iptables-legacy-save 2>/dev/null | grep -q '^-A'; then
    backend=-legacy
  elif have iptables-nft; then
    backend=-nft
  elif have iptables-legacy; then
    backend=-legacy
  fi
}
drop_in() {
  # Docker starts first, if it is there: the chain whose jump comes last is consulted last.
  printf '%s\n' \
    '[Unit]' \
    'Wants=network-online.target' \
    'After=network-online.target docker.service' \
    '[Service]'
  # Without these the agent takes the user's number for the group's, and picks a backend again each time.
  emit "Environment=PROXY_UID=$(id -u istio-proxy) PROXY_GID=$(id -g istio-proxy)"
  if [ -n "$backend" ]; then
    emit "Environment=FORCE_IPTABLES_BINARY=${backend#-}"
  fi
  if [ -e "$state_dir/bin/sudo" ]; then
    emit "Environment=PATH=$state_dir/bin:$PATH"
  fi
  if [ -s "$run_dir/block" ]; then
    hosts_line
  fi
  # Each start would add one more.
  if has tproxy; then
    emit "ExecStartPre=-+/bin/sh -c 'while ip rule del fwmark 0x539 lookup 133 2>/dev/null; do :; done'"
  fi
  if [ -e "$state_dir/guard" ]; then
    guard_lines
  fi
}
# Images whose cloud-init owns that file write it again at each boot, before the network is online.
hosts_line() {
  back_block="echo \"# BEGIN mesh-vm\"; echo \"$(cat "$run_dir/block")\"; echo \"# END mesh-vm\""
  back_copy="[ -h $HOSTS_FILE ] || cp -a $HOSTS_FILE $HOSTS_FILE.mesh"
  back_move="[ ! -h $HOSTS_FILE ] && mv -f $HOSTS_FILE.mesh $HOSTS_FILE || cat $HOSTS_FILE.mesh >$HOSTS_FILE"
  emit "ExecStartPre=-+/bin/sh -c 'grep -qx \"# BEGIN mesh-vm\" $HOSTS_FILE || { $back_copy; { $back_block; cat $HOSTS_FILE; } >$HOSTS_FILE.mesh && { $back_move; }; rm -f $HOSTS_FILE.mesh; }'"
}
guard_lines() {
  emit "ExecStartPre=+/bin/sh -c '$(guard_commands "iptables$backend")'"
  emit "ExecStartPre=-+/bin/sh -c '$(guard_commands "ip6tables$backend")'"
  emit "ExecStartPre=-+/bin/sh -c 'grep -q 1 $CONNTRACK_LOOSE || echo 1 >$CONNTRACK_LOOSE'"
}
# Replaces the sudo of istio-start.sh, which looks up the machine's own name when names already go to the proxy that it is
# about to start; and which may drop the environment, or want a terminal.
place_sudo() {
  if ! has_setpriv; then
    rm -f "$state_dir/bin/sudo"
    sudo_works istio-proxy ||
      refuse 'there is no setpriv of util-linux, and sudo -E does not keep the environment'
    return
  fi
  ensure_dir "$state_dir/bin" || return 1
  sudo_script >"$state_dir/bin/sudo" &&
    chmod 0700 "$state_dir/bin/sudo"
}
