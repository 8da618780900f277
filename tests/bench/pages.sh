#!/usr/bin/env bash
# How fast pages answer with 2,000 people and 10,000 devices on SQLite. Prints the median and the 99th percentile of each
# page, and fails where the latter is above 50 ms. Run it on a machine that does nothing else.
#
#   tests/bench/pages.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
DOORWARD_PAGES_ALONE=1 exec cargo test --release --workspace --test server pages_of_a_large_shop -- --nocapture
