
# Does: puts a file in its place.
# Needs: closed emit proxyfiles
# Gives: put_file
# Owns: PATH.mesh, while PATH is written
# Undo: the callers keep a copy of what was there
# put_file FILE PATH OWNER MODE: by a rename, so that nobody reads half of it. A link that somebody left in the way is
# removed, and never written through.
put_file() {
  ensure_public_dir "${2%/*}" || return 1
  if root_controls_dir "${2%/*}"; then
    put_as_root "$@" || return 1
  elif [ "$3" = istio-proxy ]; then
    write_as_proxy "$1" "$2" "$4" || return 1
  else
    refuse "others than root can write to ${2%/*}, so a file of root's cannot be there"
    return
  fi
  # With SELinux a file has the label of the directory where it was created, which may not be its own.
  if have restorecon; then
    restorecon "$2" 2>/dev/null
  fi
  return 0
}
put_as_root() {
  rm -rf "$2.mesh" &&
    cp "$1" "$2.mesh" &&
    chown "$3:$3" "$2.mesh" &&
    chmod "$4" "$2.mesh" &&
    mv -fT "$2.mesh" "$2"
}
