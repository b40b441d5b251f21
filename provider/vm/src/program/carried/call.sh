
# Does: starts the program as an SSH session would, and reports to people what it answers.
# Needs: emit install
# Gives: call emit_pair
# Owns: pipes in the temporary directory
# Undo: each is removed when its call has ended
# Text for a terminal, which nothing in it can command.
emit_plain() {
  printf %s "$1" | base64 -d 2>/dev/null | tr -c '\n -~' '?' &&
    emit ''
}
# call VERB DATA: its standard input stays open, for the token.
call() {
  call_verb=$1
  mkfifo "$work_dir/$1" || return 1
  # shellcheck disable=SC2016,SC2094 # expanded by the inner shell; the pipe is read and written on purpose
  /bin/sh -c 'read -r program; eval "$(printf %s "$program" | base64 -d | gzip -dc)"; main' <"$work_dir/$1" | {
    exec 3>"$work_dir/$1"
    emit_input "$2" >&3
    listen
  }
  call_status=$?
  rm -f "$work_dir/$1"
  return "$call_status"
}
emit_input() {
  emit_program | gzip -c | encode
  emit ''
  cat "$1"
  emit_pair run "$run"
  emit_pair now "$(date +%s)"
  emit_boot_wait
  emit end
}
# Through a pipe: gzip warns of a file as old as those of an archive.
emit_program() { cat "$archive_dir/mesh-vm.sh"; }
emit_pair() { emit "$1 $(printf %s "$2" | encode)"; }
# A unit of cloud-init must not wait for cloud-init.
emit_boot_wait() {
  if grep -q /cloud- "$CGROUP_FILE"; then
    emit_pair wait.boot 0
  fi
}
# Reports what the program answers. The status: 0 it succeeded, 3 it waits for the verdict, 1 anything else.
listen() {
  outcome=1
  while read -r key first rest; do
    case $key in
    step) report_step "$first" ;;
    undo) emit "  undoing: $first" ;;
    failed) emit "  failed: $first" ;;
    bad) emit "    $first: $(emit_plain "$rest")" ;;
    unknown) emit "    $first, not checked: $(emit_plain "$rest")" ;;
    line) emit "    $(emit_plain "$first")" ;;
    left) emit "  left behind: $(emit_plain "$first")" ;;
    want) emit_token >&3 || revert_without_token ;;
    report) report_end "$first" "$rest" ;;
    esac
  done
  return "$outcome"
}
# A commit answers with the steps of the run again.
report_step() {
  if [ "$call_verb" != commit ]; then
    emit "  $1"
  fi
}
report_end() {
  case $1 in
  committed)
    outcome=0
    emit 'this machine is a member of the mesh'
    ;;
  removed)
    outcome=0
    emit 'this machine is out of the mesh'
    ;;
  awaits) outcome=3 ;;
  reverted | untouched) emit 'this machine is as it was before' ;;
  foreign) emit "the proxy on this machine belongs to $(emit_plain "$2")" ;;
  *) emit "it ended with: $1 $2" ;;
  esac
}
