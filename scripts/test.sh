#!/usr/bin/env bash
# shellcheck disable=SC2317 # functions are called through `check`
# Installs what is missing, then runs every check of the project, in the order in which a failure is cheapest to see. Ends with a
# summary; stops at nothing, so that one run names everything that is wrong.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
scripts/setup.sh test || exit
if [ -e .runtime/libonnxruntime.so ]; then export ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$PWD/.runtime/libonnxruntime.so}; fi
mkdir -p target/checks
results=() failed=0

# check NAME COMMAND…: runs it, its output in target/checks/, shown when it fails.
check() {
  local name=$1 log started=$SECONDS
  shift
  log=target/checks/${name//[^a-z0-9]/-}.log
  printf '== %s\n' "$name"
  if "$@" >"$log" 2>&1 </dev/null; then
    results+=("ok      $name ($((SECONDS - started)) s)")
  else
    results+=("FAILED  $name: see $log")
    failed=1
    tail -n 80 "$log"
  fi
}
skip() { results+=("skipped $1"); }

features() { cargo clippy --quiet --locked --workspace --all-targets "$@" -- -D warnings; }
documentation() { RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --workspace --no-deps; }
tests() {
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --workspace --all-features --profile ci
  else
    # nextest ends what hangs; here a limit has to.
    timeout --kill-after=10 1800 cargo test --locked --workspace --all-features --no-fail-fast --lib --bins --tests -- --show-output
  fi
}
# Tests that found a prerequisite missing say `SKIPPED: why`.
skipped_tests() { grep -rhoE 'SKIPPED: [^<]*' target/nextest/ci/junit.xml target/checks/tests.log 2>/dev/null | sort | uniq -c; }

data=${EGRET_TEST_DATA:-../shared/data}
export EGRET_TEST_DATA
EGRET_TEST_DATA=$(realpath -m "$data")
if [ -d "$data" ]; then
  EGRET_REFERENCE_PYTHON=$(scripts/reference-venv.sh) && export EGRET_REFERENCE_PYTHON || failed=1
else
  skip "comparison with the Python reference: no test data in $data (set EGRET_TEST_DATA)"
fi
if [ -z "${EGRET_NVRTC:-}" ]; then
  # The compiler of the kernels; 114 MB, once. On machines for which none is pinned those tests say that they were skipped.
  if EGRET_NVRTC=$(scripts/nvrtc.sh); then
    export EGRET_NVRTC
  else
    unset EGRET_NVRTC
    skip "the kernels' PTX: no NVRTC"
  fi
fi
rm -f target/nextest/ci/junit.xml

check "formatting" cargo fmt --all --check
check "lints, all features" features --all-features
check "lints, no features" features --no-default-features
check "lints, sim alone" features --no-default-features --features sim
check "lints, tensorrt alone" cargo clippy --quiet --locked -p egret-jetson --all-targets --features tensorrt -- -D warnings
check "tests" tests
check "documentation tests" cargo test --quiet --locked --workspace --all-features --doc
check "documentation" documentation
check "systemd units" scripts/units.sh
if command -v shellcheck >/dev/null; then
  check "shell scripts" shellcheck -x scripts/*.sh scripts/acceptance/*.sh scripts/acceptance/{inside,update}/*.sh daemon/benches/*.sh jetson/benches/*.sh .ci/run systemd/debian/{keep-package,egret-rollback} systemd/debian/egret.p*
  check "flashing scripts, lints" shellcheck -x jetson/flash/*.sh
  mapfile -t scripts < <(grep -rlE '^#!/bin/sh|^# shellcheck shell=' yocto/meta-egret)
  check "scripts of the Yocto layer, lints" shellcheck yocto/update-keys.sh scripts/acceptance/yocto.sh "${scripts[@]}"
else
  skip "shell scripts: shellcheck is not installed"
fi
check "flashing scripts" python3 -m unittest discover -s jetson/flash/tests
if yocto_python=$(scripts/yocto-venv.sh); then
  check "Yocto recipes and kas files" scripts/yocto-lint.sh "$yocto_python"
  check "Yocto layer" "$yocto_python" -m unittest discover -s yocto/tests
else
  failed=1
fi
if cargo deny --version >/dev/null 2>&1; then
  check "licences and advisories" cargo deny --locked check
else
  skip "licences and advisories: cargo-deny is not installed (cargo install cargo-deny)"
fi

printf '\n== summary\n'
printf '%s\n' "${results[@]}"
grep -E '^ +Summary' target/checks/tests.log || grep -E '^test result' target/checks/tests.log
skipped_tests
[ $failed -eq 0 ] && echo "all checks passed in $SECONDS s" || echo "SOME CHECKS FAILED"
exit $failed
