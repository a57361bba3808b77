#!/bin/sh
# Which layer holds which bits? The least depth that echoes its input after 3, 6 and 10 steps, eight
# seeds each, and what a linear readout of each layer knows of the bits of earlier steps. Then what is
# lost without a layer, and how far the gradient reaches. Further options go to `train`.
set -eu
for each in 1:3 2:6 3:10; do
  layers=${each%:*} step=${each#*:}
  lstmcli train --layers "$layers" --echo-step "$step" --replicas 8 --out "echo-$step" "$@"
done
lstmcli probe echo-3 echo-6 echo-10 --csv what_layers_do.csv --output what_layers_do.png
lstmcli probe echo-3 echo-6 echo-10 --ablate
lstmcli probe echo-3 echo-6 echo-10 --gradient
