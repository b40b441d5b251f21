#!/bin/sh
# Fetches the proxy's token anew. The agent reads the file at each call, so nothing is restarted.
set -u
umask 077
folder=/var/run/secrets/tokens
new=$(mktemp /run/mesh-vm-token.XXXXXX) || exit 1
trap 'rm -f "$new"' EXIT
/bin/sh /var/lib/istio/token-command >"$new" || exit 1
grep -q '^[A-Za-z0-9_-]*[.][A-Za-z0-9_-]*[.][A-Za-z0-9_-]*$' "$new" || { echo 'token-command printed no token' >&2 && exit 1; }
# The folder is the proxy's: a link that it left in the way goes, and is never written through.
[ ! -h "$folder" ] || rm -f "$folder"
install -d -o istio-proxy -g istio-proxy -m 0755 "${folder%/*}" && install -d -o istio-proxy -g istio-proxy -m 0700 "$folder" || exit 1
rm -rf "$folder/istio-token.mesh" && install -o istio-proxy -g istio-proxy -m 0600 "$new" "$folder/istio-token.mesh" &&
  mv -fT "$folder/istio-token.mesh" "$folder/istio-token"
