"""A file system that loses what was not synced: its states after a power loss at any moment.

Python's own audit events tell of every call that opens, renames, makes or removes; `os.fsync` is
watched besides. Before each of them the whole tree is looked at, so that what was written since the
last one shows as it came to lie on the disk. From such a history the states follow in which a power
loss may leave the disk:

- a file has what it had when it was last synced, or any part of what was written since: nothing, a
  half, a half followed by zeros, or all;
- a name that was made, renamed or removed since its directory was last synced is there, or is not.
"""

import itertools
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field

CHANGING = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"}


@dataclass
class Moment:
    """The tree as it stands, and as it is safe.

    Attributes:
        contents: by inode, what a file holds.
        names: by directory (an inode), the inode of each name.
        safe_contents: by inode, what it held when it was last synced.
        safe_names: by directory, its names when it was last synced.
        versions, pending: what a file held, and a directory's names, since it was last synced.
        note: how far whoever is watched had come.
    """

    contents: dict = field(default_factory=dict)
    names: dict = field(default_factory=dict)
    safe_contents: dict = field(default_factory=dict)
    safe_names: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    pending: dict = field(default_factory=dict)
    note: object = None


class Watcher:
    """Keeps the history of a directory while something writes to it."""

    def __init__(self, root):
        self.root = root
        self.inode = root.stat().st_ino
        self.history = []
        self.note = None
        self._busy = False
        self._held = {}  # Open, so that no other file gets the inode of one that was removed.
        self._look()
        now = self.history[0]  # What is there at the beginning is safe.
        now.safe_contents, now.safe_names = dict(now.contents), dict(now.names)
        now.versions, now.pending = {}, {}

    @contextmanager
    def watching(self):
        real, self._on = os.fsync, True
        sys.addaudithook(self._heard)
        os.fsync = lambda handle: self._synced(handle, real)
        try:
            yield self
            self._look()
        finally:
            for handle in self._held.values():
                os.close(handle)
            os.fsync, self._on = real, False  # A hook cannot be taken away, only silenced.

    def _heard(self, event, _):
        if event in CHANGING and self._on and not self._busy:
            self._look()

    def _synced(self, handle, real):
        self._look()
        real(handle)
        inode, now = os.fstat(handle).st_ino, self._copy()
        if inode in now.contents:
            now.safe_contents[inode] = now.contents[inode]
            now.versions.pop(inode, None)
        elif inode in now.names:
            now.safe_names[inode] = now.names[inode]
            now.pending.pop(inode, None)
        self.history.append(now)

    def _copy(self):
        last = self.history[-1] if self.history else Moment()
        copies = {
            name: dict(value) if isinstance(value, dict) else value
            for name, value in vars(last).items()
        }
        return Moment(**{**copies, "note": self.note})

    def _look(self):
        self._busy = True
        try:
            now, last = self._copy(), self.history[-1] if self.history else Moment()
            now.contents, now.names = dict(last.contents), {}
            self._read(self.root, now)
            for inode, content in now.contents.items():
                if last.contents.get(inode) != content:
                    now.versions[inode] = (*now.versions.get(inode, ()), content)
            for inode, names in now.names.items():
                if last.names.get(inode) != names:
                    now.pending[inode] = (*now.pending.get(inode, ()), names)
            if vars(now) != vars(last):
                self.history.append(now)
        finally:
            self._busy = False

    def _read(self, folder, now):
        names = {}
        for entry in os.scandir(folder):
            if entry.is_symlink():
                continue
            names[entry.name] = entry.inode()
            if entry.is_dir():
                self._read(folder / entry.name, now)
            else:
                if entry.inode() not in self._held:
                    self._held[entry.inode()] = os.open(entry.path, os.O_RDONLY)
                now.contents[entry.inode()] = (folder / entry.name).read_bytes()
        now.names[folder.stat().st_ino] = names


def states(moment, root, rng, most):
    """Yields trees, `{path: content}`, that a power loss at a moment may leave: at most so many.

    Those in which as much or as little as can be has come to the disk are always among them.
    """
    inodes = sorted(moment.versions)
    choices = {inode: _contents(moment, inode) for inode in inodes}
    folders = {inode: _names(moment, inode) for inode in sorted(moment.pending)}
    keys = [*choices, *folders]
    options = [*choices.values(), *folders.values()]
    extremes = [[each[0] for each in options], [each[-1] for each in options]]
    drawn = [[rng.choice(each) for each in options] for _ in range(most - 2)]
    count = 1
    for each in options:
        count *= len(each)
    picked = itertools.product(*options) if count <= most else [*extremes, *drawn]
    for chosen in picked:
        yield _tree(moment, root, dict(zip(keys, chosen, strict=True)))


def _contents(moment, inode):
    """What a file may hold, from what is safe to all that was written."""
    safe = moment.safe_contents.get(inode, b"")
    found = [safe]
    for version in moment.versions[inode]:
        kept = len(safe) if version.startswith(safe) else 0  # What is appended harms no other.
        half = kept + (len(version) - kept) // 2
        found += [version[:half], version[:half] + bytes(len(version) - half), version]
    return list(dict.fromkeys(found))


def _names(moment, folder):
    """Which names a directory may have: each one's change on the disk, or not."""
    before = moment.safe_names.get(folder, {})
    steps = [before, *moment.pending[folder]]
    choices = {
        name: list(dict.fromkeys(step.get(name) for step in steps))
        for name in {name for step in steps for name in step}
    }
    found = []
    # The renames in the order in which they were made, and any one name ahead of the others.
    for step in steps:
        found.append(step)
        for name, inodes in choices.items():
            for inode in inodes:
                other = {**step, name: inode}
                found.append({key: value for key, value in other.items() if value is not None})
    unique = {tuple(sorted(each.items())): each for each in found}
    return [*unique.values(), steps[-1]]


def _tree(moment, folder, chosen):
    """The files below a directory, by their paths from it."""
    found = {}
    names = chosen.get(folder, moment.names.get(folder, moment.safe_names.get(folder, {})))
    for name, inode in names.items():
        if inode in moment.contents:
            found[name] = chosen.get(inode, moment.contents[inode])
        elif inode in moment.names or inode in moment.safe_names:
            below = _tree(moment, inode, chosen)
            found[name] = None
            found |= {f"{name}/{path}": content for path, content in below.items()}
    return found


def write_tree(tree, place):
    """Makes the files of a state."""
    for path, content in tree.items():
        if content is None:
            (place / path).mkdir(parents=True, exist_ok=True)
        else:
            (place / path).write_bytes(content)
