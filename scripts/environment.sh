# Sourced by the other scripts: goes to the repository, makes .venv with the pinned packages, activates it.
# Quick when nothing has changed. Another interpreter: PYTHON=python3.12 bash scripts/...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
extra=${1:-}
if ! command -v "$python" >/dev/null; then
    echo "environment: no \`$python\` found. Expected Python 3.11 or newer. On Debian or Ubuntu: apt install python3 python3-venv" >&2
    exit 2
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "environment: \`$python\` is $("$python" --version). Expected Python 3.11 or newer. Name one: PYTHON=python3.12 bash $0" >&2
    exit 2
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    echo "environment: \`$python\` has no module venv. Expected it to be installed. On Debian or Ubuntu: apt install python3-venv" >&2
    exit 2
fi

# Packages are installed again only when the files that name them, the interpreter or the folder have changed.
wanted=$(cat pyproject.toml constraints.txt <("$python" --version) <(pwd) | cksum)
stamps=(.venv/.installed-dev)
[ "$extra" = dev ] || stamps+=(.venv/.installed)
if ! grep -qsxF "$wanted" "${stamps[@]}"; then
    echo "environment: installing the pinned packages into .venv (a few minutes the first time)" >&2
    # a moved folder leaves the old path in the installed commands: start over
    [ "$(cat .venv/.folder 2>/dev/null)" = "$PWD" ] || rm -rf .venv
    "$python" -m venv .venv
    pwd >.venv/.folder
    # torch alone first: a pinned version never meets the resolver's choice of another build
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${extra:+[$extra]}"
    echo "$wanted" >".venv/.installed${extra:+-$extra}"
fi
# shellcheck disable=SC1091
source .venv/bin/activate
