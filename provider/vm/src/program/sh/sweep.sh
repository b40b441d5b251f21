
# Takes packet filter rules away. Also before `carried/proxy.sh`, which runs without the program.
# What Istio's agent makes: others may begin a name likewise.
ISTIOS='ISTIO_INBOUND ISTIO_IN_REDIRECT ISTIO_REDIRECT ISTIO_OUTPUT ISTIO_OUTPUT_DNS ISTIO_DIVERT ISTIO_TPROXY ISTIO_DROP'
# What every awk program below begins with: `target` returns the chain that a rule of `-save` jumps to. A comment may
# hold the text of a jump.
AWK='
  function set(names, into, list, n) { n = split(names, list, " "); while (n) into[list[n--]] = 1 }
  function target(rule, word, n, i) {
    gsub(/"([^"\\]|\\.)*"/, "", rule)
    n = split(rule, word, " ")
    for (i = 3; i < n; i++) if (word[i] == "-j" || word[i] == "-g") return word[i + 1]
    return ""
  }'
tools() {
  for f in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do ! have "$f-save" || say "$f"; done
  have iptables-nft-save || have iptables-legacy-save ||
    for f in iptables ip6tables; do ! have "$f-save" || say "$f"; done
}
# sweep CHAINS [TABLE]: deletes these chains and the jumps to them, in each backend. A jump is deleted by the text that
# the tool prints, for quotes and double spaces of a comment are part of it.
sweep() {
  for tool in $(tools); do
    "$tool-save" 2>/dev/null | awk -v names="$1" -v only="${2:-}" "$AWK"'
      BEGIN { set(names, chains) }
      /^[*]/ { table = $1; jumps = flush = old = "" }
      /^:/ && substr($1, 2) in chains { chain = substr($1, 2); flush = flush "-F " chain "\n"; old = old "-X " chain "\n" }
      /^-A / && !($2 in chains) && target($0) in chains { sub(/^-A/, "-D"); jumps = jumps $0 "\n" }
      /^COMMIT/ { if (old != "" && (only == "" || table == "*" only)) printf "%s\n%s%s%sCOMMIT\n", table, jumps, flush, old }' >"$d/sweep"
    [ ! -s "$d/sweep" ] || restore_rules "$tool" "$d/sweep" || return 1
  done
}
# restore_rules TOOL FILE: others hold the lock for a moment, so it is waited for. Before version 1.6.2 nothing can wait.
restore_rules() { timeout 60 "$1-restore" -w --noflush <"$2" || "$1-restore" --noflush <"$2"; }
