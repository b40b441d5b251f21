
# Does: decides whether this machine can take the package: by its package manager's word, by what the package depends on,
#   and by the libc that Envoy needs.
# Needs: base emit package
# Gives: package_fits
# Owns: out, code, installed and depends in the run's directory
# Undo: nothing to undo: it reads only
package_fits() {
  try_package >"$run_dir/out" 2>&1 </dev/null
  emit $? >"$run_dir/code"
  if ! is_locked && [ "$(line_of "$run_dir/code")" != 0 ]; then
    refuse "$(cat "$run_dir/out")"
    return
  fi
  if have dpkg; then
    check_dependencies || return 1
  fi
  libc_version=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc 2[.]//p')
  libc_needed=$(needed_libc)
  if [ "${libc_version:-99}" -lt "${libc_needed:-0}" ]; then
    refuse "the package needs glibc 2.$libc_needed, and the VM has 2.$libc_version"
  fi
}
try_package() {
  if have dpkg; then
    dpkg --no-act -i "$state_dir/run/package"
  else
    rpm -U --test --replacepkgs --oldpackage "$state_dir/run/package"
  fi
}
needed_libc() {
  unpack_package 2>/dev/null |
    grep -ao 'GLIBC_2[.][0-9]*' |
    sed 's/.*[.]//' |
    sort -n |
    tail -n 1
}
unpack_package() {
  if have dpkg; then
    dpkg-deb --fsys-tarfile "$state_dir/run/package"
  else
    rpm2cpio "$state_dir/run/package"
  fi
}
# Whether everything is installed that the package depends on. `dpkg --no-act` checks only what a package needs to be
# unpacked; `rpm --test` checks all.
check_dependencies() {
  list_installed >"$run_dir/installed"
  for depends_field in Pre-Depends Depends; do
    dpkg-deb -f "$state_dir/run/package" "$depends_field" &&
      emit ,
  done 2>/dev/null >"$run_dir/depends"
  unmet=$(list_unmet)
  [ -n "$unmet" ] || return 0
  unmet_names=$(printf %s "$unmet" | sed 's/ *[|][^,]*//g; s/ *([^)]*)//g; s/:[a-z0-9]*//g; s/,//g')
  refuse "the package depends on what the VM does not have: ${unmet%, }. Install it first, e.g. by apt-get install ${unmet_names% }"
}
list_unmet() {
  {
    tr '\n' ' ' <"$run_dir/depends"
    emit ''
  } |
    tr ',' '\n' |
    sed 's/^ *//; s/ *$//; /^$/d' |
    while IFS= read -r dependency; do
      is_met "$dependency" || printf '%s, ' "$dependency"
    done
}
# Prints lines `name version` of what is installed and of what that provides; the version is `-` where it names none.
# shellcheck disable=SC2016 # the fields are dpkg-query's
list_installed() {
  dpkg-query -W -f '${db:Status-Status}\t${Package}\t${Version}\t${Provides}\n' |
    awk -F '\t' '
      $1 != "installed" && $1 !~ /^triggers-/ { next }
      {
        print $2, $3
        n = split($4, all, ", *")
        for (i = 1; i <= n; i++) {
          split(all[i], one, /[ ()=]+/)
          sub(/:.*/, "", one[1])
          print one[1], (one[2] == "" ? "-" : one[2])
        }
      }'
}
# is_met ALTERNATIVES: whether one of them is installed: `name`, `name:any` or `name (>= version)`.
is_met() {
  emit "$1" |
    tr '|' '\n' |
    sed 's/^ *//; s/[()]/ /g; s/\([<>=]\)\([^<>= ]\)/\1 \2/' | {
    while read -r met_name met_relation met_version; do
      if is_installed "${met_name%%:*}" "$met_relation" "$met_version"; then
        exit 0
      fi
    done
    exit 1
  }
}
# is_installed NAME [RELATION VERSION]: whether it is installed, and its version fits.
is_installed() {
  awk -v name="$1" '$1 == name { print $2 }' "$run_dir/installed" | {
    while read -r installed_version; do
      if [ -z "$2" ]; then
        exit 0
      fi
      if [ "$installed_version" != - ] && dpkg --compare-versions "$installed_version" "$2" "$3"; then
        exit 0
      fi
    done
    exit 1
  }
}
