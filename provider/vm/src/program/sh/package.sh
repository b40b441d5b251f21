
# Istio's package: fetched before anything stops, installed, taken away.
version() {
  if have dpkg-query; then dpkg-query -W -f '${db:Status-Status} ${Version}' istio-sidecar 2>/dev/null | sed -n 's/^installed //p'
  elif have rpm; then rpm -q --qf '%{VERSION}' istio-sidecar 2>/dev/null | grep -v ' '; fi
}
# Somebody else may have installed another one since, or removed it.
wanted() { v=$(version) && [ -n "$v" ] && [ "$(cat "$S/package" 2>/dev/null)" = "$(field sha256) $v" ]; }
do_stage() {
  if has find-address; then
    f=$(outward); [ -n "$f" ] || {
      say 'there is no route to the control plane, so no address of its own' >&2
      return 1
    }
    sed -i "s/^ISTIO_SVC_IP=.*/ISTIO_SVC_IP=$f/" "$d"/in/file.*.content || return 1
  fi
  if has engine; then pull; return; fi
  if ! lacks; then return 0; fi
  has url || released || return 1
  fetch "$(field url)" "$S/run/package" || return 1
  sum=$(sha256sum <"$S/run/package" | cut -d ' ' -f 1)
  [ "$sum" = "$(field sha256)" ] || {
    say "the package has SHA-256 $sum, not $(field sha256)" >&2
    return 1
  }
  fits
}
# Whether this machine can take the package, by its package manager's word, by what it depends on and
# by the libc that Envoy wants.
fits() {
  if have dpkg; then dpkg --no-act -i "$S/run/package"; else rpm -U --test --replacepkgs --oldpackage "$S/run/package"; fi >"$d/out" 2>&1 </dev/null
  say $? >"$d/code"
  locked || [ "$(cat "$d/code")" = 0 ] || {
    cat "$d/out" >&2
    return 1
  }
  if have dpkg; then dependencies || return 1; fi
  is=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc 2[.]//p')
  wants=$(if have dpkg; then dpkg-deb --fsys-tarfile "$S/run/package"; else rpm2cpio "$S/run/package"; fi 2>/dev/null |
    grep -ao 'GLIBC_2[.][0-9]*' | sed 's/.*[.]//' | sort -n | tail -n 1)
  [ "${is:-99}" -ge "${wants:-0}" ] || {
    say "the package needs glibc 2.$wants, and the VM has 2.$is" >&2
    return 1
  }
}
# Whether everything is installed that the package depends on. `dpkg --no-act` looks only at what a
# package needs to be unpacked; `rpm --test` looks at all.
dependencies() {
  installed >"$d/installed"
  for f in Pre-Depends Depends; do dpkg-deb -f "$S/run/package" "$f" && say ,; done 2>/dev/null >"$d/depends"
  unmet=$({ tr '\n' ' ' <"$d/depends" && say ''; } | tr ',' '\n' | sed 's/^ *//; s/ *$//; /^$/d' |
    while IFS= read -r wants; do met "$wants" || printf '%s, ' "$wants"; done)
  [ -n "$unmet" ] || return 0
  names=$(printf %s "$unmet" | sed 's/ *[|][^,]*//g; s/ *([^)]*)//g; s/:[a-z0-9]*//g; s/,//g')
  say "the package depends on what the VM does not have: ${unmet%, }. Install it first, e.g. by apt-get install ${names% }" >&2
  return 1
}
# Lines `name version` of what is installed, and of what that provides: `-` where it says no version.
# shellcheck disable=SC2016 # the fields are dpkg-query's
installed() {
  dpkg-query -W -f '${db:Status-Status}\t${Package}\t${Version}\t${Provides}\n' | awk -F '\t' '
    $1 != "installed" && $1 !~ /^triggers-/ { next }
    { print $2, $3; n = split($4, all, ", *") }
    { for (i = 1; i <= n; i++) { split(all[i], one, /[ ()=]+/); sub(/:.*/, "", one[1]); print one[1], (one[2] == "" ? "-" : one[2]) } }'
}
# met ALTERNATIVES: whether one of them is installed, `name`, `name:any` or `name (>= version)`.
met() {
  say "$1" | tr '|' '\n' | sed 's/^ *//; s/[()]/ /g; s/\([<>=]\)\([^<>= ]\)/\1 \2/' | {
    while read -r name relation version; do
      ! here "${name%%:*}" "$relation" "$version" || exit 0
    done
    exit 1
  }
}
# here NAME [RELATION VERSION]: whether it is installed, and so new.
here() {
  awk -v name="$1" '$1 == name { print $2 }' "$d/installed" | {
    while read -r is; do
      if [ -z "$2" ]; then exit 0; fi
      [ "$is" = - ] || ! dpkg --compare-versions "$is" "$2" "$3" || exit 0
    done
    exit 1
  }
}
# Whether a package is to be fetched: the one that is named, or Istio's where there is none, or not of the version asked for.
lacks() {
  if has url; then ! wanted; return; fi
  v=$(version)
  has release && { [ -z "$v" ] || { has version && [ "$v" != "$(field version | sed 's/-//')" ]; }; }
}
# Which package of the release is this machine's, and its digest, which is beside it.
released() {
  if have dpkg; then f=deb; else f=rpm; fi
  case $(uname -m) in aarch64 | arm64) f=$f/istio-sidecar-arm64.$f ;; *) f=$f/istio-sidecar.$f ;; esac
  { field release && printf /%s "$f"; } >"$d/in/url"
  fetch "$(field url).sha256" "$d/sum" 16 || {
    say "there is no $(field url).sha256 for this VM" >&2
    return 1
  }
  read -r sum _ <"$d/sum"
  case $sum in *[!0-9a-f]*) sum= ;; esac
  [ "${#sum}" = 64 ] || {
    say "$(field url).sha256 holds no SHA-256" >&2
    return 1
  }
  printf %s "$sum" >"$d/in/sha256"
}
# bounded WHAT COMMAND…: with all its tries. Where busybox ends it, its status is the signal's.
bounded() {
  what=$1 && shift
  timeout "$(field wait.fetch)" "$@" && return 0
  code=$?
  case $code in
  124 | 143) say "$what did not come within $(field wait.fetch) seconds" >&2 ;;
  153) say "$what is too large" >&2 ;; # the signal of ulimit
  esac
  return "$code"
}
# fetch ADDRESS FILE [BLOCKS]: BLOCKS is how large the file may become, in the shell's unit of 512 or 1024 bytes.
fetch() {
  u=$1
  case $u in
  file://*) cp "${u#file://}" "$2" ;;
  # A redirect must not lead out of TLS. wget has no option for that: without a proxy that it could use for
  # anything else, it goes nowhere else.
  https://*) load "$2" "${3:-$HEAVIEST}" =https -e use_proxy=on -e no_proxy= -e http_proxy=ftp://none -e ftp_proxy=https://none ;;
  http://*) load "$2" "${3:-$HEAVIEST}" =http,https ;;
  *)
    say "cannot fetch ${u%%:*}: addresses" >&2
    return 1
    ;;
  esac
}
# load FILE BLOCKS PROTOCOLS OPTION…: from the address $u. Redirects lead curl to PROTOCOLS only, and wget as its OPTIONs say.
# The address may hold a password, which everybody could read among the arguments.
load() {
  file=$1 most=$2 protocols=$3
  shift 3
  if have curl; then
    say "url = \"$(say "$u" | sed 's/[\\"]/\\&/g')\"" | (
      ulimit -f "$most"
      bounded 'the package' curl -fsSL --proto =http,https --proto-redir "$protocols" --retry 2 --connect-timeout 10 \
        --speed-limit 1 --speed-time 60 -o "$file" -K -
    )
  else
    say "$u" | (
      ulimit -f "$most"
      bounded 'the package' wget -nv --tries=3 -T 30 "$@" -O "$file" -i - 2>"$d/wget"
    )
  fi
  code=$?
  if have curl; then
    [ "$code" != 1 ] || escaped
  elif [ "$code" != 0 ]; then
    ! grep -q 'Must be HTTP' "$d/wget" || escaped
    grep -v :// "$d/wget" >&2
  fi
  return "$code"
}
escaped() { say 'its address leads from https:// to something else than https://, which is refused' >&2; }
# The address that calls to the control plane come from, else those to anywhere.
outward() {
  host=$(field control-plane) host=${host%:*} host=${host#'['} host=${host%']'}
  for to in $(field hosts | cut -d ' ' -f 1) $(getent ahosts "$host" 2>/dev/null | cut -d ' ' -f 1) 192.0.2.1 2001:db8::1; do
    ip -o route get "$to" 2>/dev/null
  done |
    sed -n 's/.* src \([0-9a-f.:]*\).*/\1/p' | head -n 1
}
do_install() {
  id istio-proxy >/dev/null 2>&1 || : >"$S/run/user"
  [ "$(engine)" = "$(field engine)" ] || rm -f "$UNITS/multi-user.target.wants/istio.service" # it may lead to the other's unit
  if has engine; then do_contain; return; fi
  [ ! -e "$S/engine" ] || rm -f "$UNITS/istio.service" "$S/engine" "$S/image" "$S/proxy" || return 1
  if [ -e "$S/run/package" ]; then
    if [ -z "$(version)" ]; then : >"$S/run/fresh" && : >"$S/installed"; else
      for f in $(packaged); do remember "$S/run/keep" "$f" || return 1; done
    fi
    remember "$S/run/keep" "$S/package" && hold && unpack && say "$(field sha256) $(version)" >"$S/package" || return 1
  fi
  own
}
packaged() { say "$BIN/envoy" "$BIN/pilot-agent" "$BIN/istio-start.sh" /var/lib/istio/envoy/envoy_bootstrap_tmpl.json "$(fragment)"; }
fragment() { systemctl show -p FragmentPath istio.service 2>/dev/null | sed -n 's/^FragmentPath=//p'; }
# Another package manager may hold the lock on a fresh machine: wait for it, within bounds.
unpack() { if await "$PACKAGE" eval 'unpacked || recalled' && [ "$(cat "$d/code")" = 0 ]; then :; else cat "$d/out" >&2 && return 1; fi; }
locked() { [ "$(cat "$d/code")" != 0 ] && grep -qiE '(is|was) locked by|transaction lock' "$d/out"; }
unpacked() {
  (
    umask 022 && exec 9>&- </dev/null
    if have dpkg; then DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold -i "$S/run/package"
    else rpm -U --replacepkgs --oldpackage "$S/run/package"; fi
  ) >"$d/out" 2>&1
  say $? >"$d/code"
  ! locked
}
# Root reads the settings, so a broken proxy must not be able to write them.
own() {
  for f in /var/lib/istio /var/lib/istio/envoy /var/lib/istio/config /var/lib/istio/bin /var/lib/istio/envoy/*.env /var/lib/istio/proxy; do
    if [ -d "$f" ]; then mode=0755; elif [ -f "$f" ]; then mode=0644; else continue; fi
    [ ! -h "$f" ] || [ "$f" = /var/lib/istio ] || { say "$f is a link: whoever made it would choose what becomes root's" >&2; return 1; }
    [ "$f" != /var/lib/istio/proxy ] || continue
    if [ -f "$f" ] && [ "$(stat -c %h "$f")" != 1 ]; then
      [ "$(stat -c %u "$f")" != 0 ] || continue
      say "$f is another name of somebody's file, which would become root's" >&2
      return 1
    fi
    chown root:root "$f" && chmod "$mode" "$f" || return 1
  done
  # With tproxy root runs the proxy, and this group is how the rules tell its traffic.
  if has tproxy; then chgrp istio-proxy "$BIN/envoy" "$BIN/pilot-agent" && chmod 2755 "$BIN/envoy" "$BIN/pilot-agent" || return 1; fi
  install -d -o istio-proxy -g istio-proxy -m 0755 /var/lib/istio/proxy /etc/certs "$LOG" || return 1
  has tproxy || hand_over
}
# The package manager's own books cannot be taken back: with no digest of it here, the next
# bootstrap installs the package that it wants, whichever is registered.
undo_install() {
  if [ -e "$S/run/fresh" ]; then uninstall && restore "$S/run/keep"; else
    repair
    restore "$S/run/keep" || return 1
    [ ! -e "$S/run/keep/set$BIN/pilot-agent" ] || { : >"$S/package" && say "istio-sidecar $(version) is registered, with the files of before" | lines; }
  fi && { [ ! -e "$S/run/user" ] || drop_user; }
}
uninstall() {
  repair
  if ! await "$PACKAGE" purged || registered; then
    { say 'the package did not go away'; cat "$d/out"; } >&2
    return 1
  fi
  (umask 022 && mkdir -p "$BIN") # the package manager takes even that away, once it is empty
  rm -f "$S/installed" "$S/package" /etc/systemd/system/*.wants/istio.service
  systemctl daemon-reload
}
# A package manager that was killed at work refuses to take the package away, or forgets what it had unpacked, unless the
# same package is installed first. Where that fails, what comes next says so.
repair() {
  if [ -e "$S/run/package" ] && torn; then unpack 2>"$d/repair" || lines <"$d/repair"; fi
  # What it was writing has a name of its own, which nothing takes away.
  { packaged && printf '%s\n' /lib/systemd/system/istio.service /var/lib/istio/envoy/sidecar.env && parts; } | while IFS= read -r f; do
    [ -z "$f" ] || rm -f "$f.dpkg-new" "$f.dpkg-tmp" "$f;"*
  done
}
# An rpm has links beside its files, by the ids of their builds.
parts() { have dpkg || rpm -qpl "$S/run/package" 2>/dev/null; }
torn() {
  if have dpkg-query; then dpkg-query -W -f '${db:Status-Eflag} ${db:Status-Status}\n' istio-sidecar 2>/dev/null | grep -qE '^reinstreq|half-|unpacked$'
  else [ "$(rpm -q istio-sidecar 2>/dev/null | grep -c '^istio-sidecar')" != 1 ]; fi
}
drop_user() {
  if [ ! -e "$S/found/user" ] && id istio-proxy >/dev/null 2>&1; then
    if have userdel; then userdel istio-proxy; else deluser istio-proxy; fi >/dev/null 2>&1
    if have groupdel; then groupdel istio-proxy; else delgroup istio-proxy; fi >/dev/null 2>&1
  fi
  return 0
}
purged() {
  set --
  ! torn || set -- --force-remove-reinstreq
  if have dpkg; then dpkg "$@" --purge istio-sidecar; elif have rpm; then rpm -e --allmatches istio-sidecar; fi >"$d/out" 2>&1 9>&- </dev/null
  say $? >"$d/code"
  ! locked
}
registered() {
  if have dpkg-query; then dpkg-query -W -f '${db:Status-Status}' istio-sidecar 2>/dev/null | grep -qv '^not-installed'
  else have rpm && rpm -q istio-sidecar >/dev/null 2>&1; fi
}
