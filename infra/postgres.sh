#!/usr/bin/env bash
# Installs PostgreSQL's programs, where it may, for the tests of the registry and the record on it; no server is started for the machine. Never
# fails: the test skips itself.
set -euo pipefail
cd "$(dirname "$0")/.."
. infra/apt.sh

has_postgres() { command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }
has_postgres && exit 0
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then # else Debian makes a database of its own, and starts it
  as_root mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null || true
fi
apt_install "PostgreSQL for a test" postgresql || true
has_postgres || echo "SKIPPED the registry and the record on PostgreSQL: it is not there, and could not be installed"
