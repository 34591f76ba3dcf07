# Sourced by what installs packages of the system, by apt: `apt_install what-for package...` fails with its reason said.
# What talks to the network is bounded and may be cut off; what unpacks is not, for a dpkg that is killed needs repair.

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null 2>&1; then sudo -n "$@"; else return 1; fi
}

apt_get() { # seconds argument...
  local seconds=$1; shift
  as_root timeout -k 10 "$seconds" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
    -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 "$@" >&2
}

apt_install() { # what-for package...
  local what=$1; shift
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "$what is missing and there is no apt-get here; install $* by your system's way and run again" >&2; return 1
  fi
  echo "installing $* (for $what)" >&2
  if ! apt_get 300 update; then
    echo "$what is missing and apt-get was refused or found no network; ask an administrator to run: apt-get install $*" >&2; return 1
  fi
  if ! { apt_get 600 install -y --no-install-recommends --download-only "$@" \
    && apt_get 1800 install -y --no-install-recommends --no-download "$@"; }; then
    echo "$what is missing and could not be installed; try by hand: apt-get install $*" >&2; return 1
  fi
}
