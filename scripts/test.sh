#!/usr/bin/env bash
# Format, lint, types and tests in the pinned environment.
#   bash scripts/test.sh            everything
#   bash scripts/test.sh --fast     without the slow tests
#   bash scripts/test.sh ARGS ...   ARGS for pytest
# Two processes run the tests, one thread each: two threads beside a busy process slow each other down. The one that ends
# first takes tests from the other. PROCESSES=0 runs them in one.
arguments=("$@")
# shellcheck source=scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" dev
if [ "${arguments[0]:-}" = --fast ]; then
    arguments=(-m "not slow" "${arguments[@]:1}")
fi
# so that neither the many programs that the tests start nor pytest compile everything each time
unset PYTHONDONTWRITEBYTECODE
ruff format --check .
ruff check .
pyright
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} python -m pytest -n "${PROCESSES:-2}" --dist worksteal ${arguments[@]+"${arguments[@]}"}
