
# Does: downloads, within bounds of time and size, and over TLS where the address says so.
# Needs: base emit
# Gives: find_release bounded fetch
# Owns: sum and wget in the run's directory
# Undo: nothing to undo
# Which package of the release is this machine's, and its digest, which lies beside it.
find_release() {
  if have dpkg; then
    package_kind=deb
  else
    package_kind=rpm
  fi
  case $(uname -m) in
  aarch64 | arm64) package_name=$package_kind/istio-sidecar-arm64.$package_kind ;;
  *) package_name=$package_kind/istio-sidecar.$package_kind ;;
  esac
  {
    field release
    printf /%s "$package_name"
  } >"$run_dir/in/url"
  if ! fetch "$(field url).sha256" "$run_dir/sum" 16; then
    refuse "there is no $(field url).sha256 for this VM"
    return
  fi
  read_digest
}
read_digest() {
  read -r digest _ <"$run_dir/sum"
  case $digest in
  *[!0-9a-f]*) digest= ;;
  esac
  if [ "${#digest}" != 64 ]; then
    refuse "$(field url).sha256 holds no SHA-256"
    return
  fi
  printf %s "$digest" >"$run_dir/in/sha256"
}
# bounded WHAT COMMAND…: all its tries together end in time. Where busybox ends it, its status is the signal's.
bounded() {
  bounded_what=$1
  shift
  timeout "$(field wait.fetch)" "$@"
  bounded_status=$?
  case $bounded_status in
  124 | 143) emit "$bounded_what did not arrive within $(field wait.fetch) seconds" >&2 ;;
  # The signal of ulimit.
  153) emit "$bounded_what is too large" >&2 ;;
  esac
  return "$bounded_status"
}
# fetch ADDRESS FILE [BLOCKS]: BLOCKS is how large the file may become, in the shell's unit of 512 or 1024 bytes.
fetch() {
  case $1 in
  file://*) cp "${1#file://}" "$2" ;;
  # A redirect must not lead out of TLS. wget has no option for that: without a proxy that it could use for anything else,
  # it goes nowhere else.
  https://*)
    download "$1" "$2" "${3:-$MAX_PACKAGE_BLOCKS}" =https \
      -e use_proxy=on -e no_proxy= -e http_proxy=ftp://none -e ftp_proxy=https://none
    ;;
  http://*) download "$1" "$2" "${3:-$MAX_PACKAGE_BLOCKS}" =http,https ;;
  *) refuse "cannot fetch ${1%%:*}: addresses" ;;
  esac
}
# download ADDRESS FILE BLOCKS PROTOCOLS OPTION…: redirects lead curl to PROTOCOLS only, and wget as its OPTIONs say.
download() {
  if have curl; then
    download_by_curl "$@"
  else
    download_by_wget "$@"
  fi
}
# The address may hold a password, which everybody could read among the arguments.
download_by_curl() {
  emit "url = \"$(emit "$1" | sed 's/[\\"]/\\&/g')\"" | (
    ulimit -f "$3"
    bounded 'the package' curl -fsSL --proto =http,https --proto-redir "$4" --retry 2 --connect-timeout 10 \
      --speed-limit 1 --speed-time 60 -o "$2" -K -
  )
  curl_status=$?
  if [ "$curl_status" = 1 ]; then
    report_redirect
  fi
  return "$curl_status"
}
download_by_wget() {
  wget_address=$1
  wget_file=$2
  wget_blocks=$3
  shift 4
  emit "$wget_address" | (
    ulimit -f "$wget_blocks"
    bounded 'the package' wget -nv --tries=3 -T 30 "$@" -O "$wget_file" -i - 2>"$run_dir/wget"
  )
  wget_status=$?
  if [ "$wget_status" != 0 ]; then
    if grep -q 'Must be HTTP' "$run_dir/wget"; then
      report_redirect
    fi
    grep -v :// "$run_dir/wget" >&2
  fi
  return "$wget_status"
}
report_redirect() { emit 'the address redirects from https:// to another protocol, which is refused' >&2; }
