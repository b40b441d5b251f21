#!/bin/sh
# Makes this machine a member of an Istio mesh, by the program and the data beside this file: the same that Terraform's
# provider `mesh` would have sent over SSH.
#
#   sh install.sh               joins the mesh, or leaves the machine as it was
#   sh install.sh join TRIES    the same, again and again until it succeeds, also after a reboot
#   sh install.sh remove        takes this machine out of the mesh
#
# It must run as root. It reports what fails, and its exit code is 1 then.
#
# Does: sets how the shell behaves and where everything lies; `call.sh` and `join.sh` stand behind it.
# Needs: nothing
# Gives: the variables below
# Owns: a temporary directory
# Undo: the directory is removed at the end
set -u
umask 077
export LC_ALL=C
archive_dir=$(cd "$(dirname "$0")" && pwd) || exit 1
work_dir=$(mktemp -d) || exit 1
trap 'rm -rf "$work_dir"' EXIT
trap 'exit 1' HUP INT TERM
UNITS_DIR=/etc/systemd/system
JOIN_UNIT=mesh-vm-join.service
CGROUP_FILE=/proc/self/cgroup
