
# Does: takes this machine out of the mesh.
# Needs: base drain emit flush forget hosts owner set sweep token undolog uninstall unit worker
# Gives: run_remove resume_proxy
# Owns: everything that the steps of a bootstrap own
# Undo: what fails leaves the state in place, and the next removal continues
run_remove() {
  # A first bootstrap that could not be undone has no mark yet.
  if [ ! -e "$state_dir/owner" ] && [ ! -e "$state_dir/run/steps" ]; then
    remove_unbegun
    finish removed
  fi
  owner_matches || finish foreign "$(claimed_by | encode)"
  begin_removal stop
  systemctl -q disable istio.service 2>/dev/null
  disarm_deadman
  stop_for_removal 2>"$run_dir/err" || resume_proxy
  begin_removal clean
  clean 2>"$run_dir/err" || end_removal clean
  begin_removal uninstall
  uninstall 2>"$run_dir/err" || end_removal uninstall
  systemctl reset-failed istio.service 2>/dev/null
  flush_all 2>"$run_dir/err" || end_removal clean
  remove_state
  list_left | head -n 20 | while IFS= read -r left_path; do
    journal_text left "$left_path"
  done
  flush_all 2>/dev/null
  finish removed
}
begin_removal() {
  journal step "$1"
  hook "$1"
}
end_removal() {
  journal failed "$1"
  journal_lines <"$run_dir/err"
  finish reverted
}
stop_for_removal() {
  drain &&
    stop_proxy &&
    sweep_chains "$OUR_CHAINS"
}
# A proxy that cannot be stopped has its traffic back, so it must run.
resume_proxy() {
  journal failed stop
  journal_lines <"$run_dir/err"
  systemctl -q enable istio.service 2>/dev/null || finish halfway stop
  systemctl start istio.service 2>/dev/null || finish halfway stop
  finish reverted
}
clean() {
  printf '' >"$run_dir/block"
  remove_token
  write_hosts_block "$run_dir/block" || return 1
  restore_set "$state_dir/found" || return 1
  if [ -e "$state_dir/loose" ]; then
    cat "$state_dir/loose" >"$CONNTRACK_LOOSE" 2>/dev/null
  fi
  return 0
}
uninstall() {
  if [ -e "$state_dir/installed" ]; then
    remove_package || return 1
  fi
  remove_user
}
# What is left of a bootstrap that a power cut kept from beginning.
remove_unbegun() {
  if [ -e "$state_dir/found/dirs" ]; then
    remove_state
  elif [ -d "$state_dir" ] && [ ! -e "$state_dir/found/paths" ]; then
    disable_undo_unit
    discard "$state_dir"
    rmdir "${state_dir%/*}" 2>/dev/null
  fi
}
