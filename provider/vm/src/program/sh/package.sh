
# Istio's package: fetched before anything stops, installed, taken away.
version() {
  if have dpkg-query; then dpkg-query -W -f '${db:Status-Status} ${Version}' istio-sidecar 2>/dev/null | sed -n 's/^installed //p'
  elif have rpm; then rpm -q --qf '%{VERSION}' istio-sidecar 2>/dev/null | grep -v ' '; fi
}
do_install() {
  id istio-proxy >/dev/null 2>&1 || : >"$S/run/user"
  [ "$(engine)" = "$(field engine)" ] || rm -f "$UNITS/multi-user.target.wants/istio.service" # it may lead to the other's unit
  if has engine; then do_contain; return; fi
  [ ! -e "$S/engine" ] || rm -f "$UNITS/istio.service" "$S/engine" "$S/image" "$S/proxy" || return 1
  if [ -e "$S/run/package" ]; then
    if [ -z "$(version)" ]; then : >"$S/run/fresh" && : >"$S/installed"; else
      for f in $(packaged); do remember "$S/run/keep" "$f" || return 1; done
    fi
    remember "$S/run/keep" "$S/package" && hold && unpack && say "$(field sha256) $(version)" >"$S/package" || return 1
  fi
  own
}
packaged() { say "$BIN/envoy" "$BIN/pilot-agent" "$BIN/istio-start.sh" /var/lib/istio/envoy/envoy_bootstrap_tmpl.json "$(fragment)"; }
fragment() { systemctl show -p FragmentPath istio.service 2>/dev/null | sed -n 's/^FragmentPath=//p'; }
# Another package manager may hold the lock on a fresh machine: wait for it, within bounds.
unpack() {
  if await "$PACKAGE" eval 'unpacked || recalled' && [ "$(cat "$d/code")" = 0 ]; then return 0; fi
  refuse "$(cat "$d/out")"
}
locked() { [ "$(cat "$d/code")" != 0 ] && grep -qiE '(is|was) locked by|transaction lock' "$d/out"; }
unpacked() {
  (
    umask 022 && exec 9>&- </dev/null
    if have dpkg; then DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold -i "$S/run/package"
    else rpm -U --replacepkgs --oldpackage "$S/run/package"; fi
  ) >"$d/out" 2>&1
  say $? >"$d/code"
  ! locked
}
# Root reads the settings, so a broken proxy must not be able to write them.
own() {
  for f in /var/lib/istio /var/lib/istio/envoy /var/lib/istio/config /var/lib/istio/bin /var/lib/istio/envoy/*.env /var/lib/istio/proxy; do
    if [ -d "$f" ]; then mode=0755; elif [ -f "$f" ]; then mode=0644; else continue; fi
    [ ! -h "$f" ] || [ "$f" = /var/lib/istio ] || refuse "$f is a link: whoever made it would choose what becomes root's" || return 1
    [ "$f" != /var/lib/istio/proxy ] || continue
    if [ -f "$f" ] && [ "$(stat -c %h "$f")" != 1 ]; then
      [ "$(stat -c %u "$f")" != 0 ] || continue
      refuse "$f is another name of somebody's file, which would become root's"
      return 1
    fi
    chown root:root "$f" && chmod "$mode" "$f" || return 1
  done
  # With tproxy root runs the proxy, and this group is how the rules tell its traffic.
  if has tproxy; then chgrp istio-proxy "$BIN/envoy" "$BIN/pilot-agent" && chmod 2755 "$BIN/envoy" "$BIN/pilot-agent" || return 1; fi
  grant /var/lib/istio/proxy /etc/certs "$LOG" || return 1
  has tproxy || hand_over
}
# The package manager's own books cannot be taken back: with no digest of it here, the next
# bootstrap installs the package that it wants, whichever is registered.
undo_install() {
  if [ -e "$S/run/fresh" ]; then uninstall && restore "$S/run/keep"; else
    repair
    restore "$S/run/keep" || return 1
    [ ! -e "$S/run/keep/set$BIN/pilot-agent" ] || { : >"$S/package" && say "istio-sidecar $(version) is registered, with the files of before" | lines; }
  fi && { [ ! -e "$S/run/user" ] || drop_user; }
}
uninstall() {
  repair
  if ! await "$PACKAGE" purged || registered; then
    refuse "the package did not go away
$(cat "$d/out")"
    return 1
  fi
  (umask 022 && folder "$BIN") # the package manager takes even that away, once it is empty
  rm -f "$S/installed" "$S/package" /etc/systemd/system/*.wants/istio.service
  systemctl daemon-reload
}
# A package manager that was killed at work refuses to take the package away, or forgets what it had unpacked, unless the
# same package is installed first. Where that fails, what comes next says so.
repair() {
  if [ -e "$S/run/package" ] && torn; then unpack 2>"$d/repair" || lines <"$d/repair"; fi
  # What it was writing has a name of its own, which nothing takes away.
  { packaged && printf '%s\n' /lib/systemd/system/istio.service /var/lib/istio/envoy/sidecar.env && parts; } | while IFS= read -r f; do
    [ -z "$f" ] || rm -f "$f.dpkg-new" "$f.dpkg-tmp" "$f;"*
  done
}
# An rpm has links beside its files, by the ids of their builds.
parts() { have dpkg || rpm -qpl "$S/run/package" 2>/dev/null; }
torn() {
  if have dpkg-query; then dpkg-query -W -f '${db:Status-Eflag} ${db:Status-Status}\n' istio-sidecar 2>/dev/null | grep -qE '^reinstreq|half-|unpacked$'
  else [ "$(rpm -q istio-sidecar 2>/dev/null | grep -c '^istio-sidecar')" != 1 ]; fi
}
drop_user() {
  if [ ! -e "$S/found/user" ] && id istio-proxy >/dev/null 2>&1; then
    if have userdel; then userdel istio-proxy; else deluser istio-proxy; fi >/dev/null 2>&1
    if have groupdel; then groupdel istio-proxy; else delgroup istio-proxy; fi >/dev/null 2>&1
  fi
  return 0
}
purged() {
  set --
  ! torn || set -- --force-remove-reinstreq
  if have dpkg; then dpkg "$@" --purge istio-sidecar; elif have rpm; then rpm -e --allmatches istio-sidecar; fi >"$d/out" 2>&1 9>&- </dev/null
  say $? >"$d/code"
  ! locked
}
registered() {
  if have dpkg-query; then dpkg-query -W -f '${db:Status-Status}' istio-sidecar 2>/dev/null | grep -qv '^not-installed'
  else have rpm && rpm -q istio-sidecar >/dev/null 2>&1; fi
}
