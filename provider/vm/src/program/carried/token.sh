
# Does: fetches a new token for the proxy by the user's command. The agent reads the file at each call, so nothing is
#   restarted.
# Needs: emit closed jwt, which stand before it
# Gives: nothing; a service and a timer of systemd run it
# Owns: the token and its directory
# Undo: the step place removes the service and the timer with the files of the bundle
set -u
umask 077
export LC_ALL=C
token_dir=/var/run/secrets/tokens
new_token=$(mktemp /run/mesh-vm-token.XXXXXX) || exit 1
trap 'rm -f "$new_token"' EXIT
/bin/sh /var/lib/istio/token-command >"$new_token" || exit 1
if ! token_problem=$(is_token "$new_token"); then
  refuse "what token-command printed is $token_problem"
  exit 1
fi
if [ ! -d "${token_dir%/*}" ]; then
  grant_dirs "${token_dir%/*}" || exit 1
fi
# The directory is the proxy's, which could replace what is in it by a link at any time: so it is written as that user, who
# can reach nothing more by it.
# shellcheck disable=SC2016 # the inner shell expands it
setpriv --reuid istio-proxy --regid istio-proxy --init-groups /bin/sh -c '
  mkdir -p "$1" &&
    rm -rf "$1/istio-token.mesh" &&
    cat >"$1/istio-token.mesh" &&
    mv -fT "$1/istio-token.mesh" "$1/istio-token"
' sh "$token_dir" <"$new_token"
