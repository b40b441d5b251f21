
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
# Whether the machine is the caller's, by uid and name. A uid that only one side knows is never equal.
owner_matches() {
  claimed_by >"$run_dir/claim"
  [ -s "$run_dir/claim" ] || return 0
  field owner >"$run_dir/owner" &&
    read -r our_uid our_id <"$run_dir/owner"
  read -r their_uid their_id <"$run_dir/claim"
  [ "$their_uid $their_id" = "$our_uid $our_id" ]
}
