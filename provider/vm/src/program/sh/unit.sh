
# Does: the steps stop, start and ready: the proxy's unit.
# Needs: admin base bootstrap container drain emit follow handover keep lastwords package rules sweep
# Gives: has_unit is_running do_stop stop_proxy undo_stop do_start disarm_deadman undo_start is_ready do_ready
# Owns: the transient timer mesh-vm-deadman
# Undo: undo_stop starts the proxy of before; undo_start stops the new one
has_unit() { [ -e "$(unit_file)" ]; }
# One that fails again and again is between two starts.
is_running() {
  case $(systemctl is-active istio.service 2>/dev/null) in
  active | activating | reloading) ;;
  *) return 1 ;;
  esac
}
do_stop() {
  drain &&
    stop_proxy
}
stop_proxy() {
  if has_unit; then
    stop_unit || return 1
  fi
  # One that failed would outlive its file.
  systemctl reset-failed "$TOKEN_UNIT.service" 2>/dev/null
  if [ -e "$state_dir/engine" ]; then
    run_engine rm -f istio-proxy >/dev/null 2>&1
  fi
  sweep_chains "$ISTIO_CHAINS" &&
    remove_tproxy_routes
}
# A unit that systemd refuses is not loaded: it cannot be stopped, and nothing of it runs.
stop_unit() {
  if systemctl stop istio.service; then
    return 0
  fi
  case $(systemctl is-active istio.service) in
  inactive | failed) ;;
  *) return 1 ;;
  esac
}
# Reports it, too, where the proxy of before does not start; nothing of this program is in its way any more.
undo_stop() {
  systemctl daemon-reload
  if [ -z "$(tproxy_before)" ] && id istio-proxy >/dev/null 2>&1; then
    hand_over_files
  fi
  if grep -qx enabled "$state_dir/run/unit"; then
    systemctl -q enable istio.service
  fi
  if grep -qx active "$state_dir/run/unit"; then
    restart_proxy_before
  fi
}
restart_proxy_before() {
  # shellcheck disable=SC2086 # a word, or none
  if systemctl $no_block restart istio.service; then
    return 0
  fi
  {
    cat "$run_dir/err"
    emit 'the proxy of before does not start'
  } | journal_lines
}
do_start() {
  if needs_verdict; then
    arm_deadman || return 1
  fi
  mark_logs
  systemctl daemon-reload &&
    systemctl restart istio.service
}
# Undoes the run if no verdict comes and the worker is dead.
arm_deadman() {
  systemctl -q disable istio.service 2>/dev/null
  disarm_deadman
  deadman_seconds=$(($(field wait.ready) + $(field wait.verdict) + 30))
  systemd-run --quiet --collect --unit=mesh-vm-deadman --timer-property=AccuracySec=1s \
    --on-active="${deadman_seconds}s" /bin/sh "$run_dir/program" mend "$run_dir"
}
disarm_deadman() { systemctl stop mesh-vm-deadman.timer 2>/dev/null; }
undo_start() {
  disarm_deadman
  systemctl -q disable istio.service 2>/dev/null
  stop_proxy
}
is_ready() {
  run_agent wait --url "http://127.0.0.1:$(health_port)/healthz/ready" --timeoutSeconds 1 >/dev/null 2>&1
}
do_ready() {
  await "$(field wait.ready)" is_certified_or_recalled &&
    ! is_recalled
}
is_certified_or_recalled() {
  is_certified ||
    is_recalled
}
# Whether there is a certificate that was issued to this start. The old one was removed from where it usually is; anywhere
# else, the new one is younger than what noted the start.
is_certified() {
  new_certificate=$(certs_dir)/cert-chain.pem
  [ -s "$new_certificate" ] || return 1
  if [ "$new_certificate" != "$CERTS_DIR/cert-chain.pem" ]; then
    [ -n "$(find "$new_certificate" -newer "$run_dir/sizes")" ] || return 1
  fi
  is_ready
}
