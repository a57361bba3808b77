"""A stand-in for Ray that runs tasks immediately, in this process."""

import pickle


class exceptions:  # noqa: N801, as Ray has it.
    """Ray's module of that name."""

    class RayError(Exception):
        """What a task has died of."""


class Reference:
    """The result of a call, or what it died of."""

    def __init__(self, call, arguments):
        self.value = self.error = None
        try:
            self.value = call(
                *(each.value if isinstance(each, Reference) else each for each in arguments)
            )
        except exceptions.RayError as error:
            self.error = error


class Remote:
    """A function, or an object's method, that is called elsewhere."""

    def __init__(self, call):
        self._call = call

    def options(self, **resources):
        return self

    def remote(self, *arguments):
        return Reference(self._call, arguments)


class Actor:
    """An object that lives elsewhere."""

    def __init__(self, held):
        self._held = held

    def __getattr__(self, name):
        return Remote(getattr(self._held, name))


def remote(**options):
    """As Ray's decorator, of functions alone."""
    return Remote


def put(value):
    """An object that is nobody's own any more, and whose arrays nobody can write to."""
    buffers = []
    content = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return Reference(lambda: pickle.loads(content, buffers=[bytes(each) for each in buffers]), [])


def get(reference, timeout=None):
    """A result."""
    if reference.error:
        raise reference.error
    return reference.value


def wait(references, num_returns=1, timeout=None):
    """All are done."""
    return references, []


def kill(actor):
    """It keeps nothing."""
