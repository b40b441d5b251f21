
# Does: decides which paths only root can change, and works safely in directories of others.
# Needs: emit
# Gives: root_controls_path root_controls_dir in_dir grant_dirs ensure_public_dir
# Owns: nothing; it also stands in scripts of `carried`, which run without the program
# Undo: nothing to undo
# Whose directories count as root's. Tests put their own user here.
ROOT_UID=0
# Whether only root decides what lies at PATH: each directory above it is root's, and so is the directory of each link.
root_controls_path() {
  case $1 in
  '' | /) return 0 ;;
  esac
  root_controls_dir "${1%/*}" || return 1
  controls_link "$1"
}
# Whether only root puts anything into the directory PATH, or takes anything out of it; and the same for all above it.
root_controls_dir() {
  dir=${1%/}
  set -- /
  while [ -n "$dir" ]; do
    controls_link "$dir" || return 1
    set -- "$@" "$dir"
    dir=${dir%/*}
  done
  # shellcheck disable=SC2046 # owner, group and mode of each
  set -- $(stat -L -c '%u %g %a' "$@" 2>/dev/null || emit none)
  while [ $# -gt 0 ]; do
    case $1 in
    0 | "$ROOT_UID") ;;
    *) return 1 ;;
    esac
    case $3 in
    # As /tmp: who is not root removes only their own files.
    [1357]???) ;;
    *[2367]) return 1 ;;
    *[2367]?) [ "$2" = 0 ] || return 1 ;;
    esac
    shift 3
  done
}
# Where PATH is a link, only root decides what it leads to. In a subshell: it has the variables of its own path.
controls_link() {
  [ -h "$1" ] || return 0
  [ -e "$1" ] || return 1
  (root_controls_path "$(link_target "$1")")
}
link_target() {
  link_text=$(readlink "$1")
  case $link_text in
  /*) emit "$link_text" ;;
  *) emit "${1%/*}/$link_text" ;;
  esac
}
# in_dir DIRECTORY COMMAND…: runs the command inside. What it does to plain names there leads nowhere else.
in_dir() (
  cd "$1" 2>/dev/null || return 1
  [ "$(pwd -P)" = "$(cd "${1%/*}/" && pwd -P)/${1##*/}" ] || return 1
  shift
  "$@"
)
# grant_dirs DIRECTORY…: creates each and gives it to the proxy's user. `install -d` of uutils would leave it to root. A
# link is followed where it is root's, such as one to a disk for logs; others than root may write to /var/log.
grant_dirs() {
  for grant_path in "$@"; do
    if [ -h "$grant_path" ] && root_controls_path "$grant_path"; then
      grant_path=$(readlink -f "$grant_path")
    fi
    if ! grant_dir "$grant_path"; then
      refuse "$grant_path cannot be given to the proxy's user as a directory"
      return
    fi
  done
}
grant_dir() {
  ensure_public_dir "$1" || return 1
  in_dir "$1" own_this_dir
}
# ensure_public_dir PATH: everybody may read what is created here.
ensure_public_dir() (
  umask 022
  [ -d "$1" ] || mkdir -p "$1"
)
own_this_dir() {
  chown istio-proxy:istio-proxy . &&
    chmod 0755 .
}
