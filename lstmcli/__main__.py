"""The program: what `lstmcli` and `python -m lstmcli` run."""

from __future__ import annotations

import os
import sys


def open_standard_streams() -> None:
    """Opens the null device for each standard stream that the caller has closed.

    Otherwise the stream is `None`, and the next file that is opened gets its descriptor: what a
    library writes to standard error would end up in that file.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        descriptor = os.open(os.devnull, os.O_RDWR)  # Gets the lowest free number.
        os.set_inheritable(descriptor, True)
        stream = os.fdopen(descriptor, mode, encoding="utf-8", errors="replace")
        setattr(sys, name, stream)


def main() -> None:
    """Runs the command line; Ctrl-C also works while it loads."""
    open_standard_streams()
    try:
        from lstmcli.cli.app import app
    except KeyboardInterrupt:
        sys.stderr.write("error: stopped by Ctrl-C\n")
        sys.exit(130)
    app()


if __name__ == "__main__":
    main()
