#!/usr/bin/env bash
# The whole suite where runs differ: order of tests, instruction sets, threads, settings, ids. A closing line each.
#
#   make test-everywhere                       all of them, each with a worker for every core
#   WORKERS=0 tests/variations.sh order salt   some of them, in one process each
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python} workers=${WORKERS:-auto} failures=0
logs=$(mktemp -d)

# suite NAME [ARGUMENT...]: one run of the suite, of which the closing line is shown, and the failures if there are any
suite() {
  local name=$1 log="$logs/${1//[ \']/-}.log"
  shift
  $python -m pytest -n "$workers" --dist worksteal "$@" >"$log" 2>&1 || failures=$((failures + 1))
  grep -E '^(FAILED|ERROR) ' "$log"
  printf '%-28s %s\n' "$name" "$(tail -n 1 "$log")"
}

order() {
  for seed in 1 2 3; do
    suite "order $seed" -p randomly --randomly-seed="$seed" --randomly-dont-reset-seed
  done
}

instructions() {
  for set in default avx2; do
    ATEN_CPU_CAPABILITY=$set suite "instructions $set"
  done
}

threads() {
  for count in 1 2; do
    OMP_NUM_THREADS=$count suite "threads $count"
  done
}

person() {
  (
    failures=0
    umask 077
    export LC_ALL=C TZ=Asia/Kolkata COLUMNS=40 LONGTAIL_ROOT=/nowhere PYTHONHASHSEED=1 NO_COLOR=1
    suite "another person's settings"
    exit "$failures"
  ) || failures=$((failures + 1))
}

salt() {
  for number in 1 2 3 4 5; do
    suite "salt $number" --salt-ids "$number"
  done
}

for variation in "${@:-order instructions threads person salt}"; do
  for each in $variation; do "$each"; done
done
echo "$failures of the runs failed; their output is in $logs"
[ "$failures" -eq 0 ]
