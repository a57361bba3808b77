#!/bin/sh
# A longer memory: the same network has to echo its input eight steps later, over half a window.
# One layer, two layers, three: which of them learns it?
set -eu
for layers in 1 2 3; do
  lstmcli train --layers "$layers" --echo-step 8 --epochs 30 --out "echo-8-$layers" "$@"
  lstmcli eval "echo-8-$layers"
done
