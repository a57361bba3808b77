#!/bin/sh
# Jozefowicz, Zaremba and Sutskever (2015): a forget gate that begins open helps. On the adding problem
# over 30 steps (Hochreiter and Schmidhuber 1997, experiment 4).
set -e
lstmcli sweep --task adding --sequence-length 30 --forget-bias 0,1,3 --layers 1 --state-size 16 \
  --bptt 33 --batch-size 16 --optimizer adam --learning-rate 0.01 --clip-norm 1 --epochs 80 \
  --seeds 8 --out forget-bias "$@"
