
# What root alone can exchange. Also before scripts in `carried`, which run without the program.
ROOT=0 # whose folders are safe
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
# at FOLDER COMMAND…: in the folder that lies there itself. What is done to plain names there leads nowhere else.
at() (
  cd "$1" 2>/dev/null || return 1
  [ "$(pwd -P)" = "$(cd "${1%/*}/" && pwd -P)/${1##*/}" ] || return 1
  shift
  "$@"
)
# grant FOLDER…: each is there and the proxy's user's. In place of `install -d`: that of uutils leaves them to root. A link
# is followed where it is root's, as to a disk for logs; others than root may write to /var/log.
grant() {
  for f in "$@"; do
    if [ -h "$f" ] && firm "$f"; then f=$(readlink -f "$f"); fi
    { [ -d "$f" ] || (umask 022 && mkdir -p "$f"); } && at "$f" eval 'chown istio-proxy:istio-proxy . && chmod 0755 .' ||
      refuse "$f cannot be made a folder of the proxy's" || return 1
  done
}
