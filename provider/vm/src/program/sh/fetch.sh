
# Downloads: within bounds of time and size, and over TLS where the address says so.
# Which package of the release is this machine's, and its digest, which is beside it.
released() {
  if have dpkg; then f=deb; else f=rpm; fi
  case $(uname -m) in aarch64 | arm64) f=$f/istio-sidecar-arm64.$f ;; *) f=$f/istio-sidecar.$f ;; esac
  { field release && printf /%s "$f"; } >"$d/in/url"
  fetch "$(field url).sha256" "$d/sum" 16 || refuse "there is no $(field url).sha256 for this VM" || return 1
  read -r sum _ <"$d/sum"
  case $sum in *[!0-9a-f]*) sum= ;; esac
  [ "${#sum}" = 64 ] || refuse "$(field url).sha256 holds no SHA-256" || return 1
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
  *) refuse "cannot fetch ${u%%:*}: addresses" ;;
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
