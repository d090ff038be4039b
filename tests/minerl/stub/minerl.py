"""Stands in for MineRL: environments with its spaces and its old API, whose frames show the last action.

The first rows of a frame are black; from there on, one band for each binary action in alphabetical order, bright if it was held,
and two bands for the camera.
"""

# mypy: ignore-errors

import os
import signal
import sys

import gym
import numpy

SIMPLE = ("attack", "back", "forward", "jump", "left", "right", "sneak", "sprint")
HUMAN = (*SIMPLE, "ESC", "drop", *(f"hotbar.{i}" for i in range(1, 10)), "inventory", "pickItem", "swapHands", "use")


class Env:
    """Ends after 6 steps; the reward is the number of binary actions held."""

    names, size, steps = SIMPLE, (64, 64), 6

    def __init__(self, **extra):
        self.extra = extra
        print("noise on standard output, as Minecraft makes it")
        binaries = {name: gym.Discrete(2) for name in self.names}
        self.action_space = gym.Dict({**binaries, "camera": gym.Box(-180, 180, (2,)), **self.extra})
        self.observation_space = gym.Dict({"pov": gym.Box(0, 255, (*self.size, 3)), "inventory": gym.Dict({})})

    def seed(self, seed):
        self.random = numpy.random.RandomState(seed)

    def reset(self):
        self.count, self.log = 0, int(self.random.randint(1000))
        return self.look({})

    def step(self, action):
        if set(action) != set(self.action_space):
            raise ValueError(f"wrong actions: {sorted(action)}")
        assert all(action[name] == "none" for name in self.extra) and action["camera"].dtype == numpy.float32
        assert all(action[name] in (0, 1) for name in self.names)
        self.count += 1
        self.camera = action["camera"]
        return self.look(action), float(sum(action[name] for name in self.names)), self.count >= self.steps, self.about()

    def about(self):
        return {}

    def look(self, action):
        levels = [255 * action.get(name, 0) for name in sorted(self.names)]
        levels += [128 + 100 * value / 180 for value in action.get("camera", (0, 0))]
        frame = numpy.zeros((*self.size, 3), "uint8")
        for i, level in enumerate(levels):
            frame[2 * i + 2 : 2 * i + 4] = level
        pitch = float(action["camera"][0]) if action else 0.0
        return {"pov": frame, "inventory": {"log": numpy.array(self.log)}, "pitch": pitch, "held": "air"}

    def close(self):
        with open(os.path.join(os.environ.get("STUB_CLOSED", "."), "closed"), "w"):
            pass


class Human(Env):
    names, size = HUMAN, (360, 640)


class Long(Env):
    steps = 60


class Crafting(Env):
    def __init__(self):
        super().__init__(craft=gym.Enum("planks", "none", "torch"))


class Limited(Env):
    def about(self):
        return {"TimeLimit.truncated": self.count >= 6}


class Failing(Env):
    def step(self, action):
        raise RuntimeError("Minecraft did not answer\nat all")


class Dying(Env):
    def step(self, action):
        sys.stderr.write("java.lang.OutOfMemoryError\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)


class Obfuscated(Env):
    def __init__(self):
        super().__init__()
        self.action_space = gym.Dict({"vector": gym.Box(-1, 1, (64,))})


gym.registry.update(
    {
        "MineRLTreechop-v0": Env,
        "MineRLHumanSurvival-v0": Human,
        "Crafting-v0": Crafting,
        "MineRLLong-v0": Long,
        "Limited-v0": Limited,
        "Failing-v0": Failing,
        "Dying-v0": Dying,
        "MineRLTreechopVectorObf-v0": Obfuscated,
    }
)
