"""The map of the package in CONTRIBUTING.md, which cog makes from the docstrings' first lines."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2] / "lstmcli"
FLOORS = (
    ("8", "cli"), ("7", "api.py"), ("6", "reporting"), ("5", "sweeps"), ("5", "probes"),
    ("5", "inference"), ("4", "training"), ("3", "data"), ("3", "core"), ("2", "model_spec.py"),
    ("2", "signatures.py"),
    ("2", "config.py"), ("2", "defaults.py"), ("1", "utils"),
)  # fmt: skip


def headline(path):
    """The first line of a module's docstring, without its full stop."""
    return ast.get_docstring(ast.parse(path.read_text())).split("\n")[0].rstrip(".")


def rooms():
    """A table of the package's modules by layer, then one for the files of each subpackage."""
    yield "| layer | module | what is in it |\n| --- | --- | --- |"
    for floor, name in FLOORS:
        path = ROOT / name
        file = path if path.suffix else path / "__init__.py"
        yield f"| {floor} | `{name}{'' if path.suffix else '/'}` | {headline(file)} |"
    for _, name in FLOORS:
        if (ROOT / name).is_dir():
            yield f"\n**`{name}/`**\n\n| file | what is in it |\n| --- | --- |"
            for path in sorted((ROOT / name).rglob("*.py")):
                if path != ROOT / name / "__init__.py":
                    yield f"| `{path.relative_to(ROOT / name)}` | {headline(path)} |"
