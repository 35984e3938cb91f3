#!/bin/sh
# Makes sure that PostgreSQL's programs are there: by apt where that is allowed, else says what to install.
PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
command -v initdb >/dev/null && command -v postgres >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing postgresql"
  (apt-get update && apt-get install -y --no-install-recommends postgresql) >/dev/null && exit 0
fi
echo "make: no PostgreSQL here: the test of the MLflow server says so and is skipped. Its programs, not running, do:" >&2
echo "  sudo apt-get install -y postgresql        # Debian, Ubuntu" >&2
