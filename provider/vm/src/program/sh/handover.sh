
# Does: moves out of the way what a proxy that ran as root left, as with tproxy, for one that does not.
# Needs: closed proxyfiles
# Gives: hand_over_files
# Owns: files that each start of the proxy writes, its logs and its socket directory
# Undo: nothing to undo: a start writes these files again, and logs are renamed to FILE.1
hand_over_files() {
  for start_file in grpc-bootstrap.json envoy-rev.json XDS; do
    rm -f "$ETC_DIR/proxy/$start_file" || return 1
  done
  for log_file in "$LOG_DIR/istio.log" "$LOG_DIR/istio.err.log"; do
    hand_over_log "$log_file" || return 1
  done
  if [ -d "$SDS_DIR" ] && [ "$(stat -c %u "$SDS_DIR")" != "$(id -u istio-proxy)" ]; then
    in_dir "$SDS_DIR" rm -f ./socket
    rmdir "$SDS_DIR"
  fi
  return 0
}
hand_over_log() {
  if [ -f "$1" ] && as_proxy_unlocked test -w "$1" </dev/null; then
    return 0
  fi
  if [ -f "$1" ] && [ ! -h "$1" ]; then
    mv -fT "$1" "$1.1"
  else
    rm -f "$1"
  fi
}
