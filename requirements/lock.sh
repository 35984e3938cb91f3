#!/usr/bin/env bash
# Re-makes laptop.txt from pyproject.toml: every package pinned with hashes, no index addresses.
# torch is pinned to its CPU build (2.13.0+cpu, named by hash) and the CUDA packages that the index's build asks for are
# left out. pip must be able to see that wheel: PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL where the default index lacks it.
set -euo pipefail
cd "$(dirname "$0")/.."
cpu_torch=6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b  # torch-2.13.0+cpu-cp311, linux x86_64
skip=$(printf -- '--no-emit-package %s ' triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-{cublas,cuda-cupti,cuda-nvrtc,cuda-runtime,cudnn-cu13,cufft,cufile,curand,cusolver,cusparse,cusparselt-cu13,nccl-cu13,nvjitlink,nvshmem-cu13,nvtx})
uv pip compile pyproject.toml --extra dev --generate-hashes --no-emit-index-url --no-header --no-annotate \
  --python-version 3.11 $skip -o requirements/laptop.txt "$@" >/dev/null
python3 - "$cpu_torch" <<'PY'
import re, sys
path = "requirements/laptop.txt"
text = open(path).read()
text = re.sub(r"^torch==2\.13\.0(?: \\\n    --hash=\S+)+", f"torch==2.13.0 \\\n    --hash=sha256:{sys.argv[1]}", text, flags=re.M)
open(path, "w").write(text)
PY
grep -c '^[a-z]' requirements/laptop.txt
