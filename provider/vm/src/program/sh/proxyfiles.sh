
# Does: reads and writes files in directories of the proxy's user, where that user may put anything in the way.
# Needs: closed emit users
# Gives: why_unreadable read_safely as_proxy_unlocked write_as_proxy copy_as_proxy copy_with_owner
# Owns: PATH.mesh, while PATH is written; logs and runtime files of a proxy that ran as root
# Undo: the callers keep a copy of what they overwrite; logs are renamed to FILE.1
# Prints why the file at PATH is not read. Fails where it may be.
why_unreadable() {
  if ! root_controls_path "${1%/*}"; then
    emit 'is in a directory that others than root can replace'
  elif [ -h "$1" ] && ! root_controls_path "$1"; then
    emit 'is a link'
  elif [ ! -f "$1" ]; then
    emit 'is not a regular file'
  else
    why_too_large "$1" || why_shared "$1"
  fi
}
why_too_large() {
  read_size=$(stat -L -c %s "$1")
  [ "${read_size:-0}" -gt "$MAX_FILE_BYTES" ] || return 1
  emit "has $read_size bytes, which is too large to read"
}
why_shared() {
  # shellcheck disable=SC2046 # two numbers
  set -- "${1%/*}" $(stat -L -c '%h %u' "$1")
  [ "${2:-1}" != 1 ] || return 1
  if root_controls_dir "$1"; then
    return 1
  fi
  [ "$3" != "$(stat -L -c %u "$1")" ] || return 1
  emit 'is a hard link to a file of another user'
}
# read_safely PATH COMMAND…: runs the command with the file as its standard input. Fails where it must not be read. It may
# become a link, or a pipe that nobody writes to, after the check: what was opened must lie at PATH, and open soon.
read_safely() {
  if why_unreadable "$1" >/dev/null; then
    return 1
  fi
  if [ -h "$1" ]; then
    read_path=$(readlink -f "$1")
  else
    read_path=$(cd "${1%/*}/" && pwd -P)/${1##*/}
  fi
  shift
  # A file that its owner is just replacing has another name for a moment.
  open_safely "$read_path" "$@" ||
    open_safely "$read_path" "$@"
}
# shellcheck disable=SC2016 # the inner shell expands it
open_safely() {
  timeout 5 sh -c '
    path=$1
    shift
    exec 3<"$path" || exit 1
    [ "$(readlink /proc/self/fd/3)" = "$path" ] || exit 1
    exec "$@" <&3 3<&-
  ' sh "$@" 2>/dev/null
}
# as_proxy_unlocked COMMAND…: runs it as the proxy's user, who must not get hold of the lock, but may look into its own
# processes.
as_proxy_unlocked() { as_proxy "$@" 9>&-; }
# write_as_proxy FILE PATH MODE: copies into a directory of the proxy's user, as that user.
# shellcheck disable=SC2016 # the inner shell expands it
write_as_proxy() {
  as_proxy_unlocked sh -c '
    rm -rf "$1.mesh" &&
      umask 077 &&
      cat >"$1.mesh" &&
      chmod "$2" "$1.mesh" &&
      mv -fT "$1.mesh" "$1"
  ' sh "$2" "$3" <"$1"
}
# copy_as_proxy PATH FILE: copies what the proxy's user can read there. FILE is empty where that is not a file.
# shellcheck disable=SC2016 # the inner shell expands it
copy_as_proxy() {
  as_proxy_unlocked timeout 5 sh -c '[ ! -f "$1" ] || head -c "$2" "$1"' sh "$1" "$MAX_FILE_BYTES" \
    >"$2" 2>/dev/null </dev/null ||
    : >"$2"
}
# copy_with_owner FILE COPY: keeps owner and mode. What must not be read is not copied.
# shellcheck disable=SC2016 # the inner shell expands it
copy_with_owner() {
  read_safely "$1" sh -c 'stat -L -c "%u:%g %a" /proc/self/fd/0 && cat' >"$run_dir/retained" || return 0
  {
    read -r copy_owner copy_mode &&
      cat >"$2"
  } <"$run_dir/retained" &&
    rm -f "$run_dir/retained" &&
    chown "$copy_owner" "$2" &&
    chmod "$copy_mode" "$2"
}
