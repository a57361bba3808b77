"""The program: the script `lstmcli`, and `python -m lstmcli` where that is not on the path."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; Ctrl-C is understood while it still loads."""
    try:
        from lstmcli.cli.app import app
    except KeyboardInterrupt:
        sys.stderr.write("error: stopped by Ctrl-C\n")
        sys.exit(130)
    app()


if __name__ == "__main__":
    main()
