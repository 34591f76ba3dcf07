#!/usr/bin/env bash
# Installs dcmtk, where it may, for the test that reads DICOM as another implementation does. Never fails: the test skips itself.
set -euo pipefail
cd "$(dirname "$0")/.."
. infra/apt.sh

command -v dcmj2pnm >/dev/null 2>&1 && exit 0
apt_install "another reader of DICOM for a test" dcmtk || true
command -v dcmj2pnm >/dev/null 2>&1 || echo "SKIPPED the comparison with dcmtk: it is not there, and could not be installed"
