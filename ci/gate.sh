#!/usr/bin/env bash
# Run suites, hold them against a baseline, and look again on the next seeds while the gate cannot
# tell and looks are left. Exits as the gate does: 0 no worse, 1 worse, 2 bad question, 3 cannot tell.
#
#   ci/gate.sh BASELINE OUT "SUITE ..." [options of guidebench gate]
set -euo pipefail
baseline=$1 out=$2
read -rd '' -a rows <<<"$3" || true # to the end of the text, over several lines too
shift 3

# A run that fails has no verdict: its 1 must not read as "worse".
run() {
  local code=0
  guidebench run "$@" --device "${GUIDEBENCH_DEVICE:-cpu}" --out "$out" || code=$?
  [ "$code" != 1 ] || code=2
  [ "$code" = 0 ] || exit "$code"
}

run "${rows[@]}"
while true; do
  code=0
  said=$(guidebench gate "$out" --baseline "$baseline" "$@") || code=$?
  again=$(sed -n 's/^look again on the next seeds: guidebench run //p' <<<"$said")
  if [ "$code" != 3 ] || [ -z "$again" ]; then
    printf '%s\n' "$said"
    exit "$code"
  fi
  sed '/^::/d' <<<"$said" # annotations only of the last look
  while read -ra words <&3; do run "${words[@]}"; done 3<<<"$again"
done
