
# Small words that every other part uses.
hook() { :; } # before each step; tests put their own in its place
say() { printf '%s\n' "$*"; }
die() { say "mesh-vm: $*" >&2; exit 1; }
# refuse WORDS…: the message of a step that fails. It fails where the message cannot be written, too.
refuse() {
  say "$*" >&2
  return 1
}
have() { command -v "$1" >/dev/null 2>&1; }
b64() { base64 | tr -d '\n'; }
field() { cat "$d/in/$1" 2>/dev/null; }
has() { [ -e "$d/in/$1" ]; }
log() { say "$*" >>"$d/log"; }
# folder PATH: it is there. One that was there keeps its mode, which `mkdir -p` of uutils changes.
folder() { [ -d "$1" ] || mkdir -p "$1"; }
pause() { sleep 0.2 2>/dev/null || sleep 1; }
# Seconds since the boot. Waits count these: the wall clock of a fresh machine is set while they wait.
uptime() {
  read -r up _ </proc/uptime
  say "${up%%.*}"
}
# await SECONDS COMMAND…: until it succeeds.
await() {
  limit=$(($(uptime) + $1))
  shift
  until "$@"; do
    [ "$(uptime)" -lt "$limit" ] || return 1
    pause
  done
}
# flush PATH…: what was written is on the disks that these paths lie on, so that a power cut does not take it.
flush() {
  # An older sync knows no file systems: it writes them all.
  if ! sync -f /dev/null 2>/dev/null; then
    sync
    return
  fi
  stat -L -c '%d %n' "$@" 2>/dev/null | awk '!seen[$1]++ { sub(/^[^ ]* /, ""); print }' |
    while IFS= read -r f; do sync -f "$f" || exit 1; done
}
# Everything that a run wrote, here and where the copies go back to.
flush_all() {
  set -- "$S" "${S%/*/*}" "$HOSTS" "$UNITS" "$DROP" "$CERTS" "$BIN" "$LOG" "${ROTATE%/*}" "${TOKEN%/*/*}" \
    /etc/istio /var/lib/istio /var/lib/dpkg /var/lib/rpm /usr/lib
  for f in "$S/run/keep/paths" "$S/found/paths"; do
    [ -e "$f" ] || continue
    while IFS= read -r path; do set -- "$@" "${path%/*}"; done <"$f"
  done
  flush "$@"
}
# discard FOLDER: at once, as whoever comes after a power cut sees it. Half of what was kept is worse than nothing.
discard() {
  rm -rf "$1.gone"
  [ -e "$1" ] || return 0
  mv -T "$1" "$1.gone" && flush "${1%/*}" && rm -rf "$1.gone"
}
# Text for people: the last lines, bounded, without anything that looks like a token.
lines() {
  sed 's/eyJ[A-Za-z0-9_-]*[.][A-Za-z0-9_.-]*/[token]/g' | tail -n 20 | cut -c 1-400 |
    while IFS= read -r text; do log "line $(printf %s "$text" | b64)"; done
}
