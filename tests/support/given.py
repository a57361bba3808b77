"""A schedule's input window, made of plain arrays."""


class Given:
    """Windows that are made by hand: `[windows, T, B, …]` by name."""

    def __init__(self, arrays):
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays["targets"])

    def take(self, begin, count):
        return {name: array[begin : begin + count] for name, array in self.arrays.items()}
