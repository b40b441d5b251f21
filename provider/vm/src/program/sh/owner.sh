
# Does: reads whose the machine is.
# Needs: base proxyfiles
# Gives: claimed_by read_mark namespace_of owner_matches
# Owns: nothing; the step place writes owner in the state directory
# Undo: nothing to undo
# Prints `uid namespace/name` of the owner. Where a power cut took the mark, the settings beside it say so, without the uid.
# Where these say nothing either, nobody's bootstrap was finished here, and anybody may go on.
claimed_by() {
  [ -e "$state_dir/owner" ] || return 0
  read_mark || read_settings | awk -F = '
    { gsub(/["\047]/, "", $2) }
    $1 == "POD_NAMESPACE" { of = $2 }
    $1 == "POD_NAME" { name = $2 }
    END { if (of ~ /^[a-z0-9-]+$/ && name ~ /^[a-z0-9.-]+$/) print " " of "/" name }'
}
# Prints the mark, if it is whole.
read_mark() { grep -xE '[^ /]* ?[^ /]+/[^ /]+' "$state_dir/owner" 2>/dev/null; }
read_settings() { read_safely /var/lib/istio/envoy/cluster.env cat; }
namespace_of() { sed 's/^[^ ]* //; s:/.*::'; }
# Whether the machine is the caller's. A uid that one side does not know makes no difference.
owner_matches() {
  claimed_by >"$run_dir/claim"
  [ -s "$run_dir/claim" ] || return 0
  # An empty uid leaves the id in its place.
  read -r their_uid their_id <"$run_dir/claim"
  field owner >"$run_dir/owner" &&
    read -r our_uid our_id <"$run_dir/owner"
  [ "${their_id:-$their_uid}" = "${our_id:-$our_uid}" ] || return 1
  [ "$their_uid" = "$our_uid" ] ||
    [ -z "$their_id" ] ||
    [ -z "$our_id" ]
}
