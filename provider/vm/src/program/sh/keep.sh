
# Does: the step keep: copies the last good set, and once what was there before the first run.
# Needs: base container emit flush hosts jumps proxyfiles set unit
# Gives: do_keep tproxy_before commit_copies
# Owns: run/keep, run/unit, run/proven and found in the state directory; token-before in the directory of runs
# Undo: nothing to undo: the copies go with the undo log, and those of the first run with the state directory
# What cannot be kept could not be restored: nothing is changed then.
do_keep() {
  keep_dir=$state_dir/run/keep
  ensure_dir "$keep_dir" || return 1
  rm -f "$runs_dir/token-before" "$state_dir/found/paths.new" "$state_dir/found/modes.new"
  if [ -e "$TOKEN_FILE" ]; then
    copy_as_proxy "$TOKEN_FILE" "$runs_dir/token-before" || return 1
  fi
  write_unit_state >"$state_dir/run/unit" || return 1
  if has_proven_rules; then
    : >"$state_dir/run/proven"
  fi
  keep_hosts_block || return 1
  keep_placed_files || return 1
  keep_own_files || return 1
  keep_new_files || return 1
  keep_modes || return 1
  commit_copies
}
# The lines of the block, and where it stands.
keep_hosts_block() {
  if [ ! -e "$HOSTS_FILE" ]; then
    : >"$keep_dir/hosts"
    return
  fi
  hosts_block >"$keep_dir/hosts" &&
    lines_before_block >"$keep_dir/hosts.at"
}
# Rules that stay as they are need no verdict.
has_proven_rules() {
  [ -e "$state_dir/guard" ] || return 1
  is_intact || return 1
  [ "$(field tproxy)" = "$(tproxy_before)" ]
}
# Prints `yes` where the rules of before are tproxy's.
tproxy_before() {
  if grep -qsx 'ISTIO_INBOUND_INTERCEPTION_MODE=TPROXY' /var/lib/istio/envoy/cluster.env; then
    printf yes
  fi
}
# Whether the unit runs, and whether it starts at boot.
write_unit_state() {
  if is_running; then
    emit active || return 1
  fi
  unit_enabled=$(systemctl is-enabled istio.service 2>/dev/null)
  if [ -n "$unit_enabled" ]; then
    emit "$unit_enabled"
  fi
}
# What is about to be placed, and what the set before has.
keep_placed_files() {
  for placed_file in "$run_dir"/in/file.*.path; do
    [ -e "$placed_file" ] || continue
    keep_in_both "$(line_of "$placed_file")" || return 1
  done
  [ -e "$state_dir/files" ] || return 0
  while IFS= read -r placed_before; do
    keep_file "$keep_dir" "$placed_before" || return 1
  done <"$state_dir/files"
}
keep_in_both() {
  keep_file "$keep_dir" "$1" &&
    keep_file "$state_dir/found" "$1"
}
keep_own_files() {
  for own_file in "$CERTS_DIR/key.pem" "$CERTS_DIR/cert-chain.pem" "$DROP_IN_DIR/mesh.conf" "$LOGROTATE_FILE" \
    "$UNITS_DIR/istio.service"; do
    keep_in_both "$own_file" || return 1
  done
  for state_name in owner files sums modes jumps guard bin/sudo engine image proxy installed package; do
    keep_file "$keep_dir" "$state_dir/$state_name" || return 1
  done
}
# Only those that a removal has to remove: one that is there stays and is written again, and a log may be large. The package
# makes the last one, whichever the agent reads.
keep_new_files() {
  for new_file in "$LOG_DIR/istio.log" "$LOG_DIR/istio.err.log" /var/lib/istio/proxy/grpc-bootstrap.json \
    /var/lib/istio/proxy/envoy-rev.json /var/lib/istio/proxy/XDS "$ETC_DIR/proxy/grpc-bootstrap.json" \
    "$ETC_DIR/proxy/envoy-rev.json" "$ETC_DIR/proxy/XDS" "${state_dir%/*}/config/mesh"; do
    [ ! -e "$new_file" ] || continue
    keep_file "$state_dir/found" "$new_file" || return 1
  done
}
# Owner and mode of what a bootstrap changes. Nothing is restored inside a directory of others than root, which these may
# have been: what is inside comes first.
keep_modes() {
  list_kept_modes >"$keep_dir/modes" || return 1
  [ ! -e "$state_dir/found/modes" ] || return 0
  if id istio-proxy >/dev/null 2>&1; then
    : >"$state_dir/found/user"
  fi
  cp "$keep_dir/modes" "$state_dir/found/modes.new"
}
list_kept_modes() {
  for mode_file in /var/lib/istio/envoy/*.env /var/lib/istio/envoy /var/lib/istio/config /var/lib/istio/bin \
    /var/lib/istio/proxy /var/lib/istio "$ETC_DIR/config" "$ETC_DIR/proxy" "$ETC_DIR" /etc/certs "$LOG_DIR" "${TOKEN_FILE%/*/*}" \
    "$BIN_DIR/envoy" "$BIN_DIR/pilot-agent"; do
    [ -e "$mode_file" ] || continue
    stat -c '%u:%g %a %n' "$mode_file" || return 1
  done
}
# Makes the copies count. They are on the disk before the list that names them: where a path on the list has no copy,
# nothing was there, and what is there is removed.
commit_copies() {
  flush "$state_dir" || return 1
  for copied_list in run/keep/paths found/paths found/modes; do
    [ -e "$state_dir/$copied_list.new" ] || continue
    mv -f "$state_dir/$copied_list.new" "$state_dir/$copied_list" || return 1
  done
  flush "$state_dir"
}
