# mesh-vm: joins this machine to an Istio mesh, observes it, or takes it out again.
#
# /bin/sh reads it from standard input and calls `main`. Input: lines `key =text` or `key base64`, then `end`; each value
# becomes a file, so that no value is ever a word of a script. Output: lines `key words…` between `begin RUN` and
# `end RUN`; free text in them is base64. `protocol.rs` lists every key, word, report and step.
#
#   observe check            read only
#   bootstrap remove         a worker does it; this process only follows the worker's journal
#   result commit revert     follow a worker that another connection started
#
# Does: sets how the shell behaves, where everything lies on the VM, and the limits.
# Needs: nothing
# Gives: the variables below
# Owns: nothing; the paths are described where they are written
# Undo: nothing to undo
set -u
umask 077
export LC_ALL=C
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# One directory for each run, on tmpfs: input, token, journal.
runs_dir=/run/mesh-vm
# What survives a reboot: owner, undo log, the last good set, what was there before the first run.
state_dir=/var/lib/istio/mesh
DROP_IN_DIR=/etc/systemd/system/istio.service.d
HOSTS_FILE=/etc/hosts
# Where Istio's agent looks for its settings: the package makes a link to /var/lib/istio, unless something is there.
ETC_DIR=/etc/istio
CERTS_DIR=/etc/certs
ENVOY_DIR=/var/lib/istio/envoy
BIN_DIR=/usr/local/bin
LOG_DIR=/var/log/istio
TOKEN_FILE=/var/run/secrets/tokens/istio-token
TOKEN_COMMAND=/var/lib/istio/token-command
TOKEN_REFRESH=/var/lib/istio/mesh-vm-token
SDS_DIR=/var/run/secrets/workload-spiffe-uds
CONNTRACK_LOOSE=/proc/sys/net/netfilter/nf_conntrack_tcp_loose
CONTAINER_ID_FILE=/run/istio-proxy.cid
CLOUD_INIT_DIR=/run/cloud-init
LOGROTATE_FILE=/etc/logrotate.d/mesh-vm
UNITS_DIR=/etc/systemd/system
UNDO_UNIT=mesh-vm-undo.service
TOKEN_UNIT=mesh-vm-token
PROC_DIR=/proc
# At most so many bytes of a file are read.
MAX_FILE_BYTES=1048576
# At most so large is a package, in the shell's blocks of 512 or 1024 bytes.
MAX_PACKAGE_BLOCKS=4194304
# Seconds to wait for another package manager.
PACKAGE_LOCK_WAIT=120
# Seconds to wait for a provider that lost its connection.
RECONNECT_WAIT=45
# Seconds after its last heartbeat until a provider counts as gone.
HEARTBEAT_WAIT=10
# Directories of Istio's package, of the agent and of this program that no package manager removes. Inner ones come first.
OWNED_DIRS="$ETC_DIR/config $ETC_DIR/proxy $ETC_DIR $CERTS_DIR $LOG_DIR ${TOKEN_FILE%/*} $SDS_DIR ${TOKEN_FILE%/*/*} \
/var/lib/istio/bin /var/lib/istio/config /var/lib/istio/envoy /var/lib/istio/proxy /var/lib/istio $DROP_IN_DIR"
STEPS='check stage keep ask stop install token place track start ready'
# A run that fails in one of these has changed nothing on the VM that had to be undone.
UNTOUCHING_STEPS='launch boot check stage keep ask'
# Exactly these chains are this program's: others may begin a name the same way.
OUR_CHAINS='MESH_TRACK MESH_IN MESH_OUT'
# This program as it was sent: gzip, base64.
program=${program:-}
# `--no-block` during boot, when systemd must not be waited for.
no_block=
