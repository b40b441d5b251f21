
# The proxy's unit: stopped, its drop-in, started, ready.
unit() { [ -e "$(fragment)" ]; }
# One that fails again and again is between two starts.
running() { case $(systemctl is-active istio.service 2>/dev/null) in active | activating | reloading) ;; *) return 1 ;; esac; }
do_stop() { drain && halt; }
# The mesh was told to send no more, before this run: that arrives, and what is under way ends.
drain() { if running; then calm || await "$(field wait.drain)" eval 'calm || recalled' || say 'requests were still under way when the proxy stopped' | lines; fi; }
# Nothing is under way, and nothing has come for a second at least.
calm() {
  asked=$(requests)
  [ "$asked" = "${calm:-}" ] || { calm=$asked calm_since=$(uptime); }
  case $asked in '' | '0 '*) [ "$(uptime)" -ge $((calm_since + 2)) ] ;; *) return 1 ;; esac
}
# How many requests and connections from others the proxy has under way, and had in all.
requests() {
  agent request GET clusters 2>/dev/null |
    awk -F :: '/^inbound[|]/ && $3 == "rq_active" { now += $4 } /^inbound[|]/ && $3 == "rq_total" { all += $4 } END { print now + 0, all + 0 }'
}
halt() {
  # One that systemd refuses is not loaded, so that it cannot be stopped, and nothing of it runs.
  if unit && ! systemctl stop istio.service; then case $(systemctl is-active istio.service) in inactive | failed) ;; *) return 1 ;; esac; fi
  [ ! -e "$S/engine" ] || contain rm -f istio-proxy >/dev/null 2>&1
  sweep "$ISTIOS" && unroute
}
# That the proxy of before does not start, too, is told; nothing of ours is in its way any more.
undo_stop() {
  systemctl daemon-reload
  [ -n "$(transparent)" ] || ! id istio-proxy >/dev/null 2>&1 || hand_over
  ! grep -qx enabled "$S/run/unit" || systemctl -q enable istio.service
  # shellcheck disable=SC2086 # a word, or none
  ! grep -qx active "$S/run/unit" || systemctl $NOW restart istio.service || { cat "$d/err"; say 'the proxy of before does not start'; } | lines
}
do_track() {
  backend=
  if have iptables-legacy-save && iptables-legacy-save 2>/dev/null | grep -q '^-A'; then backend=-legacy
  elif have iptables-nft; then backend=-nft
  elif have iptables-legacy; then backend=-legacy; fi
  if has engine; then rm -f "$S/bin/sudo"; else shim || return 1; fi
  if [ "$(field redirect)" = yes ]; then guard; else rm -f "$S/guard" && sweep "$OURS"; fi || return 1
  dropin >"$d/dropin" && put "$d/dropin" "$DROP/mesh.conf" root 0644
}
undo_track() { restore "$S/run/keep" && { [ -e "$S/guard" ] || sweep "$OURS"; }; }
dropin() {
  # Docker starts first, if it is there: whose jump comes last is asked last.
  printf '%s\n' '[Unit]' 'Wants=network-online.target' 'After=network-online.target docker.service' '[Service]'
  # Without these the agent takes the user's number for the group's, and picks a backend anew each time.
  say "Environment=PROXY_UID=$(id -u istio-proxy) PROXY_GID=$(id -g istio-proxy)"
  [ -z "$backend" ] || say "Environment=FORCE_IPTABLES_BINARY=${backend#-}"
  [ ! -e "$S/bin/sudo" ] || say "Environment=PATH=$S/bin:$PATH"
  # Images whose cloud-init owns that file write it anew at each boot, before the network is online.
  [ ! -s "$d/block" ] || say "ExecStartPre=-+/bin/sh -c 'grep -qx \"# BEGIN mesh-vm\" $HOSTS || { echo \"# BEGIN mesh-vm\"; echo \"$(cat "$d/block")\"; echo \"# END mesh-vm\"; } >>$HOSTS'"
  # Each start would add one more.
  if has tproxy; then say "ExecStartPre=-+/bin/sh -c 'while ip rule del fwmark 0x539 lookup 133 2>/dev/null; do :; done'"; fi
  [ -e "$S/guard" ] || return 0
  say "ExecStartPre=+/bin/sh -c '$(rules "iptables$backend")'"
  say "ExecStartPre=-+/bin/sh -c '$(rules "ip6tables$backend")'"
  say "ExecStartPre=-+/bin/sh -c 'grep -q 1 $LOOSE || echo 1 >$LOOSE'"
}
# Stands in for the sudo of istio-start.sh, which looks up the machine's own name when names already go to the proxy that
# it is about to start; and which may drop the environment, or want a terminal.
shim() {
  if ! switches; then
    rm -f "$S/bin/sudo"
    sudo_ok istio-proxy || refuse 'there is no setpriv of util-linux, and sudo -E does not keep the environment'
    return
  fi
  folder "$S/bin" || return 1
  sudo_script >"$S/bin/sudo" && chmod 0700 "$S/bin/sudo"
}
do_start() {
  if unproven; then
    systemctl -q disable istio.service 2>/dev/null; disarm
    systemd-run --quiet --collect --unit=mesh-vm-deadman --timer-property=AccuracySec=1s \
      --on-active=$(($(field wait.ready) + $(field wait.verdict) + 30))s /bin/sh "$d/program" mend "$d" || return 1
  fi
  mark
  systemctl daemon-reload && systemctl restart istio.service
}
undo_start() { disarm; systemctl -q disable istio.service 2>/dev/null; halt; }
disarm() { systemctl stop mesh-vm-deadman.timer 2>/dev/null; }
ready() { agent wait --url http://127.0.0.1:15021/healthz/ready --timeoutSeconds 1 >/dev/null 2>&1; }
do_ready() { await "$(field wait.ready)" eval 'certified || recalled' && ! recalled; }
# The old certificate was put away, so one that is there was issued to this start.
certified() { [ -s "$CERTS/cert-chain.pem" ] && ready; }
