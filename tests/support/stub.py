"""The Python functions' signatures for editors: cog writes them to `lstmcli/__init__.pyi`."""

import inspect

import lstmcli


def shown(parameter):
    """A default as ruff writes it; one that follows from the data is `None`."""
    return repr(parameter.default).replace("'", '"')


def verbs():
    """A function for each verb, a line for each of its parameters."""
    for name in lstmcli.__all__:
        signature = inspect.signature(getattr(lstmcli, name))
        yield f"def {name}("
        starred = False
        for parameter in signature.parameters.values():
            name, several = parameter.name, parameter.kind is parameter.VAR_POSITIONAL
            if parameter.kind is parameter.KEYWORD_ONLY and not starred:
                yield "    *,"
            starred = starred or several or parameter.kind is parameter.KEYWORD_ONLY
            default = "" if parameter.default is parameter.empty else f" = {shown(parameter)}"
            yield f"    {'*' * several}{name}: {parameter.annotation}{default},"
        yield f") -> {signature.return_annotation}: ..."
