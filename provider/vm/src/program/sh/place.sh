
# Does: the step place: puts the files of the bundle in their places, and marks the machine.
# Needs: base emit hosts put set
# Gives: do_place undo_place
# Owns: files and owner in the state directory; the files of the bundle; mesh-vm among logrotate's files
# Undo: undo_place restores them from the set before
do_place() {
  list_placed >"$run_dir/files" || return 1
  remove_unlisted || return 1
  place_files || return 1
  list_hosts_lines >"$run_dir/block" || return 1
  write_hosts_block "$run_dir/block" &&
    place_logrotate &&
    put_file "$run_dir/files" "$state_dir/files" root 0600 &&
    put_file "$run_dir/in/owner" "$state_dir/owner" root 0600
}
list_placed() {
  for listed_file in "$run_dir"/in/file.*.path; do
    [ -e "$listed_file" ] || continue
    cat "$listed_file" || return 1
    emit ''
  done
}
# What the set before had and this one has not, e.g. what fetched a token.
remove_unlisted() {
  [ -e "$state_dir/files" ] || return 0
  while IFS= read -r unlisted_file; do
    grep -qxF "$unlisted_file" "$run_dir/files" ||
      rm -f "$unlisted_file" ||
      return 1
  done <"$state_dir/files"
}
place_files() {
  for bundle_file in "$run_dir"/in/file.*.path; do
    [ -e "$bundle_file" ] || continue
    bundle_file=${bundle_file%.path}
    put_file "$bundle_file.content" "$(line_of "$bundle_file.path")" "$(line_of "$bundle_file.owner")" "$(line_of "$bundle_file.mode")" ||
      return 1
  done
}
list_hosts_lines() {
  if has hosts; then
    field hosts &&
      emit ''
  fi | sed '/^$/d'
}
# The package ships nothing that bounds the proxy's logs.
place_logrotate() {
  [ -d "${LOGROTATE_FILE%/*}" ] || return 0
  printf '%s\n' \
    "$LOG_DIR/*.log {" \
    '  su istio-proxy istio-proxy' \
    '  daily' \
    '  maxsize 100M' \
    '  rotate 7' \
    '  compress' \
    '  copytruncate' \
    '  missingok' \
    '  notifempty' \
    '}' >"$run_dir/rotate" &&
    put_file "$run_dir/rotate" "$LOGROTATE_FILE" root 0644
}
# The undo log of an earlier version does not say where the block was.
undo_place() {
  restore_set "$state_dir/run/keep" || return 1
  hosts_place=$(line_of "$state_dir/run/keep/hosts.at")
  write_hosts_block "$state_dir/run/keep/hosts" "${hosts_place:-end}"
}
