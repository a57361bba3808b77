"""Random damage to a file's bytes, as disks, cables and crashes do it."""

import json
import random

BLOCK = 64


def flipped(content, rng):
    position = rng.randrange(len(content))
    return _with(content, position, bytes([content[position] ^ (1 << rng.randrange(8))]))


def truncated(content, rng):
    return content[: rng.randrange(len(content))]


def lengthened(content, rng):
    return content + rng.randbytes(rng.randrange(1, 100))


def zeroed(content, rng):
    begin, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return _with(content, begin, bytes(end - begin))


def overwritten(content, rng):
    begin = rng.randrange(len(content))
    return _with(content, begin, rng.randbytes(min(rng.randrange(1, BLOCK), len(content) - begin)))


def swapped_blocks(content, rng):
    first, second = (BLOCK * rng.randrange(len(content) // BLOCK) for _ in range(2))
    one, other = content[first : first + BLOCK], content[second : second + BLOCK]
    return _with(_with(content, first, other), second, one)


def lost_block(content, rng):
    begin = rng.randrange(len(content))
    return content[:begin] + content[begin + rng.randrange(1, BLOCK) :]


KINDS = (flipped, truncated, lengthened, zeroed, overwritten, swapped_blocks, lost_block)


def swapped_tensors(content, rng):
    """A `.safetensors` file in which two tensors of one shape have each other's name."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    names = sorted(name for name in header if name != "__metadata__")
    pairs = [
        (a, b) for a in names for b in names if a < b and header[a]["shape"] == header[b]["shape"]
    ]
    first, second = rng.choice(pairs)
    header[first], header[second] = header[second], header[first]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return content[:8] + text.ljust(end - 8) + content[end:]


def damages(content, count, seed, kinds=KINDS):
    """Yields `count` damaged contents, each with what was done to it."""
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        kind = kinds[number % len(kinds)]
        while (damaged := kind(content, rng)) == content:
            pass  # Such as a block of zeros that was zeroed.
        yield f"{kind.__name__}, number {number} of seed {seed}", damaged


def _with(content, begin, piece):
    return content[:begin] + piece + content[begin + len(piece) :]
