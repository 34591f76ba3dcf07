#!/usr/bin/env bash
# Puts Prometheus' promtool into build/tools, where it may, for the test of the alert rules: the program alone, out of Debian's
# package, whose installation would start a server. Never fails: the test skips itself.
set -euo pipefail
cd "$(dirname "$0")/.."
. infra/apt.sh

command -v promtool >/dev/null 2>&1 && exit 0
[ -x build/tools/promtool ] && exit 0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fetch() {
  command -v dpkg-deb >/dev/null 2>&1 || return 1
  (cd "$scratch" && timeout -k 10 120 apt-get -qq download prometheus) || {
    apt_get 300 update && (cd "$scratch" && timeout -k 10 120 apt-get -qq download prometheus)
  } || return 1
  dpkg-deb -x "$scratch"/prometheus_*.deb "$scratch/out" && mkdir -p build/tools && cp "$scratch/out/usr/bin/promtool" build/tools/promtool
}
fetch >&2 || echo "SKIPPED the test of the alert rules: promtool is not there, and could not be fetched"
