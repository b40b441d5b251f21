
# Token, files, and the line in the hosts file.
do_ask() {
  log 'want token' && since=$(uptime)
  await "$(field wait.token)" eval 'answered || forsaken'
  [ ! -e "$d/refused" ] || refuse "what came as the token is $(cat "$d/refused")" || return 1
  [ -s "$d/token" ] || refuse 'no token came'
}
answered() { [ -s "$d/token" ] || [ -e "$d/refused" ] || [ -e "$d/revert" ]; }
# A provider that lost its connection is back soon, or never.
forsaken() {
  ! attended "$d" || since=$(uptime)
  [ "$(uptime)" -ge $((since + ALONE)) ]
}
# An old key and certificate would beat the new token; the set before has them.
do_token() {
  rm -f "$CERTS/key.pem" "$CERTS/cert-chain.pem"
  grant "${TOKEN%/*/*}" && token_folder && lay "$d/token" "$TOKEN" 0600
}
# The folder above is the proxy's, as Istio's unit makes it at each start: so is this one, and what is done in it.
# shellcheck disable=SC2016 # the inner shell expands it
token_folder() {
  f=${TOKEN%/*}
  [ ! -h "$f" ] || rm -f "$f" || return 1
  # One of root's, as people make it by hand, goes where nothing else is in it.
  if [ -d "$f" ] && ! humbly test -w "$f"; then
    at "$f" rm -f "./${TOKEN##*/}"
    rmdir "$f" || return 1
  fi
  humbly sh -c 'umask 077 && mkdir -p "$1"' sh "$f"
}
undo_token() {
  if [ -s "$R/token-before" ]; then token_folder && lay "$R/token-before" "$TOKEN" 0600 || return 1
  else at "${TOKEN%/*}" rm -f "./${TOKEN##*/}"; fi
  restore "$S/run/keep"
}
do_place() {
  for f in "$d"/in/file.*.path; do [ ! -e "$f" ] || { cat "$f" && say ''; } || return 1; done >"$d/files"
  # What the set before had and this one has not, e.g. what fetched a token.
  [ ! -e "$S/files" ] || while IFS= read -r path; do grep -qxF "$path" "$d/files" || rm -f "$path" || return 1; done <"$S/files"
  for f in "$d"/in/file.*.path; do
    [ -e "$f" ] || continue
    f=${f%.path}
    put "$f.content" "$(cat "$f.path")" "$(cat "$f.owner")" "$(cat "$f.mode")" || return 1
  done
  { ! has hosts || { field hosts && say ''; }; } | sed '/^$/d' >"$d/block" || return 1
  hosts "$d/block" && rotate && put "$d/files" "$S/files" root 0600 && put "$d/in/owner" "$S/owner" root 0600
}
# The package ships nothing that bounds the proxy's logs.
rotate() {
  [ -d "${ROTATE%/*}" ] || return 0
  printf '%s\n' "$LOG/*.log {" '  su istio-proxy istio-proxy' '  daily' '  maxsize 100M' '  rotate 7' '  compress' '  copytruncate' \
    '  missingok' '  notifempty' '}' >"$d/rotate" && put "$d/rotate" "$ROTATE" root 0644
}
undo_place() { restore "$S/run/keep" && hosts "$S/run/keep/hosts"; }
block() { awk '/^# BEGIN mesh-vm$/ { n = 1; t = ""; next } /^# END mesh-vm$/ { if (n) printf "%s", t; n = 0 } { t = t $0 "\n" }' "$HOSTS"; }
# with_block FILE: the hosts file with these lines as our block, or without one.
with_block() {
  # A block that somebody took the end of is not ours to cut: only its mark goes.
  awk '/^# BEGIN mesh-vm$/ { n = NR } { l[NR] = $0 } /^# END mesh-vm$/ && n { for (i = n; i <= NR; i++) delete l[i]; n = 0 }
    END { for (i = 1; i <= NR; i++) if (i in l && l[i] != "# BEGIN mesh-vm") print l[i] }' "$HOSTS" &&
    { [ ! -s "$1" ] || { say '# BEGIN mesh-vm' && cat "$1" && say '# END mesh-vm'; }; }
}
hosts() {
  block | cmp -s - "$1" && return 0
  firm "$HOSTS" || refuse "$HOSTS is a link that others than root can exchange" || return 1
  # A link stays one: a copy of it would be a link, too, and lead to the file that is read here.
  real=$(readlink -f "$HOSTS")
  # What did not get whole takes no file's place.
  { cp -a "$real" "$real.mesh" && with_block "$1" >"$real.mesh"; } || { rm -f "$real.mesh"; return 1; }
  # No other copy of theirs is kept, so this one is on the disk before it takes the file's place.
  flush "$real.mesh" || return 1
  # A bind mount cannot be renamed over.
  mv "$real.mesh" "$real" 2>/dev/null || { cat "$real.mesh" >"$real" && rm -f "$real.mesh"; }
}
