
# The state folder: what is found there is believed, and run at boot, only where nobody but root can have put it there.
# Istio's guide gives the folder above to the proxy's user, who could put another one in its place.
# Prints what is wrong with it and the command that helps; nothing where it is root's alone, or none.
distrusted() {
  set -- "${STATE:-$S}"
  if ! firm "${1%/*}"; then
    say "others than root can exchange ${1%/*}: move it to where every folder above is root's"
  elif [ -h "$1" ] || { [ -e "$1" ] && ! private "$1"; }; then
    say "$1 is not root's alone. Run: chown -hR root:root $1 && chmod 0700 $1, if only root has written there; else: rm -rf $1"
  fi
}
private() {
  # shellcheck disable=SC2046 # two numbers
  set -- $(stat -c '%u %a' "$1")
  case $1 in 0 | "$ROOT") [ "$2" = 700 ] ;; *) return 1 ;; esac
}
# Goes on without what is there, if it is not to be believed. `suspect` is the folder, then.
heed() {
  STATE=$S suspect=
  if [ -n "$(distrusted)" ]; then suspect=$S
  elif [ -e "$S" ] && ! closed "${S%/*}"; then suspect=${S%/*}; fi
  [ -z "$suspect" ] || S=$d/nothing
}
# Makes the folder above root's, before anything below it is read or written. Whose it was is kept in $d/above.
reclaim() {
  f=${S%/*}
  [ -e "$f" ] || (umask 022 && mkdir -p "$f") || return 1
  ! closed "$f" || return 0
  firm "$f" || return 1
  stat -L -c '%u:%g %a' "$f" >"$d/above" && chown root:root "$f" && chmod 0755 "$f"
}
# Whose the folder above was before the first run. Older versions have it among the modes.
owned_before() {
  cat "$S/found/above" 2>/dev/null || awk -v path="${S%/*}" '$3 == path { print $1, $2; exit }' "$S/found/modes" 2>/dev/null
}
# give_back OWNER MODE: when there is nothing of root's in it any more.
give_back() {
  if [ -z "${2:-}" ] || [ ! -d "${S%/*}" ]; then return 0; fi
  chown "$1" "${S%/*}" && chmod "$2" "${S%/*}"
}
