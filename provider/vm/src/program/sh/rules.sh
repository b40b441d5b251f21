
# Packet filter rules: ours, the proxy's, and what of others matters to them.
# What tproxy adds to the routing at each start, and never takes away.
unroute() {
  for family in -4 -6; do
    # Without that rule the table is somebody else's.
    while ip "$family" rule del fwmark 0x539 lookup 133; do ip "$family" route flush table 133; done
  done 2>/dev/null
  :
}
# Where traffic is led into a chain of Istio or of ours, as `BACKEND/TABLE/FROM/TO`, with a 6 in front for IPv6. A chain
# without rules does nothing; neither does one whose last jump, to the chain with the proxy's port, leads to none.
jumps() {
  for tool in $(tools); do
    "$tool-save" 2>/dev/null | awk -v tool="$tool" -v names="$OURS $ISTIOS" "$AWK"'
      BEGIN {
        sub(/^iptables-?/, "", tool); sub(/^ip6tables-?/, "6", tool)
        set(names, known); set("PREROUTING INPUT FORWARD OUTPUT POSTROUTING", built_in)
        set("ISTIO_OUTPUT/ISTIO_REDIRECT ISTIO_INBOUND/ISTIO_IN_REDIRECT ISTIO_INBOUND/ISTIO_DIVERT ISTIO_INBOUND/ISTIO_TPROXY", last)
      }
      /^[*]/ { table = substr($1, 2); n = 0; split("", ruled); split("", useless) }
      /^-A / {
        ruled[$2] = 1
        chain = target($0)
        if (chain in known) { n++; from[n] = $2; to[n] = chain }
      }
      /^COMMIT/ {
        for (i = 1; i <= n; i++) if (((from[i] "/" to[i]) in last) && !(to[i] in ruled)) useless[from[i]] = 1
        for (i = 1; i <= n; i++) if ((from[i] in built_in) && (to[i] in ruled) && !(to[i] in useless)) print tool "/" table "/" from[i] "/" to[i]
      }'
  done | sort -u
}
# The same whichever backend holds them: an update of the machine may bring another.
families() { jumps | sed -e 's:^6[^/]*/:6/:' -e t -e 's:^[^/]*/:4/:' | sort -u; }
# Where a packet that arrives is led into a chain of Istio's and into one of others', as `FAMILY/nat/FROM/FIRST/SECOND`.
# The first one has it: so it matters where Docker puts its jump when it starts again, which is behind all others.
order() {
  for tool in $(tools); do
    "$tool-save" 2>/dev/null | awk -v tool="$tool" -v names="$OURS" -v istios="$ISTIOS" "$AWK"'
      BEGIN { family = tool ~ /^ip6/ ? 6 : 4; set(names, ours); set(istios, known) }
      /^[*]/ { table = $1 }
      /^:/ && $2 == "-" { chains[substr($1, 2)] = 1 }
      table == "*nat" && /^-A PREROUTING / {
        chain = target($0)
        if (!(chain in chains) || chain in ours) next
        for (i = 1; i <= n; i++) if ((before[i] in known) != (chain in known)) print family "/nat/PREROUTING/" before[i] "/" chain
        before[++n] = chain
      }'
  done | sort -u
}
# Of the jumps that the last bootstrap left, those that are gone, and those that come in the opposite order. Where no
# traffic is IPv6, none is missed there.
lost() {
  [ -e "$S/jumps" ] || return 0
  { { families; order; } | sed 's/^/is /'; sed 's/^/was /' "$S/jumps"; } |
    awk '
      $1 == "is" { is[$2] = 1; next }
      split($2, part, "/") < 5 { if (!($2 in is)) print $2; next }
      (part[1] "/" part[2] "/" part[3] "/" part[5] "/" part[4]) in is { print $2 }' |
    if [ -n "$(global6)" ]; then cat; else grep -v ^6; fi
}
# Whether outbound traffic of this family, 4 or 6, is led to the proxy.
intercepts() { families | grep -qx "$1/nat/OUTPUT/ISTIO_OUTPUT"; }
# Whether what arrives is led to the proxy, too, and nothing is missing of what the last bootstrap left.
intact() { intercepts 4 && families | grep -qE '^4/(nat|mangle)/PREROUTING/ISTIO_INBOUND$' && [ -z "$(lost)" ]; }
global6() { ip -6 -o address show scope global 2>/dev/null | awk '{ sub("/.*", "", $4); print $4; exit }'; }
# A global IPv6 address, where Istio made its rules for IPv4 only: as it does if the machine's first address is of IPv4.
bypass() { [ "$(field redirect)" != yes ] || intercepts 6 || global6; }
# Ports whose traffic goes elsewhere before Istio's rules see it, as an engine takes that of a container's.
published() {
  [ "$(field redirect)" != yes ] || for f in $(tools | grep ^iptables); do "$f-save" -t nat 2>/dev/null; done |
    awk -v names="$OURS $ISTIOS" "$AWK"'
      BEGIN { set(names, known) }
      $1 == "-A" && !($2 in known) && target($0) == "DNAT" && !/ -d 127[.]/ && match($0, /--dport [0-9]+/) { print substr($0, RSTART + 8, RLENGTH - 8) }' |
    sort -nu | tr '\n' ' '
}
