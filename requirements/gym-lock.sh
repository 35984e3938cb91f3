#!/usr/bin/env bash
# Re-makes gym.txt: what the extra `gym` (Reasoning Gym) adds to laptop.txt, pinned with hashes, no index addresses.
# What laptop.txt holds stays as it is pinned there: reasoning-gym asks for tabulate 0.9.0 and works with 0.10.
set -euo pipefail
cd "$(dirname "$0")/.."
held=$(sed -n 's/^\([a-z0-9._-]*\)==.*/\1/p' requirements/laptop.txt)
sed -n 's/^\([a-z0-9._-]*==[^ ]*\).*/\1/p' requirements/laptop.txt > requirements/.held
trap 'rm -f requirements/.held' EXIT
sed -n 's/^gym = \["\([^"]*\)"\].*/\1/p' pyproject.toml |
  uv pip compile - --override requirements/.held --generate-hashes --no-emit-index-url --no-header --no-annotate \
    --python-version 3.11 $(printf -- '--no-emit-package %s ' $held) -o requirements/gym.txt "$@" >/dev/null
grep -c '^[a-z]' requirements/gym.txt
