#!/usr/bin/env bash
# Says whether kubectl is here, for `thorax infra` and the tests of the manifests. It is in no package of Debian 12 that knows
# kustomize's components, so that a person installs it: https://kubernetes.io/docs/tasks/tools. Never fails: the tests skip.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v kubectl >/dev/null 2>&1 || [ -x build/tools/kubectl ] || echo "SKIPPED the manifests: no kubectl here"
