"""Stands in for an old Gym in `minerl_stub`: `make`, and the four spaces that MineRL's environments have."""

# mypy: ignore-errors


class Discrete:
    def __init__(self, n):
        self.n = n


class Enum(Discrete):
    def __init__(self, *values):
        super().__init__(len(values))
        self.values = sorted(values)


class Box:
    def __init__(self, low, high, shape):
        import numpy

        self.low, self.high, self.shape = numpy.full(shape, low), numpy.full(shape, high), shape


class Dict:
    def __init__(self, spaces):
        self.spaces = spaces

    def __iter__(self):
        return iter(self.spaces)

    def __getitem__(self, name):
        return self.spaces[name]

    def keys(self):
        return self.spaces.keys()

    def no_op(self):
        import numpy

        kinds = {Discrete: 0, Enum: "none"}
        return {name: kinds.get(type(space), numpy.zeros(2, "float32")) for name, space in sorted(self.spaces.items())}


registry = {}


def make(name):
    if name not in registry:
        raise KeyError("No registered env with id: " + name)
    return registry[name]()
