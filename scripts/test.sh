#!/usr/bin/env bash
# Format, lint, types and tests in the pinned environment.
#   bash scripts/test.sh            everything
#   bash scripts/test.sh --fast     without the slow tests
#   bash scripts/test.sh ARGS ...   ARGS for pytest
arguments=("$@")
# shellcheck source=scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" dev
if [ "${arguments[0]:-}" = --fast ]; then
    arguments=(-m "not slow" "${arguments[@]:1}")
fi
ruff format --check .
ruff check .
pyright
python -m pytest ${arguments[@]+"${arguments[@]}"}
