
# Does: finds out what the configuration of the running proxy says, and asks Envoy's admin API.
# Needs: base container emit proxyfiles users
# Gives: setting certs_dir health_port admin_port request_admin has_envoy
# Owns: nothing
# Undo: nothing to undo: it reads only
# setting NAME DEFAULT: prints a variable as the start script of the proxy reads it: the later file wins.
setting() {
  setting_value=$(
    for setting_file in "$ENVOY_DIR/sidecar.env" "$ENVOY_DIR/cluster.env"; do
      read_safely "$setting_file" sed -n "s/^ *\(export \)\{0,1\}$1=['\"]\{0,1\}\([^'\"]*\)['\"]\{0,1\} *\$/\2/p"
    done | tail -n 1
  )
  emit "${setting_value:-$2}"
}
# Where the agent writes the certificate of the workload. The default of the start script is relative to /.
certs_dir() {
  certs_setting=$(setting OUTPUT_CERTS "$CERTS_DIR")
  emit "${certs_setting#.}"
}
health_port() { setting ENVOY_STATUS_PORT 15021; }
# Prints the port of Envoy's admin API: as the bootstrap of the running Envoy says, else the settings of its agent.
# shellcheck disable=SC2016 # a program of awk
admin_port() {
  port_of_admin=$(read_safely "$ETC_DIR/proxy/envoy-rev.json" awk '
    /"admin": *[{]/ { is_admin = 1 }
    is_admin && match($0, /"port_value": *[0-9]+/) {
      port = substr($0, RSTART, RLENGTH)
      sub(/.*[^0-9]/, "", port)
      print port
      exit
    }')
  if [ -z "$port_of_admin" ]; then
    port_of_admin=$(read_safely "$ETC_DIR/config/mesh" sed -n \
      's/^ *"\{0,1\}proxy_\{0,1\}[Aa]dmin_\{0,1\}[Pp]ort"\{0,1\}: *"\{0,1\}\([0-9]\{1,5\}\).*/\1/p' |
      head -n 1)
  fi
  emit "${port_of_admin:-15000}"
}
# request_admin PATH: prints what Envoy's admin API answers. Fails where it does not. Istio's agent asks no other port.
request_admin() {
  asked_port=$(admin_port)
  if [ "$asked_port" = 15000 ]; then
    run_agent request GET "$1"
  elif have curl; then
    as_proxy curl -qsf -m 5 --noproxy '*' "http://localhost:$asked_port/$1"
  elif have wget; then
    as_proxy env -u http_proxy timeout 5 wget -q -O - "http://localhost:$asked_port/$1"
  else
    return 1
  fi
}
# Whether an Envoy runs here: without one there is nothing to ask.
has_envoy() { cat "$PROC_DIR"/[0-9]*/comm 2>/dev/null | grep -qx envoy; }
