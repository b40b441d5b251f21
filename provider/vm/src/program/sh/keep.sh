
# The last good set, and once what was there before us: kept, and put back.
do_keep() {
  k=$S/run/keep
  folder "$k" && rm -f "$R/token-before" "$S/found/paths.new" "$S/found/modes.new"
  [ ! -e "$TOKEN" ] || lift "$TOKEN" "$R/token-before" || return 1
  # What cannot be kept could not be put back: nothing is changed then.
  unit_before >"$S/run/unit" || return 1
  if [ -e "$S/guard" ] && intact && [ "$(field tproxy)" = "$(transparent)" ]; then : >"$S/run/proven"; fi
  { [ ! -e "$HOSTS" ] || block; } >"$k/hosts" || return 1
  for f in "$d"/in/file.*.path; do
    [ ! -e "$f" ] || { path=$(cat "$f") && remember "$k" "$path" && remember "$S/found" "$path"; } || return 1
  done
  [ ! -e "$S/files" ] || while IFS= read -r path; do remember "$k" "$path" || return 1; done <"$S/files"
  for f in "$CERTS/key.pem" "$CERTS/cert-chain.pem" "$DROP/mesh.conf" "$ROTATE"; do
    remember "$k" "$f" && remember "$S/found" "$f" || return 1
  done
  remember "$k" "$UNITS/istio.service" && remember "$S/found" "$UNITS/istio.service" || return 1
  for f in owner files sums modes jumps guard bin/sudo engine image proxy installed package; do remember "$k" "$S/$f" || return 1; done
  # One that was there stays: it is written anew, and a log may be large.
  for f in "$LOG/istio.log" "$LOG/istio.err.log" /var/lib/istio/proxy/grpc-bootstrap.json /var/lib/istio/proxy/envoy-rev.json /var/lib/istio/proxy/XDS; do
    [ -e "$f" ] || remember "$S/found" "$f" || return 1; done
  keep_modes || return 1
  hold
}
# Whether the unit runs, and whether it starts at boot.
unit_before() {
  ! running || say active || return 1
  before=$(systemctl is-enabled istio.service 2>/dev/null)
  [ -z "$before" ] || say "$before"
}
# Owner and mode of what a bootstrap changes.
keep_modes() {
  for f in /var/lib/istio /var/lib/istio/envoy /var/lib/istio/envoy/*.env /var/lib/istio/config /var/lib/istio/bin \
    /var/lib/istio/proxy /etc/certs "$LOG" "${TOKEN%/*/*}" "$BIN/envoy" "$BIN/pilot-agent"; do
    [ ! -e "$f" ] || stat -c '%u:%g %a %n' "$f" || return 1
  done >"$k/modes"
  if [ ! -e "$S/found/modes" ]; then
    if id istio-proxy >/dev/null 2>&1; then : >"$S/found/user"; fi
    cp "$k/modes" "$S/found/modes.new" || return 1
  fi
}
# Lets what was remembered count. The copies are on the disk before the list that names them: where a path on the list has
# no copy, nothing was there, and what is there goes.
hold() {
  flush "$S" || return 1
  for f in run/keep/paths found/paths found/modes; do
    [ ! -e "$S/$f.new" ] || mv -f "$S/$f.new" "$S/$f" || return 1
  done
  flush "$S"
}
# Whether the rules of before are tproxy's.
transparent() { ! grep -qsx 'ISTIO_INBOUND_INTERCEPTION_MODE=TPROXY' /var/lib/istio/envoy/cluster.env || printf yes; }
# remember SET PATH: the file, or that there was none. It counts when it is held.
remember() {
  if grep -qxF "$2" "$1/paths" 2>/dev/null || grep -qxF "$2" "$1/paths.new" 2>/dev/null; then return 0; fi
  rm -rf "$1/set$2" || return 1
  if [ -e "$2" ] || [ -h "$2" ]; then
    folder "$1/set${2%/*}" || return 1
    if closed "${2%/*}"; then cp -a "$2" "$1/set$2"; else retain "$2" "$1/set$2"; fi || return 1
  fi
  [ -e "$1/paths.new" ] || [ ! -e "$1/paths" ] || cp "$1/paths" "$1/paths.new" || return 1
  say "$2" >>"$1/paths.new"
}
restore() {
  [ -e "$1/paths" ] || return 0
  whole=1
  while IFS= read -r path; do
    if [ ! -e "$1/set$path" ] && [ ! -h "$1/set$path" ]; then rm -f "$path" || whole=; continue; fi
    ! same "$1/set$path" "$path" || continue
    folder "${path%/*}" || whole=
    if [ -e "${path%/*}" ] && ! closed "${path%/*}"; then bring_back "$1/set$path" "$path" || whole=; continue; fi
    # Another name for the copy needs no room on a full disk.
    { rm -rf "$path.mesh" && { twin "$1/set$path" "$path.mesh" || cp -a "$1/set$path" "$path.mesh"; } && mv -fT "$path.mesh" "$path"; } || whole=
  done <"$1/paths"
  [ ! -e "$1/modes" ] || while read -r who mode path; do
    # The folder above the state is given back at the very end.
    if [ "$path" = "${S%/*}" ] || [ ! -e "$path" ] || [ -h "$path" ] || ! closed "${path%/*}"; then continue; fi
    { chown "$who" "$path" && chmod "$mode" "$path"; } || whole=
  done <"$1/modes"
  [ -n "$whole" ]
}
# bring_back COPY PATH: into a folder of the proxy's user. A name that is made there leads nowhere, unlike one that is opened.
bring_back() {
  humbly rm -rf "$2.mesh" </dev/null
  if [ -h "$1" ]; then humbly ln -sfn "$(readlink "$1")" "$2" </dev/null
  elif twin "$1" "$2.mesh"; then mv -fT "$2.mesh" "$2"
  else lay "$1" "$2" "$(stat -c %a "$1")"; fi
}
# Not into a folder that a link at the new name leads to.
twin() { [ ! -h "$1" ] && ln -T "$1" "$2" 2>/dev/null; }
same() { [ "$(stat -c %d:%i "$1")" = "$(stat -c %d:%i "$2" 2>/dev/null)" ]; }
# put FILE PATH OWNER MODE: by a rename, so that nobody reads half of it. A link that somebody left in our way goes, and
# is never written through.
put() {
  (umask 022 && folder "${2%/*}") || return 1
  if closed "${2%/*}"; then
    rm -rf "$2.mesh" && cp "$1" "$2.mesh" && chown "$3:$3" "$2.mesh" && chmod "$4" "$2.mesh" && mv -fT "$2.mesh" "$2" || return 1
  elif [ "$3" = istio-proxy ]; then lay "$1" "$2" "$4" || return 1
  else
    refuse "${2%/*} is not root's alone, so a file there cannot be"
    return 1
  fi
  # Where SELinux is, a file has the label of the folder it was made in, which may not be its own.
  if have restorecon; then restorecon "$2" 2>/dev/null; fi
  return 0
}
