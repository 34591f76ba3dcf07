#!/usr/bin/env bash
# Sets up podman and buildah in a folder of their own (no daemon, no setting of the machine), with a base image made of Debian's
# packages, for machines without a registry: `. infra/images/stand.sh FOLDER`. Sets CONTAINERS_* and BASE_IMAGE.
stand=$(realpath -m "$1")
mkdir -p "$stand/etc" "$stand/base"
. "$(dirname "${BASH_SOURCE[0]}")/../apt.sh"
command -v podman >/dev/null && command -v buildah >/dev/null && command -v mmdebstrap >/dev/null || apt_install "podman and buildah" \
  podman buildah runc conmon mmdebstrap netavark aardvark-dns iptables catatonit || return 1
cat > "$stand/etc/storage.conf" <<CONF
[storage]
driver = "overlay"
runroot = "$stand/run"
graphroot = "$stand/storage"
CONF
cat > "$stand/etc/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=16384:16384"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
tmp_dir = "$stand/libpod"
[network]
network_backend = "netavark"
CONF
printf 'unqualified-search-registries = []\nshort-name-mode = "permissive"\n' > "$stand/etc/registries.conf"
export CONTAINERS_CONF=$stand/etc/containers.conf CONTAINERS_STORAGE_CONF=$stand/etc/storage.conf CONTAINERS_REGISTRIES_CONF=$stand/etc/registries.conf
export BASE_IMAGE=localhost/thorax-base:local
if ! podman image exists "$BASE_IMAGE"; then
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv bookworm - | podman import -q - localhost/thorax-raw:local >/dev/null
  cp /usr/local/share/ca-certificates/*.crt "$stand/base/" 2>/dev/null || touch "$stand/base/none.crt"
  cat > "$stand/base/Containerfile" <<'FILE'
FROM localhost/thorax-raw:local
COPY *.crt /usr/local/share/ca-certificates/
RUN update-ca-certificates && ln -sf /usr/bin/python3 /usr/local/bin/python && rm -f /usr/lib/python3.11/EXTERNALLY-MANAGED
ENV LANG=C.UTF-8 PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
FILE
  buildah bud -q --network host -t "$BASE_IMAGE" "$stand/base" >/dev/null
fi
# what lets a build reach the package index as this machine does; no file of the project names any of it
VOLUMES=""
for place in /etc/pip.conf /etc/xdg/pip; do [ -e "$place" ] && VOLUMES+=" -v $place:$place:ro"; done
for folder in $(python3 -m pip config list 2>/dev/null | grep -oE "(file://)?/[^ ']+" | sed 's#^file://##; s#/simple$##' | grep -v '\.crt$\|\.txt$' | sort -u); do
  [ -d "$folder" ] && VOLUMES+=" -v $folder:$folder:ro"
done
export VOLUMES
