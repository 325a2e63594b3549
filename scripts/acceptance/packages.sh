#!/usr/bin/env bash
# Acceptance: both Debian packages, and lintian without a warning.
#   scripts/acceptance/packages.sh [DIR]      default: target/acceptance/packages
# EGRET_ACCEPTANCE_BINARY: a program that is taken for both packages instead of two release builds, for instance target/debug/egret of
# a build with all features. What is proved of packages and units then is proved with that program.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-target/acceptance/packages}
mkdir -p "$out"
rm -f "$out"/*.deb
options=()
if [ -n "${EGRET_ACCEPTANCE_BINARY:-}" ]; then
  echo "packages: of $EGRET_ACCEPTANCE_BINARY, for both"
  options=(--egret "$EGRET_ACCEPTANCE_BINARY" --egret-demo "$EGRET_ACCEPTANCE_BINARY" --fast)
fi
scripts/package.sh --out "$out" "${options[@]}"
if command -v lintian >/dev/null; then
  # Who builds as root is not asked whether that is wise.
  lintian --allow-root --fail-on error,warning "$out"/*.deb
  echo "lintian: no error, no warning ($(lintian --version))"
else
  echo "packages: lintian is not installed" >&2
  exit 1
fi
