
# Does: decides whether a text is a token that istiod accepts.
# Needs: emit
# Gives: is_token
# Owns: nothing; it also stands in `carried/token.sh`, which runs without the program
# Undo: nothing to undo
AUDIENCE=istio-ca
# is_token PATH: succeeds where the file holds a token for istiod and nothing else. Prints what it is instead, and nothing of
# its content.
is_token() {
  token_size=$(wc -c <"$1")
  # Without the spaces that some print.
  token_size=$((token_size))
  token_parts=$(awk -F . 'END { print (NR > 1 ? NR " lines" : NF " parts") }' "$1")
  if [ "$token_size" -gt 65536 ]; then
    emit "$token_size bytes, which is too much for a token"
  elif ! has_three_parts "$1"; then
    emit "no token: $token_size bytes, $token_parts, where a token has three parts of base64url, dots between them and nothing else"
  elif ! token_audience=$(token_payload "$1" | token_audiences); then
    emit "no token: $token_size bytes, $token_parts, the second of which is no JSON"
  elif ! emit "$token_audience" | grep -qxF "$AUDIENCE"; then
    token_audience=$(printf %s "${token_audience:-nobody}" | tr '\n' ' ' | tr -c ' -~' '?' | cut -c 1-100)
    emit "a token of $token_size bytes for the audience $token_audience, and not for $AUDIENCE"
  else
    return 0
  fi
  return 1
}
has_three_parts() {
  awk '
    NR > 1 || !/^[A-Za-z0-9_-]+[.][A-Za-z0-9_-]+[.][A-Za-z0-9_-]+$/ { bad = 1 }
    END { exit bad || !NR }' "$1"
}
# The payload of a token, which base64 wants in its own alphabet and with padding.
token_payload() {
  cut -d . -f 2 "$1" |
    awk '{ gsub(/-/, "+"); gsub(/_/, "/"); while (length($0) % 4) $0 = $0 "="; print }' |
    base64 -d 2>/dev/null
}
# Reads JSON and prints the strings of `aud`, one a line. Fails where it is not an object.
# Long: it is one program of awk.
token_audiences() {
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
