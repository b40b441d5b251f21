
# Does: compares packet filter rules with those that the last bootstrap left, and finds traffic that bypasses them.
# Needs: base emit rules sweep
# Gives: list_lost_jumps is_intact ipv6_bypass published_ports
# Owns: nothing
# Undo: nothing to undo: it reads only
# Prints those jumps of the last bootstrap that are gone, and those that come in the opposite order. Where no traffic is IPv6,
# none of it is missed.
list_lost_jumps() {
  [ -e "$state_dir/jumps" ] || return 0
  compare_jumps |
    if [ -n "$(global_ipv6)" ]; then
      cat
    else
      grep -v ^6
    fi
}
compare_jumps() {
  {
    list_reference_jumps | sed 's/^/is /'
    sed 's/^/was /' "$state_dir/jumps"
  } | awk '
    $1 == "is" {
      is[$2] = 1
      next
    }
    split($2, part, "/") < 5 {
      if (!($2 in is)) print $2
      next
    }
    (part[1] "/" part[2] "/" part[3] "/" part[5] "/" part[4]) in is { print $2 }'
}
# Whether all IPv4 traffic is redirected to the proxy, and nothing is missing of what the last bootstrap left.
is_intact() {
  intact_jumps=$(jumps_by_family)
  emit "$intact_jumps" | grep -qx 4/nat/OUTPUT/ISTIO_OUTPUT || return 1
  emit "$intact_jumps" | grep -qE '^4/(nat|mangle)/PREROUTING/ISTIO_INBOUND$' || return 1
  [ -z "$(list_lost_jumps)" ]
}
global_ipv6() {
  ip -6 -o address show scope global 2>/dev/null |
    awk '{ sub("/.*", "", $4); print $4; exit }'
}
# Prints a global IPv6 address, where Istio made its rules for IPv4 only: it does so if the machine's first address is IPv4.
ipv6_bypass() {
  if [ "$(field redirect)" = yes ] && ! jumps_by_family | grep -qx 6/nat/OUTPUT/ISTIO_OUTPUT; then
    global_ipv6
  fi
}
# Prints ports whose traffic goes elsewhere before Istio's rules see it, as that of a container that an engine publishes.
published_ports() {
  [ "$(field redirect)" = yes ] || return 0
  for nat_tool in $(iptables_tools | grep ^iptables); do
    "$nat_tool-save" -t nat 2>/dev/null
  done |
    awk -v names="$OUR_CHAINS $ISTIO_CHAINS" "$AWK_RULES"'
      BEGIN { set(names, known) }
      $1 != "-A" || $2 in known || target($0) != "DNAT" || / -d 127[.]/ { next }
      match($0, /--dport [0-9]+/) { print substr($0, RSTART + 8, RLENGTH - 8) }' |
    sort -nu |
    tr '\n' ' '
}
