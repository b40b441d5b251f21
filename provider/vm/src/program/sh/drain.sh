
# Does: waits until open requests end, before the proxy stops.
# Needs: admin base emit follow unit
# Gives: drain count_requests
# Owns: nothing
# Undo: nothing to undo
# The mesh stopped sending before this run: that has to arrive, and open requests end.
drain() {
  is_running || return 0
  if is_idle; then
    return 0
  fi
  if ! await "$(field wait.drain)" is_idle_or_recalled; then
    tell_open_requests | journal_lines
  fi
}
tell_open_requests() {
  case $current_requests in
  unknown) emit "Envoy's admin API on port $(admin_port) did not report how many requests were open when the proxy stopped" ;;
  *) emit 'requests were still open when the proxy stopped' ;;
  esac
}
is_idle_or_recalled() {
  is_idle ||
    is_recalled
}
# Whether no request is open, and none has come for a second at least. A count that failed is not zero.
is_idle() {
  # Each request starts the agent: one per second is enough.
  if [ "$(uptime)" = "${idle_asked:-}" ]; then
    return 1
  fi
  idle_asked=$(uptime)
  current_requests=$(count_requests)
  if [ "$current_requests" != "${idle_requests:-}" ]; then
    idle_requests=$current_requests
    idle_since=$(uptime)
  fi
  case $current_requests in
  none | '0 '*) [ "$(uptime)" -ge $((idle_since + 2)) ] ;;
  *) return 1 ;;
  esac
}
# Prints how many requests and connections from others the proxy has open, and had in all. `none`: no Envoy runs.
count_requests() {
  if counted_clusters=$(request_admin clusters 2>/dev/null) && emit "$counted_clusters" | sum_requests; then
    return 0
  elif has_envoy; then
    emit unknown
  else
    emit none
  fi
}
# Fails where no line is one of a cluster, of which any Envoy has some.
sum_requests() {
  awk -F :: '
    NF > 1 { seen = 1 }
    /^inbound[|]/ && $3 == "rq_active" { now += $4 }
    /^inbound[|]/ && $3 == "rq_total" { all += $4 }
    END {
      if (!seen) exit 1
      print now + 0, all + 0
    }'
}
