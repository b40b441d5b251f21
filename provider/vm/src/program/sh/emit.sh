
# Does: prints lines, reports refusals, and finds commands.
# Needs: nothing
# Gives: emit line_of refuse have encode
# Owns: nothing
# Undo: nothing to undo
emit() { printf '%s\n' "$*"; }
# line_of FILE: prints the first line without its end, by the shell alone. Fails where there is no file.
line_of() {
  [ -e "$1" ] || return 1
  line_text=
  # A line without an end is one, too.
  IFS= read -r line_text <"$1"
  printf %s "$line_text"
}
# refuse WORDS…: prints why a step fails, and fails itself, even where the message cannot be written.
refuse() {
  emit "$*" >&2
  return 1
}
have() { command -v "$1" >/dev/null 2>&1; }
encode() { base64 | tr -d '\n'; }
