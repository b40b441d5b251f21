
# Folders of the proxy's user: what root does there must lead nowhere else, whatever that user puts in between.
# Whether root alone says what lies at PATH: each folder above it is root's, and so is the folder of each link.
firm() {
  case $1 in '' | /) return 0 ;; esac
  closed "${1%/*}" || return 1
  [ ! -h "$1" ] || { [ -e "$1" ] && firm "$(leads_to "$1")"; }
}
# Whether root alone puts something into the folder PATH, or takes something out of it.
closed() {
  firm "$1" || return 1
  # shellcheck disable=SC2046 # three numbers
  set -- $(stat -L -c '%u %g %a' "${1:-/}" 2>/dev/null)
  case ${1:-} in 0 | "$ROOT") ;; *) return 1 ;; esac
  case $3 in
  [1357]???) ;; # as /tmp: who is not root takes out only what is their own
  *[2367]) return 1 ;;
  *[2367]?) [ "$2" = 0 ] || return 1 ;;
  esac
}
leads_to() {
  to=$(readlink "$1")
  case $to in
  /*) say "$to" ;;
  *) say "${1%/*}/$to" ;;
  esac
}
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
