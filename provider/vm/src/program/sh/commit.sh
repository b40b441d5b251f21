
# Does: makes a run final, and saves what later runs compare the VM with.
# Needs: base bootstrap emit firewall jumps put reference rules undolog uninstall unit worker
# Gives: commit_run
# Owns: sums, modes and jumps in the state directory
# Undo: the step keep has copies of the old ones, which undo_place and others restore
commit_run() {
  remove_replaced_package
  systemctl -q enable istio.service 2>/dev/null
  disarm_deadman
  save_reference sums list_sums 2>/dev/null
  save_reference modes list_modes 2>/dev/null
  if [ -e "$state_dir/guard" ]; then
    save_reference jumps list_reference_jumps 2>/dev/null
  else
    rm -f "$state_dir/jumps"
  fi
  seal_run 2>"$run_dir/err" || fail commit
  disable_undo_unit
  rm -rf "$runs_dir/token-before" "$state_dir/run/package"
  send_result >>"$run_dir/log"
  finish committed
}
# The package that a container took the place of goes at the end: its files are in the set before.
remove_replaced_package() {
  if [ ! -e "$state_dir/engine" ] || [ ! -e "$state_dir/installed" ]; then
    return 0
  fi
  if ! remove_package 2>"$run_dir/err"; then
    journal_lines <"$run_dir/err"
  fi
}
# save_reference NAME COMMAND…: where there is no room for it, later runs compare nothing with it.
save_reference() {
  reference_name=$1
  shift
  if ! "$@" >"$run_dir/$reference_name" ||
    ! put_file "$run_dir/$reference_name" "$state_dir/$reference_name" root 0600; then
    rm -f "$state_dir/$reference_name" "$state_dir/$reference_name.mesh"
  fi
}
# Another name for the undo log needs no room on a full disk.
seal_run() {
  is_sealed ||
    seal_undo_log
}
send_result() {
  send_identity
  send_text ipv6 "$(ipv6_bypass)"
  send_text published "$(published_ports)"
  # Only a provider that connects by SSH reads this, and a program that is carried has no such part.
  if have blocked_ports; then
    blocked_ports | while IFS= read -r blocked_text; do
      send_text blocked "$blocked_text"
    done
  fi
}
