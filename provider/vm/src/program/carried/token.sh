# Fetches a new token for the proxy. The agent reads the file at each call, so nothing is restarted.
# `sh/closed.sh` and `sh/jwt.sh` stand before it.
set -u
say() { printf '%s\n' "$*"; }
# It fails where the message cannot be written, too.
refuse() {
  say "$*" >&2
  return 1
}
umask 077
export LC_ALL=C
folder=/var/run/secrets/tokens
new=$(mktemp /run/mesh-vm-token.XXXXXX) || exit 1
trap 'rm -f "$new"' EXIT
/bin/sh /var/lib/istio/token-command >"$new" || exit 1
came=$(is_token "$new") || refuse "what token-command printed is $came" || exit 1
[ -d "${folder%/*}" ] || grant "${folder%/*}" || exit 1
# That folder is the proxy's, which could exchange what is in it for a link at any time: so it is written as that
# user, who can reach nothing more by it.
# shellcheck disable=SC2016 # the inner shell expands it
setpriv --reuid istio-proxy --regid istio-proxy --init-groups /bin/sh -c '
  mkdir -p "$1" && rm -rf "$1/istio-token.mesh" && cat >"$1/istio-token.mesh" && mv -fT "$1/istio-token.mesh" "$1/istio-token"
' sh "$folder" <"$new"
