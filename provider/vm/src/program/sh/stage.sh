
# What is fetched and looked at before anything stops.
# Somebody else may have installed another one since, or removed it.
wanted() { v=$(version) && [ -n "$v" ] && [ "$(cat "$S/package" 2>/dev/null)" = "$(field sha256) $v" ]; }
do_stage() {
  if has find-address; then
    f=$(outward)
    [ -n "$f" ] || refuse 'there is no route to the control plane, so no address of its own' || return 1
    sed -i "s/^ISTIO_SVC_IP=.*/ISTIO_SVC_IP=$f/" "$d"/in/file.*.content || return 1
  fi
  if has engine; then pull; return; fi
  if ! lacks; then return 0; fi
  has url || released || return 1
  fetch "$(field url)" "$S/run/package" || return 1
  sum=$(sha256sum <"$S/run/package" | cut -d ' ' -f 1)
  [ "$sum" = "$(field sha256)" ] || refuse "the package has SHA-256 $sum, not $(field sha256)" || return 1
  fits
}
# Whether this machine can take the package, by its package manager's word, by what it depends on and
# by the libc that Envoy wants.
fits() {
  if have dpkg; then dpkg --no-act -i "$S/run/package"; else rpm -U --test --replacepkgs --oldpackage "$S/run/package"; fi >"$d/out" 2>&1 </dev/null
  say $? >"$d/code"
  locked || [ "$(cat "$d/code")" = 0 ] || refuse "$(cat "$d/out")" || return 1
  if have dpkg; then dependencies || return 1; fi
  is=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc 2[.]//p')
  wants=$(if have dpkg; then dpkg-deb --fsys-tarfile "$S/run/package"; else rpm2cpio "$S/run/package"; fi 2>/dev/null |
    grep -ao 'GLIBC_2[.][0-9]*' | sed 's/.*[.]//' | sort -n | tail -n 1)
  [ "${is:-99}" -ge "${wants:-0}" ] || refuse "the package needs glibc 2.$wants, and the VM has 2.$is"
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
  refuse "the package depends on what the VM does not have: ${unmet%, }. Install it first, e.g. by apt-get install ${names% }"
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
# The address that calls to the control plane come from, else those to anywhere.
outward() {
  host=$(field control-plane) host=${host%:*} host=${host#'['} host=${host%']'}
  for to in $(field hosts | cut -d ' ' -f 1) $(getent ahosts "$host" 2>/dev/null | cut -d ' ' -f 1) 192.0.2.1 2001:db8::1; do
    ip -o route get "$to" 2>/dev/null
  done |
    sed -n 's/.* src \([0-9a-f.:]*\).*/\1/p' | head -n 1
}
