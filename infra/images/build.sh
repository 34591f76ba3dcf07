#!/usr/bin/env bash
# Builds the images: `infra/images/build.sh [IMAGE …]`, all of them where none is named. TAG is their tag, REGISTRY what their
# names begin with, BASE_IMAGE what they stand on, VOLUMES what a build may see (`-v` options of buildah).
set -euo pipefail
cd "$(dirname "$0")/../.."

tool=$(command -v buildah || command -v podman || command -v docker) || { echo "building needs buildah, podman or docker" >&2; exit 1; }
declare -A packages=(
  [serving]="nginx-light openjdk-17-jre-headless" [registry]="" [controller]="" [monitor]="" [trainer]="")
declare -A names=(
  [serving]=torchserve [registry]=registry [controller]=controller [monitor]=monitor [trainer]=thorax-python)
declare -A health=(
  [serving]="thorax-probe torchserve" [registry]="python -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:5000/health\", timeout=5)'"
  [controller]="true" [monitor]="true" [trainer]="true")
registry=${REGISTRY:-localhost/thorax} tag=${TAG:-local}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

for image in "${@:-serving registry controller monitor trainer}"; do
  for one in $image; do
    [ -n "${names[$one]:-}" ] || { echo "no image $one; there are: ${!names[*]}" >&2; exit 1; }
    options=(--build-arg "IMAGE=$one" --build-arg "PACKAGES=${packages[$one]}" --build-arg "HEALTH=${health[$one]}"
      --build-arg "REVISION=$revision" --build-arg "LOCK_DIGEST=sha256:$(sha256sum "infra/images/$one.lock" | cut -d' ' -f1)")
    [ -z "${BASE_IMAGE:-}" ] || options+=(--build-arg "BASE_IMAGE=$BASE_IMAGE")
    [ -z "${COMPILE:-}" ] || options+=(--build-arg "COMPILE=$COMPILE")
    [ -z "${LEAVE_OUT:-}" ] || options+=(--build-arg "LEAVE_OUT=$LEAVE_OUT")
    # shellcheck disable=SC2206
    options+=(${VOLUMES:-})
    begun=$SECONDS
    case $tool in
      *docker) docker build -q "${options[@]}" -t "$registry/${names[$one]}:$tag" -f infra/images/Containerfile . ;;
      *podman) podman build -q --format docker "${options[@]}" -t "$registry/${names[$one]}:$tag" -f infra/images/Containerfile . ;;
      *) buildah bud -q --format docker --network host "${options[@]}" -t "$registry/${names[$one]}:$tag" -f infra/images/Containerfile . ;;
    esac >/dev/null
    echo "$registry/${names[$one]}:$tag built in $((SECONDS - begun)) s"
  done
done
