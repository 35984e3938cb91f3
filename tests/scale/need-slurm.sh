#!/bin/sh
# Makes sure that Slurm's and munge's programs are there: by apt where that is allowed, else says what to install.
PATH=$PATH:/usr/sbin
for program in slurmctld slurmd sbatch munged; do
  command -v $program >/dev/null || missing="$missing $program"
done
[ -z "$missing" ] && exit 0
packages="slurm-wlm munge"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing $packages"
  (apt-get update && apt-get install -y --no-install-recommends $packages) >/dev/null && exit 0
fi
echo "make: no$missing here. The tests need Slurm's and munge's programs (not running, the tests start their own):" >&2
echo "  sudo apt-get install -y $packages        # Debian, Ubuntu; elsewhere slurm, slurm-slurmd, slurm-slurmctld, munge" >&2
exit 1
