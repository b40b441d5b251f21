
# Does: writes to disk what a power cut must not take, and removes directories as a whole.
# Needs: nothing
# Gives: flush flush_all discard
# Owns: nothing; a directory PATH.gone exists while it is removed
# Undo: nothing to undo
# flush PATH…: writes the file systems of these paths to disk.
flush() {
  if ! flushes_one; then
    sync
    return
  fi
  if [ $# = 1 ] && [ -e "$1" ]; then
    sync -f "$1"
    return
  fi
  stat -L -c '%d %n' "$@" 2>/dev/null |
    awk '!seen[$1]++ { sub(/^[^ ]* /, ""); print }' |
    while IFS= read -r flush_path; do
      sync -f "$flush_path" || exit 1
    done
}
# An older sync cannot write a single file system: it writes all.
flush_form=
flushes_one() {
  if [ -z "$flush_form" ]; then
    flush_form=all
    if sync -f /dev/null 2>/dev/null; then
      flush_form=one
    fi
  fi
  [ "$flush_form" = one ]
}
# Everything that a run writes, here and where copies are restored to.
flush_all() {
  set -- "$state_dir" "${state_dir%/*/*}" "$HOSTS_FILE" "$UNITS_DIR" "$DROP_IN_DIR" "$CERTS_DIR" "$BIN_DIR" "$LOG_DIR" \
    "${LOGROTATE_FILE%/*}" "${TOKEN_FILE%/*/*}" "$ETC_DIR" /var/lib/istio /var/lib/dpkg /var/lib/rpm /usr/lib
  for flush_list in "$state_dir/run/keep/paths" "$state_dir/found/paths"; do
    [ -e "$flush_list" ] || continue
    while IFS= read -r flush_kept; do
      set -- "$@" "${flush_kept%/*}"
    done <"$flush_list"
  done
  flush "$@"
}
# discard DIRECTORY: by a rename first, so that a power cut leaves all of it or nothing. Half of what was kept is worse
# than nothing.
discard() {
  rm -rf "$1.gone"
  [ -e "$1" ] || return 0
  mv -T "$1" "$1.gone" &&
    flush "${1%/*}" &&
    rm -rf "$1.gone"
}
