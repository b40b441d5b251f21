
# Whom a token that istiod takes is for. Also before `carried/token.sh`, which runs without the program.
AUDIENCE=istio-ca
# Succeeds where the file at PATH is a token for istiod and nothing else. Prints what it is instead, and nothing of its content.
is_token() {
  size=$(wc -c <"$1")
  size=$((size)) # without the spaces of some
  parts=$(awk -F . 'END { print (NR > 1 ? NR " lines" : NF " parts") }' "$1")
  if [ "$size" -gt 65536 ]; then
    printf '%s\n' "$size bytes, which is too much for a token"
  elif ! awk 'NR > 1 || !/^[A-Za-z0-9_-]+[.][A-Za-z0-9_-]+[.][A-Za-z0-9_-]+$/ { bad = 1 } END { exit bad || !NR }' "$1"; then
    printf '%s\n' "no token: $size bytes, $parts, where a token has three parts of base64url, dots between them and nothing else"
  elif ! found=$(payload "$1" | audiences); then
    printf '%s\n' "no token: $size bytes, $parts, the second of which is no JSON"
  elif ! printf '%s\n' "$found" | grep -qxF "$AUDIENCE"; then
    found=$(printf %s "${found:-nobody}" | tr '\n' ' ' | tr -c ' -~' '?' | cut -c 1-100)
    printf '%s\n' "a token of $size bytes for the audience $found, and not for $AUDIENCE"
  else
    return 0
  fi
  return 1
}
# The payload of a token, which base64 wants in its own alphabet and with padding.
payload() {
  cut -d . -f 2 "$1" | awk '{ gsub(/-/, "+"); gsub(/_/, "/"); while (length($0) % 4) $0 = $0 "="; print }' | base64 -d 2>/dev/null
}
# Reads JSON and prints the strings of `aud`, one a line. Fails where it is no object.
# Long: it is one program of awk.
audiences() {
  awk '
    { text = text $0 " " }
    END {
      for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (quoted) {
          if (c == "\\") word = word c substr(text, ++i, 1)
          else if (c != "\"") word = word c
          else {
            quoted = 0
            if (at == "aud" && (depth == 1 || (depth == 2 && list))) all = all word "\n"
          }
        } else if (c == "\"") { quoted = 1; word = "" }
        else if (c ~ /[{[]/) {
          if (!depth && (c != "{" || seen++)) wrong = 1
          depth++
          if (depth == 2) list = (c == "[")
        }
        else if (c ~ /[]}]/) { if (--depth < 0) wrong = 1 }
        else if (c == ":" && depth == 1) at = word
        else if (c == "," && depth == 1) at = ""
        else if (!depth && c != " ") wrong = 1
      }
      if (wrong || depth || quoted || !seen) exit 1
      printf "%s", all
    }'
}
