#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs one job file on this machine, segment by segment. Run it again after a failure: it goes on.
#
#   segments.sh sh010.json [SEGMENTS]
set -u
job=${1:?a job file} segments=${2:-4}
case $job in
  *[[:cntrl:]]*) echo "expected a name without line breaks and control characters. Rename the job file." >&2; exit 2 ;;
  -*) job=./$job ;; # a name, no option
esac
case $segments in
  '' | *[!0-9]*) echo "expected a number of segments; got $segments." >&2; exit 2 ;;
esac
plan=${job%.json}.plan.json
[ -f "$plan" ] || matanyone-engine plan "$job" --segments "$segments" || exit $?
for part in --scout $(seq -f "--segment %g" -s $'\n' "$segments" | tr ' ' =); do
  for attempt in 1 2 3; do
    matanyone-engine run "$plan" "$part"
    code=$?
    case $code in
      0) break ;;
      3 | 6 | 9 | 11) sleep $((attempt * ${PAUSE:-30})) ;; # out of memory, storage, engine, another worker: may pass
      *) exit $code ;;                                     # bad input, no device, licence, Ctrl-C: will not
    esac
  done
  [ $code = 0 ] || exit $code
done
matanyone-engine merge "$plan"
