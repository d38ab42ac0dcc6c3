#!/usr/bin/env bash
# Run suites, hold them against a baseline, and look again on the next seeds while the gate cannot
# tell and looks are left. Exits as the gate does: 0 no worse, 1 worse, 2 bad question, 3 cannot tell.
#
#   ci/gate.sh BASELINE OUT "SUITE ..." [options of guidebench gate]
set -euo pipefail
baseline=$1 out=$2
read -ra rows <<<"$3"
shift 3

run() { guidebench run "$@" --device "${GUIDEBENCH_DEVICE:-cpu}" --out "$out"; }

run "${rows[@]}"
while true; do
  code=0
  said=$(guidebench gate "$out" --baseline "$baseline" "$@") || code=$?
  printf '%s\n' "$said"
  [ "$code" = 3 ] || exit "$code"
  again=$(sed -n 's/^look again on the next seeds: guidebench run //p' <<<"$said")
  [ -n "$again" ] || exit 3
  while read -ra words <&3; do run "${words[@]}"; done 3<<<"$again"
done
