#!/usr/bin/env bash
# Re-makes s3.txt (what S3 remotes need beside laptop.txt) and services.txt (what the tests of services need beside both):
# every package pinned with hashes, no index addresses. python-dateutil is the one package that both pin: botocore asks
# for less than 3, and the other packages take either.
set -euo pipefail
cd "$(dirname "$0")/.."
trap 'rm -rf "$aside"' EXIT
aside=$(mktemp -d)
grep -oE '^[a-z0-9._-]+==[^ ]+' requirements/laptop.txt | grep -v '^python-dateutil==' > "$aside/laptop"
lock() {  # <what is asked for> <what is pinned already> <output>
  uv pip compile "$1" -c "$2" --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 -o "$aside/all" >/dev/null
  python3 - "$aside/all" "$2" "$3" <<'PY'
import re, sys
everything, known, output = sys.argv[1:]
pinned = set(open(known).read().split())
blocks = re.split(r"(?m)^(?=[a-z0-9])", open(everything).read())
open(output, "w").writelines(b for b in blocks if b.strip() and b.split()[0] not in pinned)
PY
  grep -c '^[a-z]' "$3"
}
python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["s3"], sep="\n")' > "$aside/s3"
python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["services"], sep="\n")' > "$aside/services"
lock "$aside/s3" "$aside/laptop" requirements/s3.txt
cat "$aside/laptop" <(grep -oE '^[a-z0-9._-]+==[^ ]+' requirements/s3.txt) > "$aside/both"
lock "$aside/services" "$aside/both" requirements/services.txt
