
# Does: installs rules ahead of Istio's: what is connected stays connected, and sshd is never intercepted.
# Needs: base emit sshd sweep
# Gives: install_guard guard_commands
# Owns: guard and loose in the state directory; the chains MESH_TRACK, MESH_IN and MESH_OUT; nf_conntrack_tcp_loose
# Undo: undo_track restores guard or sweeps its chains; run_remove sweeps them and restores the kernel's setting
# A connection that the kernel does not know yet would be redirected while it is open, and die, unless only a SYN is; sshd's
# own ports are never the proxy's.
install_guard() {
  guard_ports=$(sshd_ports)
  guard_rules >"$state_dir/guard" || return 1
  # Where an earlier version put it, it keeps packets to sshd from rules of others.
  sweep_chains MESH_IN mangle || return 1
  timeout 60 sh -c "$(guard_commands "iptables$backend")" || return 1
  timeout 60 sh -c "$(guard_commands "ip6tables$backend")" 2>/dev/null
  loosen_conntrack 2>/dev/null
  return 0
}
guard_rules() {
  printf '%s\n' \
    '*mangle' \
    ':MESH_TRACK - [0:0]' \
    '-A MESH_TRACK -m conntrack --ctstate NEW'
  if has tproxy; then
    emit ':MESH_IN - [0:0]'
    for mangle_port in $guard_ports; do
      emit "-A MESH_IN -p tcp --dport $mangle_port -j ACCEPT"
    done
  fi
  printf '%s\n' \
    COMMIT \
    '*nat' \
    ':MESH_IN - [0:0]' \
    ':MESH_OUT - [0:0]' \
    '-A MESH_IN -p tcp ! --syn -j ACCEPT' \
    '-A MESH_OUT -p tcp ! --syn -j ACCEPT'
  for nat_port in $guard_ports; do
    emit "-A MESH_IN -p tcp --dport $nat_port -j ACCEPT"
    emit "-A MESH_OUT -p tcp --sport $nat_port -j ACCEPT"
  done
  emit COMMIT
}
# Lets the kernel track connections that were open before it knew them.
loosen_conntrack() {
  if grep -q 1 "$CONNTRACK_LOOSE"; then
    return 0
  fi
  cat "$CONNTRACK_LOOSE" >"$state_dir/loose" &&
    emit 1 >"$CONNTRACK_LOOSE"
}
# guard_commands TOOL: prints the commands that put these rules in place, ahead of Istio's; fit for a unit file. What ends the
# walk through the table mangle is needed by tproxy alone, and stands behind the rules that others have there.
guard_commands() {
  printf '%s' "{ $1-restore -w --noflush <$state_dir/guard || $1-restore --noflush <$state_dir/guard; }"
  jump_command "$1" mangle -I 'OUTPUT -j MESH_TRACK'
  if has tproxy; then
    jump_command "$1" mangle -A 'PREROUTING -j MESH_IN'
  fi
  jump_command "$1" nat -I 'OUTPUT -j MESH_OUT'
  jump_command "$1" nat -I 'PREROUTING -j MESH_IN'
}
# jump_command TOOL TABLE -I|-A RULE
jump_command() { printf '%s' " && { $1 -w -t $2 -C $4 2>/dev/null || $1 -w -t $2 $3 $4; }"; }
