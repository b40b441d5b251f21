
# Packet filter rules: ours, the proxy's, and what of others matters to them.
# What tproxy adds to the routing at each start, and never takes away.
unroute() {
  for family in -4 -6; do
    # Without that rule the table is somebody else's.
    while ip "$family" rule del fwmark 0x539 lookup 133; do ip "$family" route flush table 133; done
  done 2>/dev/null
  :
}
tools() {
  for f in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do ! have "$f-save" || say "$f"; done
  have iptables-nft-save || have iptables-legacy-save ||
    for f in iptables ip6tables; do ! have "$f-save" || say "$f"; done
}
intercepts() { for tool in $(tools | grep "${1:-.}"); do ! "$tool-save" 2>/dev/null | grep -q '^:ISTIO_' || return 0; done; return 1; }
# A global IPv6 address, where Istio made its rules for IPv4 only: as it does if the machine's first address is of IPv4.
bypass() { [ "$(field redirect)" != yes ] || intercepts ip6 || ip -6 -o address show scope global 2>/dev/null | awk '{ sub("/.*", "", $4); print $4; exit }'; }
# Ports whose traffic goes elsewhere before Istio's rules see it, as an engine takes that of a container's.
published() {
  [ "$(field redirect)" != yes ] || for f in $(tools | grep ^iptables); do "$f-save" -t nat 2>/dev/null; done |
    awk '$1 == "-A" && $2 !~ /^(ISTIO|MESH)_/ && / -j DNAT / && !/ -d 127[.]/ && match($0, /--dport [0-9]+/) { print substr($0, RSTART + 8, RLENGTH - 8) }' |
    sort -nu | tr '\n' ' '
}
# Takes away every chain whose name begins with $1, and the jumps to it, in each backend.
sweep() {
  for tool in $(tools); do
    "$tool-save" 2>/dev/null | awk -v name="$1" '
      /^[*]/ { table = $1; old = "" }
      index($1, ":" name) == 1 { chain = substr($1, 2); flush = flush "-F " chain "\n"; old = old "-X " chain "\n" }
      $1 == "-A" && index($2, name) != 1 && index($0, "-j " name) { $1 = "-D"; jumps = jumps $0 "\n" }
      /^COMMIT/ { if (old != "") printf "%s\n%s%s%sCOMMIT\n", table, jumps, flush, old; jumps = flush = "" }' >"$d/sweep"
    [ ! -s "$d/sweep" ] || "$tool-restore" --noflush <"$d/sweep" || return 1
  done
}
# A connection that the kernel does not know yet is redirected in its middle, and dies, unless
# only a SYN can be; sshd's own ports are never the proxy's.
guard() {
  {
    printf '%s\n' '*mangle' ':MESH_TRACK - [0:0]' '-A MESH_TRACK -m conntrack --ctstate NEW' ':MESH_IN - [0:0]'
    for f in $(sshd_ports); do say "-A MESH_IN -p tcp --dport $f -j ACCEPT"; done
    printf '%s\n' COMMIT '*nat' ':MESH_IN - [0:0]' \
      ':MESH_OUT - [0:0]' '-A MESH_IN -p tcp ! --syn -j ACCEPT' '-A MESH_OUT -p tcp ! --syn -j ACCEPT'
    for f in $(sshd_ports); do say "-A MESH_IN -p tcp --dport $f -j ACCEPT" && say "-A MESH_OUT -p tcp --sport $f -j ACCEPT"; done
    say COMMIT
  } >"$S/guard"
  sh -c "$(rules "iptables$backend")" || return 1
  sh -c "$(rules "ip6tables$backend")" 2>/dev/null
  grep -q 1 "$LOOSE" 2>/dev/null || { cat "$LOOSE" >"$S/loose" && say 1 >"$LOOSE"; } 2>/dev/null || :
}
# The commands that put the guard's rules in place, ahead of Istio's; fit for a unit file.
rules() {
  printf '%s' "$1-restore --noflush <$S/guard"
  for jump in 'mangle OUTPUT -j MESH_TRACK' 'mangle PREROUTING -j MESH_IN' 'nat OUTPUT -j MESH_OUT' 'nat PREROUTING -j MESH_IN'; do
    printf '%s' " && { $1 -w -t ${jump%% *} -C ${jump#* } 2>/dev/null || $1 -w -t ${jump%% *} -I ${jump#* }; }"
  done
}
# Configured, listening, and in use now: socket activation hides sshd behind systemd. High local
# ports in use are the far ends of tunnels.
sshd_ports() {
  {
    sshd -T 2>/dev/null | awk '$1 == "port" { print $2 }'
    systemctl show -p Listen ssh.socket sshd.socket 2>/dev/null | sed -n 's/.*:\([0-9]*\) (Stream).*/\1/p'
    ss -Htanp | awk '/sshd|dropbear/ { sub(/.*:/, "", $4); if ($1 == "LISTEN" || $4 < 32768) print $4 }'
  } | grep -x '[0-9]*' | sort -un
}
