
# observe and check: what this machine and its proxy are. Writes nothing. Only a provider that comes by SSH asks.
verb_check() { checks; say 'report checked'; }
verb_observe() {
  v=$(claim)
  [ -z "$v" ] || say "owner $(say "$v" | b64)"
  for f in "$d"/in/file.*.path; do
    [ -e "$f" ] || continue
    path=$(cat "$f")
    say "file $(b64 <"$f") $(seen "$path")"
  done
  [ ! -e "$S/sums" ] || strange | sort -u | while IFS= read -r text; do say "changed $(printf %s "$text" | b64)"; done
  missing_image 2>/dev/null | while IFS= read -r text; do say "changed $(printf %s "$text" | b64)"; done
  [ -z "$suspect" ] || say "changed $(printf %s "$suspect" | b64)"
  # Root sources what is in it: an upgrade of the package gives it back to the proxy's user.
  if [ -e "$S/sums" ] && [ -e "$ENVOY" ] && ! closed "$ENVOY"; then say "changed $(printf %s "$ENVOY" | b64)"; fi
  [ ! -e "$S/modes" ] || opened | while IFS= read -r text; do say "changed $(printf %s "$text" | b64)"; done
  block | while IFS= read -r text; do say "hosts $(printf %s "$text" | b64)"; done
  unit && say "unit $(systemctl is-active istio.service) $(systemctl is-enabled istio.service 2>/dev/null)"
  identity
  ready && say 'ready yes'
  jumps | sed 's/^/jump /'
  lost | sed 's/^/lost /'
  if [ -d "$S/run" ] && ! ended; then
    v=$(last_step)
    say "unfinished ${v:-keep}"
  elif [ -e "$S/owner" ] && ! marked >/dev/null; then say 'unfinished place'; fi
  say 'report observed'
}
# What lies at PATH: `missing`, `odd` with why, or owner, mode and content.
# shellcheck disable=SC2016,SC2031 # the inner shell expands it; the subshell that has another bound is elsewhere
seen() {
  if [ ! -e "$1" ] && [ ! -h "$1" ]; then say missing
  elif found=$(peek "$1" sh -c 'stat -L -c "%U %a" /proc/self/fd/0 && head -c "$1" | base64' sh "$LARGEST"); then
    say "$found" | { read -r access && printf '%s ' "$access" && tr -d '\n' && say ''; }
  else say "odd $({ odd "$1" || say 'changes while it is read'; } | b64)"; fi
}
# What of the unit is not as the last bootstrap left it: changed, gone or new.
strange() {
  sums | cat - "$S/sums" | sort | uniq -u | cut -c 67- | while IFS= read -r text; do
    unlisted "$text" || say "$text"
  done
  # An engine gives each container an id of its own, so one that somebody made has another, whatever its options.
  [ ! -e "$S/engine" ] || [ ! -e "$CID" ] || ! v=$(contain inspect -f '{{.Id}}' istio-proxy 2>/dev/null) || [ "$v" = "$(cat "$CID")" ] || say 'the container istio-proxy'
}
# Prints the image of the container, if the engine has it no more: the proxy runs on, and does not start again. An engine
# that does not answer says nothing.
missing_image() {
  [ -e "$S/engine" ] && { read -r id && read -r name; } <"$S/image" || return 0
  if contain image inspect "$id" >/dev/null 2>&1 || contain image inspect "$name" >/dev/null 2>&1; then return 0; fi
  ! contain images --quiet >/dev/null 2>&1 || say "the image $name"
}
# Older versions made no sums of our own parts, which are no difference then.
unlisted() { own_parts | grep -qxF "$1" && ! cut -c 67- "$S/sums" | grep -qxF "$1"; }
# Which modes are not as they were at the last bootstrap; what is gone is no matter of modes.
opened() {
  while read -r who mode path; do
    is=$(stat -L -c '%U:%G %a' "$path" 2>/dev/null) || continue
    [ "$is" = "$who $mode" ] || say "$path ($is, was $who $mode)"
  done <"$S/modes"
}
