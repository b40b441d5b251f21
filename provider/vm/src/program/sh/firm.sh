
# Folders of the proxy's user: what root does there must lead nowhere else, whatever that user puts in between.
# Prints why the file at PATH is not read. Fails where it may be.
odd() {
  if ! firm "${1%/*}"; then say 'is in a folder that others than root can exchange'
  elif [ -h "$1" ] && ! firm "$1"; then say 'is a link'
  elif [ ! -f "$1" ]; then say 'is no file'
  else
    # shellcheck disable=SC2046 # three numbers
    set -- "${1%/*}" $(stat -L -c '%s %h %u' "$1")
    if [ "${2:-0}" -gt "$LARGEST" ]; then say "has $2 bytes, which is too much to be read"
    elif [ "${3:-1}" != 1 ] && ! closed "$1" && [ "$4" != "$(stat -L -c %u "$1")" ]; then say 'is another name of somebody else'\''s file'
    else return 1; fi
  fi
}
# Runs COMMAND… with the file at PATH as its standard input; fails where that is odd. It may become a link, or a pipe that
# nobody writes to, after it was looked at: what was opened must lie where it was meant to, and be open soon.
peek() {
  ! odd "$1" >/dev/null || return 1
  if [ -h "$1" ]; then opened=$(readlink -f "$1"); else opened=$(cd "${1%/*}/" && pwd -P)/${1##*/}; fi
  shift
  # A file that its owner is just replacing has another name for a moment.
  open "$@" || open "$@"
}
# shellcheck disable=SC2016 # the inner shell expands it
open() {
  timeout 5 sh -c '
    path=$1
    shift
    exec 3<"$path" || exit 1
    [ "$(readlink /proc/self/fd/3)" = "$path" ] || exit 1
    exec "$@" <&3 3<&-
  ' sh "$opened" "$@" 2>/dev/null
}
# Runs COMMAND… as the proxy's user, who must not get hold of the lock: that user may look into its own processes.
humbly() { as_proxy "$@" 9>&-; }
# lay FILE PATH MODE: puts a copy into a folder of the proxy's user, as that user.
# shellcheck disable=SC2016 # the inner shell expands it
lay() {
  humbly sh -c '
    rm -rf "$1.mesh" && umask 077 && cat >"$1.mesh" && chmod "$2" "$1.mesh" && mv -fT "$1.mesh" "$1"
  ' sh "$2" "$3" <"$1"
}
# lift PATH FILE: copies what the proxy's user can read there; nothing, where that is no file.
# shellcheck disable=SC2016 # the inner shell expands it
lift() {
  humbly timeout 5 sh -c '[ ! -f "$1" ] || head -c "$2" "$1"' sh "$1" "$LARGEST" >"$2" 2>/dev/null </dev/null || : >"$2"
}
# retain FILE COPY: the file with its owner and mode, out of a folder of the proxy's user. What is odd there is not retained.
# shellcheck disable=SC2016 # the inner shell expands it
retain() {
  if ! peek "$1" sh -c 'stat -L -c "%u:%g %a" /proc/self/fd/0 && cat' >"$d/retained"; then return 0; fi
  {
    read -r who mode && cat >"$2"
  } <"$d/retained" && rm -f "$d/retained" && chown "$who" "$2" && chmod "$mode" "$2"
}
# What root's proxy left, as it runs with tproxy, is in the way of another's: files that each start writes, and logs.
hand_over() {
  for f in grpc-bootstrap.json envoy-rev.json XDS; do rm -f "/var/lib/istio/proxy/$f" || return 1; done
  mine=$(id -u istio-proxy)
  for f in "$LOG/istio.log" "$LOG/istio.err.log"; do
    if [ -f "$f" ] && humbly test -w "$f" </dev/null; then continue; fi
    if [ -f "$f" ] && [ ! -h "$f" ]; then mv -fT "$f" "$f.1"; else rm -f "$f"; fi || return 1
  done
  f=$SDS
  if [ -d "$f" ] && [ "$(stat -c %u "$f")" != "$mine" ]; then
    at "$f" rm -f ./socket
    rmdir "$f"
  fi
  return 0
}
