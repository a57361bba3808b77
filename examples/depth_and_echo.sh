#!/bin/sh
# How does the depth that the echo task needs grow with the echo step? Up to 20 steps: further back
# than the 15 steps of a window, so that only the carried state can bridge them.
# `sh examples/depth_and_echo.sh --dry-run` shows the plan; the whole of it takes some minutes.
set -eu
lstmcli sweep --layers 1-6 --echo-step 3,6,10,14,20 --learning-rate 0.3 --seeds 8 --out depth-and-echo "$@"
