#!/bin/sh
# Makes this machine a member of an Istio mesh, by the program and the data beside this file: the
# same that Terraform's provider `mesh` would have sent over SSH.
#
#   sh install.sh               run on what is here from now on, or stay as it was
#   sh install.sh join TRIES    the same, again and again while it does not succeed, also after a reboot
#   sh install.sh remove        take this machine out of the mesh
#
# It has to be root. What fails is told, and the exit code is 1.
set -u
umask 077
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd) || exit 1
box=$(mktemp -d) || exit 1
trap 'rm -rf "$box"' EXIT
UNITS=/etc/systemd/system JOIN=mesh-vm-join.service CGROUP=/proc/self/cgroup
trap 'exit 1' HUP INT TERM

say() { printf '%s\n' "$*"; }
# It fails where the message cannot be written, too.
refuse() {
  say "$*" >&2
  return 1
}
b64() { base64 | tr -d '\n'; }
# Text for a terminal, which nothing in it can command.
plain() { printf %s "$1" | base64 -d 2>/dev/null | tr -c '\n -~' '?' && say ''; }

# call VERB DATA: starts the program as a session would. Its standard input stays open, for the token.
call() {
  mkfifo "$box/$1" || return 1
  # shellcheck disable=SC2016,SC2094 # expanded by the inner shell; the pipe is read and written on purpose
  /bin/sh -c 'read -r p; eval "$(printf %s "$p" | base64 -d | gzip -dc)"; main' <"$box/$1" | {
    exec 3>"$box/$1"
    { program | gzip -c | b64 && say ''; cat "$2"; pair run "$run"; pair now "$(date +%s)"; booting; say end; } >&3
    listen
  }
  ended=$?
  rm -f "$box/$1"
  return "$ended"
}
# cloud-init is not waited for by what it waits for.
booting() { ! grep -q /cloud- "$CGROUP" || pair wait.boot 0; }
# Through a pipe: gzip warns of a file as old as those of an archive.
program() { cat "$here/mesh-vm.sh"; }
pair() { say "$1 $(printf %s "$2" | b64)"; }
# Tells what the program says. The status: 0 done, 3 it waits for the verdict, 1 anything else.
listen() {
  outcome=1
  while read -r key first rest; do
    case $key in
    step) [ -n "$again" ] || say "  $first" ;;
    undo) say "  taking back: $first" ;;
    failed) say "  failed: $first" ;;
    bad) say "    $first: $(plain "$rest")" ;;
    unknown) say "    $first, not checked: $(plain "$rest")" ;;
    line) say "    $(plain "$first")" ;;
    left) say "  left behind: $(plain "$first")" ;;
    want) token >&3 || forgo ;;
    report) report "$first" "$rest" ;;
    esac
  done
  return "$outcome"
}
report() {
  case $1 in
  committed) outcome=0 && say 'this machine is a member of the mesh' ;;
  removed) outcome=0 && say 'this machine is out of the mesh' ;;
  awaits) outcome=3 ;;
  reverted) say 'this machine is as it was before' ;;
  foreign) say "the proxy on this machine belongs to $(plain "$2")" ;;
  *) say "it ended so: $1 $2" ;;
  esac
}
# The token is fetched when all else is ready, so that a slow package does not use it up.
token() {
  # Bypassing a proxy that is there, and without the reports, which it could read away.
  past=$(bypass)
  # shellcheck disable=SC2086 # words, or none
  if [ -e "$here/token-command" ]; then text=$($past timeout 60 /bin/sh "$here/token-command" </dev/null 3>&-) || text=
  else text=$(cat "$here/token" 2>/dev/null); fi
  [ -n "$text" ] && pair token "$text"
}
# The words with which root runs a command in the proxy's group, whose traffic is not intercepted. sudo may
# want a terminal, or not allow groups.
bypass() {
  gid=$(id -g istio-proxy 2>/dev/null) || return 0
  if setpriv --regid "$gid" --keep-groups true 2>/dev/null; then say "setpriv --regid $gid --keep-groups"
  elif command -v sudo >/dev/null; then say 'sudo -n -g istio-proxy'; fi
}
# Without a token the run is taken back at once, instead of when nobody has answered for long.
forgo() {
  say '    there is no token: make a new archive, or look at token-command'
  pair verb revert >"$box/revert.data" && (call revert "$box/revert.data") >/dev/null
}
# cloud-init runs this in a machine's first boot only: in a later one a unit tries on, until it has joined.
persist() {
  printf '%s\n' '[Unit]' 'Description=Makes this machine a member of the mesh' 'Wants=network-online.target' 'After=network-online.target' \
    '[Service]' "ExecStart=/bin/sh $here/install.sh join $1" >"$box/unit" &&
    (umask 022 && { [ -d "$UNITS/multi-user.target.wants" ] || mkdir -p "$UNITS/multi-user.target.wants"; } && cat "$box/unit" >"$UNITS/$JOIN") &&
    ln -sf "../$JOIN" "$UNITS/multi-user.target.wants/$JOIN"
}
settle() { rm -f "$UNITS/$JOIN" "$UNITS/multi-user.target.wants/$JOIN"; }
join() {
  again='' run=$(tr -d - </proc/sys/kernel/random/uuid)
  call bootstrap "$here/join.data"
  case $? in
  0) ;;
  # Nobody's connection depends on it: sshd's own ports are never intercepted.
  3) again=1 && pair verb commit >"$box/commit.data" && call commit "$box/commit.data" || return 1 ;;
  *) return 1 ;;
  esac
  rm -f "$here/token"
}
leave() { again='' run=$(tr -d - </proc/sys/kernel/random/uuid) && call remove "$here/leave.data"; }

case ${1:-join} in
join)
  left=${2:-1}
  [ "$left" = 1 ] || persist "$left"
  until join; do
    left=$((left - 1)) && [ "$left" -gt 0 ] || exit 1
    sleep 30
  done
  settle
  ;;
remove) leave && settle || exit 1 ;;
*) refuse 'usage: sh install.sh [join [TRIES] | remove]' || exit 1 ;;
esac
