#!/bin/sh
# The article's experiment: three layers of four units learn to echo random bits three steps later.
# Further options go to `train`: `sh examples/article.sh --epochs 10`.
set -eu
lstmcli train --layers 3 --out article "$@"
lstmcli eval article
lstmcli inspect article
lstmcli plot article --output article.png
