#!/bin/sh
# Hochreiter and Schmidhuber's temporal order problem (1997, experiment 6a) with its own lengths: eight
# seeds of one layer, each stopped once it has solved it. The forget gate, which came later (Gers,
# Schmidhuber and Cummins 2000), begins open.
set -e
lstmcli train --task order --bptt 110 --batch-size 16 --layers 1 --state-size 16 --forget-bias 5 \
  --optimizer adam --learning-rate 0.005 --clip-norm 1 --epochs 300 --until-solved --replicas 8 \
  --out temporal-order "$@"
lstmcli eval temporal-order
