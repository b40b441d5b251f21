
# Does: keeps files as a set of copies, and restores a set.
# Needs: base closed emit proxyfiles
# Gives: keep_file restore_set
# Owns: paths, paths.new, modes and set in a directory of copies; PATH.mesh, while PATH is restored
# Undo: nothing to undo
# keep_file SET PATH: copies the file, or notes that there was none. The copy counts once it is committed.
keep_file() {
  if is_kept "$1" "$2"; then
    return 0
  fi
  if [ -e "$1/set$2" ] || [ -h "$1/set$2" ]; then
    rm -rf "$1/set$2" || return 1
  fi
  if [ -e "$2" ] || [ -h "$2" ]; then
    copy_into_set "$1" "$2" || return 1
  fi
  if [ ! -e "$1/paths.new" ] && [ -e "$1/paths" ]; then
    cp "$1/paths" "$1/paths.new" || return 1
  fi
  emit "$2" >>"$1/paths.new"
}
is_kept() {
  is_line_of "$1/paths" "$2" ||
    is_line_of "$1/paths.new" "$2"
}
is_line_of() {
  [ -e "$1" ] &&
    grep -qxF "$2" "$1"
}
copy_into_set() {
  ensure_dir "$1/set${2%/*}" || return 1
  if root_controls_dir "${2%/*}"; then
    cp -a "$2" "$1/set$2"
  else
    copy_with_owner "$2" "$1/set$2"
  fi
}
# restore_set SET: goes on where one file fails, and fails at the end.
restore_set() {
  [ -e "$1/paths" ] || return 0
  restore_failed=
  while IFS= read -r restored_path; do
    restore_file "$1/set$restored_path" "$restored_path" || restore_failed=1
  done <"$1/paths"
  if [ -e "$1/modes" ]; then
    restore_modes "$1/modes" || restore_failed=1
  fi
  [ -z "$restore_failed" ]
}
# restore_file COPY PATH: where there is no copy, nothing was there.
restore_file() {
  if [ ! -e "$1" ] && [ ! -h "$1" ]; then
    rm -f "$2"
    return
  fi
  if is_same_file "$1" "$2"; then
    return 0
  fi
  ensure_dir "${2%/*}" || return 1
  if root_controls_dir "${2%/*}"; then
    restore_as_root "$1" "$2"
  else
    restore_as_proxy "$1" "$2"
  fi
}
# A link to the copy needs no room on a full disk.
restore_as_root() {
  rm -rf "$2.mesh" || return 1
  if ! link_copy "$1" "$2.mesh"; then
    cp -a "$1" "$2.mesh" || return 1
  fi
  mv -fT "$2.mesh" "$2"
}
# restore_as_proxy COPY PATH: into a directory of the proxy's user. A name that is created there leads nowhere, unlike one
# that is opened.
restore_as_proxy() {
  as_proxy_unlocked rm -rf "$2.mesh" </dev/null
  if [ -h "$1" ]; then
    as_proxy_unlocked ln -sfn "$(readlink "$1")" "$2" </dev/null
  elif link_copy "$1" "$2.mesh"; then
    mv -fT "$2.mesh" "$2"
  else
    write_as_proxy "$1" "$2" "$(stat -c %a "$1")"
  fi
}
# Not into a directory that a link at the new name leads to.
link_copy() {
  [ ! -h "$1" ] &&
    ln -T "$1" "$2" 2>/dev/null
}
is_same_file() {
  # shellcheck disable=SC2046 # a number for each file that is there
  set -- $(stat -c %d:%i "$1" "$2" 2>/dev/null)
  [ "${1:-}" = "${2:-none}" ]
}
# The directory above the state is restored at the very end.
restore_modes() {
  modes_failed=
  while read -r restored_owner restored_mode restored_file; do
    if [ "$restored_file" = "${state_dir%/*}" ] || [ ! -e "$restored_file" ] || [ -h "$restored_file" ]; then
      continue
    fi
    root_controls_dir "${restored_file%/*}" || continue
    if ! chown "$restored_owner" "$restored_file" || ! chmod "$restored_mode" "$restored_file"; then
      modes_failed=1
    fi
  done <"$1"
  [ -z "$modes_failed" ]
}
