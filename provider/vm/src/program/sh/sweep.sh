
# Does: removes packet filter chains and the jumps to them.
# Needs: emit
# Gives: iptables_tools sweep_chains
# Owns: sweep in the run's directory; it also stands in `carried/proxy.sh`, which runs without the program
# Undo: a start of the proxy makes Istio's chains again
# The chains that Istio's agent makes: others may begin a name the same way.
ISTIO_CHAINS='ISTIO_INBOUND ISTIO_IN_REDIRECT ISTIO_REDIRECT ISTIO_OUTPUT ISTIO_OUTPUT_DNS ISTIO_DIVERT ISTIO_TPROXY ISTIO_DROP'
# Every awk program that reads rules begins with this: `target` returns the chain that a rule of `-save` jumps to. A comment
# may hold the text of a jump.
AWK_RULES='
  function set(names, into, list, n) {
    n = split(names, list, " ")
    while (n) into[list[n--]] = 1
  }
  function target(rule, word, n, i) {
    gsub(/"([^"\\]|\\.)*"/, "", rule)
    n = split(rule, word, " ")
    for (i = 3; i < n; i++)
      if (word[i] == "-j" || word[i] == "-g") return word[i + 1]
    return ""
  }'
iptables_tools() {
  for backend_tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
    if have "$backend_tool-save"; then
      emit "$backend_tool"
    fi
  done
  if have iptables-nft-save || have iptables-legacy-save; then
    return 0
  fi
  for plain_tool in iptables ip6tables; do
    if have "$plain_tool-save"; then
      emit "$plain_tool"
    fi
  done
}
# sweep_chains CHAINS [TABLE]: deletes these chains and the jumps to them, in each backend.
sweep_chains() {
  for sweep_tool in $(iptables_tools); do
    "$sweep_tool-save" 2>/dev/null | deletions "$1" "${2:-}" >"$run_dir/sweep"
    [ -s "$run_dir/sweep" ] || continue
    restore_rules "$sweep_tool" "$run_dir/sweep" || return 1
  done
}
# deletions CHAINS TABLE: prints input for -restore. A jump is deleted by the text that the tool prints, for quotes and
# double spaces of a comment are part of it.
deletions() {
  awk -v names="$1" -v only="$2" "$AWK_RULES"'
    BEGIN { set(names, chains) }
    /^[*]/ {
      table = $1
      jumps = flush = old = ""
    }
    /^:/ && substr($1, 2) in chains {
      chain = substr($1, 2)
      flush = flush "-F " chain "\n"
      old = old "-X " chain "\n"
    }
    /^-A / && !($2 in chains) && target($0) in chains {
      sub(/^-A/, "-D")
      jumps = jumps $0 "\n"
    }
    /^COMMIT/ {
      if (old != "" && (only == "" || table == "*" only)) printf "%s\n%s%s%sCOMMIT\n", table, jumps, flush, old
    }'
}
# restore_rules TOOL FILE: waits for the lock, which others hold for a moment. Versions before 1.6.2 cannot wait.
restore_rules() {
  timeout 60 "$1-restore" -w --noflush <"$2" ||
    "$1-restore" --noflush <"$2"
}
