# mesh-vm: joins this machine to an Istio mesh, looks at it, or takes it out again.
#
# /bin/sh reads it from standard input and calls `main`. Input: lines `key base64`, then `end`;
# each value becomes a file, so that no value is ever a word of a script. Output: lines
# `key words…` between `begin RUN` and `end RUN`; free text in them is base64.
#
#   observe check            look, write nothing
#   bootstrap remove         a worker of its own does it, this process only follows the log
#   result commit revert     follow a worker that was begun on another connection
set -u
umask 077
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
R=/run/mesh-vm             # one folder for each run, on tmpfs: input, token, log
S=/var/lib/istio/mesh      # what outlives a reboot: owner, journal, the set before, what was found
DROP=/etc/systemd/system/istio.service.d HOSTS=/etc/hosts CERTS=/etc/certs ENVOY=/var/lib/istio/envoy BIN=/usr/local/bin LOG=/var/log/istio
TOKEN=/var/run/secrets/tokens/istio-token SDS=/var/run/secrets/workload-spiffe-uds
LOOSE=/proc/sys/net/netfilter/nf_conntrack_tcp_loose
CID=/run/istio-proxy.cid BOOT=/run/cloud-init ROTATE=/etc/logrotate.d/mesh-vm UNITS=/etc/systemd/system UNDO=mesh-vm-undo.service
LARGEST=1048576            # how many bytes of a file are read
HEAVIEST=4194304           # blocks of a package at most, of 512 or 1024 bytes
PROC=/proc
PACKAGE=120 ALONE=45       # seconds: for another package manager, for a provider to come back
SILENT=10                  # seconds: after which a provider that says that it is there counts as gone
# Folders of Istio's package, of the agent and of ours that no package manager takes away, each behind those in it.
DIRS="/etc/istio $CERTS $LOG ${TOKEN%/*} $SDS ${TOKEN%/*/*} /var/lib/istio/bin /var/lib/istio/config /var/lib/istio/envoy /var/lib/istio/proxy /var/lib/istio $DROP"
STEPS='check stage keep ask stop install token place track start ready'
p=${p:-}                   # this program as it came: gzip, base64
NOW=                       # or how systemd is told not to be waited for
OURS='MESH_TRACK MESH_IN MESH_OUT' # exactly these chains are ours: others may begin a name likewise
