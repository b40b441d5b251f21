
# Does: reads packet filter rules: this program's, the proxy's, and what of others affects them.
# Needs: emit flush sweep
# Gives: remove_tproxy_routes list_jumps jumps_by_family list_reference_jumps
# Owns: nothing; it removes what tproxy adds to the routing
# Undo: a start of the proxy adds it again
# tproxy adds a rule and a table at each start, and never removes them.
remove_tproxy_routes() {
  for route_family in -4 -6; do
    # Without that rule the table is somebody else's.
    while ip "$route_family" rule del fwmark 0x539 lookup 133; do
      ip "$route_family" route flush table 133
    done
  done 2>/dev/null
  return 0
}
# Prints the rules that each tool has, behind a line `# tool NAME`.
list_rules() {
  for rules_tool in $(iptables_tools); do
    emit "# tool $rules_tool"
    "$rules_tool-save" 2>/dev/null
  done
}
list_jumps() { list_rules | jumps_of | sort -u; }
# Where traffic is led into a chain of Istio or of this program, as `BACKEND/TABLE/FROM/TO`, with a 6 in front for IPv6. A
# chain without rules does nothing; neither does one whose last jump, to the chain with the proxy's port, leads to none.
jumps_of() {
  awk -v names="$OUR_CHAINS $ISTIO_CHAINS" "$AWK_RULES"'
    BEGIN {
      set(names, known)
      set("PREROUTING INPUT FORWARD OUTPUT POSTROUTING", built_in)
      set("ISTIO_OUTPUT/ISTIO_REDIRECT ISTIO_INBOUND/ISTIO_IN_REDIRECT ISTIO_INBOUND/ISTIO_DIVERT ISTIO_INBOUND/ISTIO_TPROXY", last)
    }
    /^# tool / {
      tool = $3
      sub(/^iptables-?/, "", tool)
      sub(/^ip6tables-?/, "6", tool)
    }
    /^[*]/ { table = substr($1, 2); n = 0; split("", ruled); split("", useless) }
    /^-A / {
      ruled[$2] = 1
      chain = target($0)
      if (chain in known) { n++; from[n] = $2; to[n] = chain }
    }
    /^COMMIT/ {
      for (i = 1; i <= n; i++)
        if (((from[i] "/" to[i]) in last) && !(to[i] in ruled)) useless[from[i]] = 1
      for (i = 1; i <= n; i++)
        if ((from[i] in built_in) && (to[i] in ruled) && !(to[i] in useless)) print tool "/" table "/" from[i] "/" to[i]
    }'
}
# The same whichever backend holds them: an update of the machine may bring another.
jumps_by_family() { list_jumps | by_family; }
by_family() { sed -e 's:^6[^/]*/:6/:' -e t -e 's:^[^/]*/:4/:' | sort -u; }
# What later runs compare the rules with: jumps and their order, from one reading of the rules.
list_reference_jumps() {
  reference_rules=$(list_rules)
  emit "$reference_rules" | jumps_of | by_family
  emit "$reference_rules" | order_of | sort -u
}
# Where a packet that arrives is led into a chain of Istio's and into one of others', as `FAMILY/nat/FROM/FIRST/SECOND`. The
# first one takes it: so it matters where Docker puts its jump when it starts again, which is behind all others.
order_of() {
  awk -v names="$OUR_CHAINS" -v istios="$ISTIO_CHAINS" "$AWK_RULES"'
    BEGIN {
      set(names, ours)
      set(istios, known)
    }
    /^# tool / {
      family = $3 ~ /^ip6/ ? 6 : 4
      n = 0
      split("", chains)
    }
    /^[*]/ { table = $1 }
    /^:/ && $2 == "-" { chains[substr($1, 2)] = 1 }
    table == "*nat" && /^-A PREROUTING / {
      chain = target($0)
      if (!(chain in chains) || chain in ours) next
      for (i = 1; i <= n; i++)
        if ((before[i] in known) != (chain in known)) print family "/nat/PREROUTING/" before[i] "/" chain
      before[++n] = chain
    }'
}
