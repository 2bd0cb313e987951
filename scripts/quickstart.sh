#!/usr/bin/env bash
# The main job on digits: make the environment, train five initializers, show which one to use.
#   bash scripts/quickstart.sh [KEY=VALUE ...]    for example: bash scripts/quickstart.sh protocol=quick
# Results go to results/quickstart in the repository, or to $RESULTS.
arguments=("$@")
# shellcheck source=scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ""
results=${RESULTS:-results/quickstart}
python -m initsuite.train -m init=zero,normal,xavier,he,orthogonal \
    experiment_name=quickstart "results_dir=$results" ${arguments[@]+"${arguments[@]}"}
python -m initsuite.report "$results"
