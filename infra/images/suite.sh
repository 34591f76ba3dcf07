#!/usr/bin/env bash
# Builds the images on a base made of Debian's packages and plays the rendered pods in them: `make containers`; `build` and
# `play` are its two halves. Torch is mounted from .venv instead of being installed into the images (6 GB, minutes); all
# else is as in a release.
set -euo pipefail
cd "$(dirname "$0")/../.."
half=both
case "${1:-}" in build|play) half=$1; shift ;; esac
stand=$PWD/build/stand
. infra/images/stand.sh "$stand" || { echo "SKIPPED the containers: no podman and buildah here"; exit 0; }

if [ "$half" != play ]; then
  export LEAVE_OUT='^(torch|torchvision|triton|nvidia-.*|cuda-.*)$'
  # a pipeline starts the trainer's eight times: it alone is worth byte-compiling for a test
  echo ${IMAGES:-trainer monitor serving registry controller} \
    | xargs -n 1 -P 2 bash -c 'COMPILE=$([ "$0" = trainer ] && echo 1 || echo 0) infra/images/build.sh "$0"' 2>"$stand/build.log" \
    || { tail -n 30 "$stand/build.log"; exit 1; }
fi
[ "$half" != build ] || exit 0

infra/postgres.sh
trap 'podman pod rm -af -t 5 >/dev/null 2>&1; podman rm -af -t 0 >/dev/null 2>&1; podman network rm -f thorax-test >/dev/null 2>&1' EXIT
site=$(echo .venv/lib/python3.*/site-packages)
export THORAX_TORCH_SITE=$stand/torch-site
rm -rf "$THORAX_TORCH_SITE" && mkdir -p "$THORAX_TORCH_SITE"
for part in torch torchvision torchvision.libs torchgen functorch triton nvidia cuda; do
  [ ! -e "$site/$part" ] || cp -al "$site/$part" "$THORAX_TORCH_SITE/" 2>/dev/null || cp -a "$site/$part" "$THORAX_TORCH_SITE/"
done
cp -a "$site"/torch-*.dist-info "$site"/torchvision-*.dist-info "$THORAX_TORCH_SITE/"
.venv/bin/pytest -m containers tests/containers "$@"
