#!/bin/sh
# Does: starts the proxy as its user, in place of sudo. It knows users and groups of this machine only: a directory of them
#   might have to be looked up by name, and names are answered by the proxy, once it runs.
# Needs: nothing
# Gives: the options of sudo that istio-start.sh uses: -E, -s and -u USER
# Owns: nothing
# Undo: nothing to undo
while :; do
  case $1 in
  -E | -s) shift ;;
  -u)
    user=$2
    shift 2
    ;;
  *) break ;;
  esac
done
passwd_field() { awk -F : -v user="$user" -v column="$1" '$1 == user { print $column; exit }' /etc/passwd; }
uid=$(passwd_field 3)
gid=$(passwd_field 4)
HOME=${HOME:-$(passwd_field 6)}
if [ -z "$uid" ]; then
  uid=$(id -u "$user")
  gid=$(id -g "$user")
fi
groups=$(awk -F : -v user="$user" '
  {
    n = split($4, of, ",")
    for (i = 1; i <= n; i++)
      if (of[i] == user) printf ",%s", $3
  }' /etc/group)
export HOME USER="$user" LOGNAME="$user"
exec setpriv --reuid "$uid" --regid "$gid" --groups "$gid$groups" "$@"
