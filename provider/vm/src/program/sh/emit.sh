
# Does: prints lines, reports refusals, and finds commands.
# Needs: nothing
# Gives: emit refuse have encode emit_text
# Owns: nothing
# Undo: nothing to undo
emit() { printf '%s\n' "$*"; }
# refuse WORDS…: prints why a step fails, and fails itself, even where the message cannot be written.
refuse() {
  emit "$*" >&2
  return 1
}
have() { command -v "$1" >/dev/null 2>&1; }
encode() { base64 | tr -d '\n'; }
# emit_text KEY TEXT: with the text in base64, or nothing where there is no text.
emit_text() {
  if [ -n "$2" ]; then
    emit "$1 $(printf %s "$2" | encode)"
  fi
}
