"""A process that has TensorFlow loaded, and forks for each command line that it is given.

It reads a command line, what the environment gets beside, and the write at which the process ends
itself (`own_end.py`), if there is one, as JSON from each line of standard input. It answers with
two lines: the number of the process that runs it, and what `os.waitpid` said of its end. TensorFlow
is loaded, and not yet used, so that a fork is safe and starts at once, and sets itself up as a
process of its own.
"""

import json
import os
import sys
import traceback


def child(arguments, own_end=None):
    from lstmcli.cli.app import app

    sys.stdout = sys.stderr = open("output.txt", "a")  # noqa: PTH123, SIM115
    os.dup2(sys.stderr.fileno(), 2)
    if own_end:
        from own_end import arm

        arm(*own_end)
    code = 1
    try:
        app(arguments)
    except SystemExit as error:
        code = error.code
    except KeyboardInterrupt:
        code = 130  # As the command's own `main` has it.
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    import tensorflow  # noqa: F401

    import lstmcli.api  # noqa: F401

    for line in sys.stdin:
        process = os.fork()
        if not process:
            given = json.loads(line)
            os.environ |= given["environment"]
            child(given["arguments"], given["own_end"])
        print(process, flush=True)
        print(os.waitpid(process, 0)[1], flush=True)
