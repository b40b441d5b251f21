
# Does: the steps ask and token: gets the token from the caller and puts it in its place.
# Needs: base closed emit follow jwt proxyfiles set users
# Gives: do_ask is_answered do_token remove_token undo_token
# Owns: the token and its directory; key.pem and cert-chain.pem, which are removed
# Undo: undo_token restores the token from token-before, and the certificate from the set before
do_ask() {
  journal want token
  last_followed=$(uptime)
  await "$(field wait.token)" is_answered_or_deserted
  if [ -e "$run_dir/refused" ]; then
    refuse "what came as the token is $(cat "$run_dir/refused")"
    return
  fi
  if [ ! -s "$run_dir/token" ]; then
    refuse 'no token came'
    return
  fi
  try_token_command
}
# A proxy needs the command once this token has expired, when nobody looks: so it must print a token now.
try_token_command() {
  for tried_file in "$run_dir"/in/file.*.path; do
    if [ "$(line_of "$tried_file")" = "$TOKEN_COMMAND" ]; then
      run_token_command "${tried_file%.path}.content"
      return
    fi
  done
}
# run_token_command FILE: as its unit does. Its calls are not intercepted.
run_token_command() {
  as_proxy_group timeout 60 /bin/sh "$1" </dev/null >"$run_dir/tried" 9>&-
  tried_status=$?
  if [ "$tried_status" != 0 ]; then
    tried_problem="ended with status $tried_status"
  elif ! tried_problem=$(is_token "$run_dir/tried"); then
    tried_problem="printed $tried_problem"
  fi
  rm -f "$run_dir/tried"
  if [ -n "$tried_problem" ]; then
    journal hop token-command
    refuse "the token command $tried_problem"
  fi
}
is_answered_or_deserted() {
  is_answered ||
    is_deserted
}
is_answered() {
  [ -s "$run_dir/token" ] ||
    [ -e "$run_dir/refused" ] ||
    [ -e "$run_dir/revert" ]
}
# A provider that lost its connection comes back soon, or never.
is_deserted() {
  if is_followed "$run_dir"; then
    last_followed=$(uptime)
  fi
  [ "$(uptime)" -ge $((last_followed + RECONNECT_WAIT)) ]
}
# An old key and certificate would take precedence over the new token; the set before has them.
do_token() {
  rm -f "$CERTS_DIR/key.pem" "$CERTS_DIR/cert-chain.pem"
  grant_dirs "${TOKEN_FILE%/*/*}" &&
    prepare_token_dir &&
    write_as_proxy "$run_dir/token" "$TOKEN_FILE" 0600
}
# The directory above is the proxy's, as Istio's unit creates it at each start: so is this one, and what is done in it.
# shellcheck disable=SC2016 # the inner shell expands it
prepare_token_dir() {
  token_dir=${TOKEN_FILE%/*}
  if [ -h "$token_dir" ]; then
    rm -f "$token_dir" || return 1
  fi
  # One of root's, as people create it by hand, is removed where nothing else is in it.
  if [ -d "$token_dir" ] && ! as_proxy_unlocked test -w "$token_dir"; then
    remove_token
    rmdir "$token_dir" || return 1
  fi
  as_proxy_unlocked sh -c 'umask 077 && mkdir -p "$1"' sh "$token_dir"
}
remove_token() { in_dir "${TOKEN_FILE%/*}" rm -f "./${TOKEN_FILE##*/}"; }
undo_token() {
  if [ -s "$runs_dir/token-before" ]; then
    prepare_token_dir || return 1
    write_as_proxy "$runs_dir/token-before" "$TOKEN_FILE" 0600 || return 1
  else
    remove_token
  fi
  restore_set "$state_dir/run/keep"
}
