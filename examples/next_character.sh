#!/bin/sh
# What comes next in a text? A model learns lstmcli's own source code for two minutes; its figure shows
# the most probable next characters along a line that it has not seen.
set -eu
python - > code.txt <<'CODE'
from pathlib import Path
import lstmcli
print("\n".join(path.read_text() for path in sorted(Path(lstmcli.__file__).parent.rglob("*.py"))))
CODE
lstmcli train --data code.txt --layers 2 --state-size 96 --epochs 6 --optimizer adam \
  --learning-rate 0.005 --out code "$@"
lstmcli plot code --output next_character.png
