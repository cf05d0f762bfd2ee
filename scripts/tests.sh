#!/usr/bin/env bash
# Every test: those on a real SLURM one after the other, and meanwhile, since they mostly wait, the others on all cores.
# Both parts run to their end, both reports are shown, and it fails where either does. Tests that failed are run once
# more, with nothing beside them, if they are few (three; ten of SLURM's, whose jobs share two cores with all others):
# what passes then depends on the machine's pace, and is named at the end as unsteady, to be mended, with what it said
# the first time. What fails twice, and more than a few, fails.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/debian_programs.sh
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then  # before both parts begin: only one may install at a time
  scripts/postgres_server.sh install
  scripts/slurm_cluster.sh install
fi

FAILED=1
part() {  # the tests of a part, which remembers its failures apart from the other's
  .venv/bin/python -m pytest -o "cache_dir=.pytest_cache/$1" "${@:2}"
}
again() {  # the exit code of a part ($2), or that of its failed tests run again where there are at most $3
  local code=$2 most=$3 names
  [ "$code" = $FAILED ] || return "$code"
  names=$(.venv/bin/python -c 'import json, sys; print("\n".join(json.load(open(sys.argv[1]))))' \
    ".pytest_cache/$1/v/cache/lastfailed")
  [ "$(wc -l <<<"$names")" -le "$most" ] || return "$code"
  printf 'once more, alone:\n%s\n' "$names"
  part "$1" --last-failed --last-failed-no-failures=none || return $?
  printf 'UNSTEADY, failed once and passed alone:\n%s\n' "$names"
}

log=$(mktemp)
set -m  # a part in the background can be interrupted, too
part slurm -m cluster --durations=5 tests/launch >"$log" 2>&1 &
cluster=$!
end() {  # an interrupted run leaves no cluster behind
  if kill -INT -- "-$cluster" 2>/dev/null; then wait $cluster || true; fi
  rm -f "$log"
}
trap end EXIT

others=0 slurm=0
part others -n auto -m "not cluster" --durations=25 || others=$?
[ $others != 2 ] || exit 2  # interrupted
wait $cluster || slurm=$?
cat "$log"
again others $others 3 && others=0 || others=$?
again slurm $slurm 10 && slurm=0 || slurm=$?
if grep -q '^FAILED' "$log"; then  # last, as only the end of a long output may be kept
  echo "of the tests on a real SLURM, the first time:"
  grep -E '^(E  |FAILED|_{5,} )|^tests/.*Error' "$log" | cut -c1-300
fi
echo "tests: exit code $others; tests on a real SLURM: exit code $slurm"
[ $others = 0 ] && [ $slurm = 0 ]
