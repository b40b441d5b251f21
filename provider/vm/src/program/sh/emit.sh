
# Does: prints lines, reports refusals, and finds commands.
# Needs: nothing
# Gives: emit refuse have encode
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
