#!/usr/bin/env bash
# Sets up everything a checkout needs, once: .tools (uv), .venv (the locked packages, this project), Java 17, nginx.
# Does nothing when the lock, the project file and this script are unchanged since the last time.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.venv/.ready
wanted=$(cat requirements.lock pyproject.toml infra/setup.sh | sha256sum | cut -d' ' -f1)
say() { printf '\033[2m[setup]\033[0m %s\n' "$*" >&2; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }
. infra/apt.sh

java_major() { java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1; }

has_nginx() { PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v nginx >/dev/null 2>&1; }

install_nginx() { # the program alone: Debian's package would start a web server for the whole machine, on port 80
  local policy=/usr/sbin/policy-rc.d ours="" done=0
  if [ ! -e "$policy" ] && printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null 2>&1; then
    ours=1
    as_root chmod 755 "$policy"
  fi
  apt_install "nginx (the edge, in front of TorchServe)" nginx-light || done=1
  [ -z "$ours" ] || as_root rm -f "$policy"
  [ ! -d /run/systemd/system ] || as_root systemctl --quiet disable nginx.service 2>/dev/null || true
  return "$done"
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then command -v "$candidate"; return; fi
  done
  return 1
}

[ "$(java_major)" -ge 17 ] 2>/dev/null || apt_install "Java 17 (TorchServe runs on it)" openjdk-17-jre-headless || stop "no Java 17"
has_nginx || install_nginx || stop "no nginx"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

exec 9>.setup.lock
flock 9 # two makes at once: the second finds the work done
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

python=$(find_python) || { apt_install "Python 3.11" python3.11 python3.11-venv || true; python=$(find_python) || stop "no Python 3.11 found; set PYTHON=/path/to/python3.11"; }
if [ ! -x .tools/bin/uv ]; then
  say "fetching uv"
  "$python" -c 'import ensurepip' 2>/dev/null || apt_install "Python's venv module" python3.11-venv || stop "no venv module"
  rm -rf .tools
  "$python" -m venv .tools
  awk '/^[a-z0-9]/ {keep = /^uv==/} keep' requirements.lock > .tools/uv.lock
  .tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .tools/uv.lock \
    || { rm -rf .tools; stop "uv could not be fetched from the package index; is the network there?"; }
fi

export UV_COMPILE_BYTECODE=1 UV_LINK_MODE=${UV_LINK_MODE:-copy} UV_NO_PROGRESS=${CI:+1}
[ -n "${UV_NO_PROGRESS:-}" ] || unset UV_NO_PROGRESS
say "installing the locked packages into .venv (about a minute; 7 GB with torch's CUDA libraries)"
[ -x .venv/bin/python ] || .tools/bin/uv venv --quiet --python "$python" .venv
rm -f "$stamp"
.tools/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
.tools/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
printf '%s' "$wanted" > "$stamp"
say "ready"
