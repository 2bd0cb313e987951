#!/usr/bin/env bash
# The site in build/site/html, built from this checkout without network: any static host serves that folder as it is.
#   bash scripts/site.sh                built from what is here
#   bash scripts/site.sh --linkcheck    asks the servers of all outer links
arguments=("$@")
# shellcheck source=scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" dev
python scripts/website ${arguments[@]+"${arguments[@]}"}
