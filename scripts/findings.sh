#!/usr/bin/env bash
# The runs of docs/findings.md from nothing: all plans, then every command of the page in its order.
# Usage: scripts/findings.sh [FOLDER], with CIFAR-10 as class folders of JPEG files (default: datasets/cifar10-images)
# It may be stopped in any way: started again it goes on, since what is stored is not computed again.
set -euo pipefail
cd "$(dirname "$0")/.."
data=$(printf %q "${1:-datasets/cifar10-images}")

mapfile -t commands < <(sed -n '/^## The runs/,/^## /s#^python -m deepunlearn#&#p' docs/findings.md)
commands=("${commands[@]//datasets\/cifar10-images/$data}")
for command in "${commands[@]}"; do
    [[ $command == *deepunlearn.tables* ]] || eval "$command plan=true"
done
for command in "${commands[@]}"; do
    echo "+ $command"
    eval "$command" || { code=$?; [ $code = 1 ] || exit $code; } # 1: some model came to nothing, and the rest is there
done
