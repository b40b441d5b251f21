
# Small words that every other part uses.
hook() { :; } # before each step; tests put their own in its place
say() { printf '%s\n' "$*"; }
die() { say "mesh-vm: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
b64() { base64 | tr -d '\n'; }
field() { cat "$d/in/$1" 2>/dev/null; }
has() { [ -e "$d/in/$1" ]; }
log() { say "$*" >>"$d/log"; }
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
# Text for people: the last lines, bounded, without anything that looks like a token.
lines() {
  sed 's/eyJ[A-Za-z0-9_-]*[.][A-Za-z0-9_.-]*/[token]/g' | tail -n 20 | cut -c 1-400 |
    while IFS= read -r text; do log "line $(printf %s "$text" | b64)"; done
}
