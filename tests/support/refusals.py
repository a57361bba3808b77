"""What tests of bad files share: where kept files lie, and how a bad one is refused."""

from pathlib import Path

import pytest

from lstmcli.config import DataConfig
from lstmcli.data import readers
from lstmcli.utils.errors import ExitCode, LstmcliError

KEPT = Path(__file__).parents[1] / "kept"
UNSEALED = KEPT / "unsealed"
ESCAPE = "\x1b[31m"


def assert_refused(read, path, what):
    """Whatever the damage: exit code 4 and the file's name, and nothing but a LstmcliError."""
    try:
        read(path)
    except LstmcliError as error:
        found = error
    else:
        pytest.fail(f"was read silently: {what}")
    assert found.exit_code == ExitCode.BAD_FILE, f"{what}: {found.message}"
    assert path.name in found.message, what
    assert len(found.message) < 2000, what


def parts_of(path):
    return readers.read_parts(DataConfig(data=str(path)))
