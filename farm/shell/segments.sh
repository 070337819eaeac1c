#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One job file on this machine, segment by segment; again after a failure, it goes on.
#
#   segments.sh sh010.json [SEGMENTS]
set -u
job=$1 segments=${2:-4} plan=${1%.json}.plan.json
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
