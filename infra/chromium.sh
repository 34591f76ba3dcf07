#!/usr/bin/env bash
# Installs chromium, where it may, for the test that opens an audit export in a browser. Never fails: the test skips itself.
set -euo pipefail
cd "$(dirname "$0")/.."
. infra/apt.sh

command -v chromium >/dev/null 2>&1 && exit 0
apt_install "a browser for the test of the audit export" chromium || true
command -v chromium >/dev/null 2>&1 || echo "SKIPPED the test of the audit export in a browser: there is no chromium, and it could not be installed"
