#!/usr/bin/env bash
# Every test: those on a real SLURM one after the other, and meanwhile, since they mostly wait, the others on all cores.
# Both parts run to their end, both reports are shown, and it fails where either does.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/debian_programs.sh
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then  # before both parts begin: only one may install at a time
  scripts/postgres_server.sh install
  scripts/slurm_cluster.sh install
fi

log=$(mktemp)
set -m  # a part in the background can be interrupted, too
.venv/bin/python -m pytest -m cluster --durations=5 tests/launch >"$log" 2>&1 &
cluster=$!
end() {  # an interrupted run leaves no cluster behind
  if kill -INT -- "-$cluster" 2>/dev/null; then wait $cluster || true; fi
  rm -f "$log"
}
trap end EXIT

others=0 slurm=0
.venv/bin/python -m pytest -n auto -m "not cluster" --durations=25 || others=$?
[ $others != 2 ] || exit 2  # interrupted
wait $cluster || slurm=$?
cat "$log"
echo "tests: exit code $others; tests on a real SLURM: exit code $slurm"
[ $others = 0 ] && [ $slurm = 0 ]
