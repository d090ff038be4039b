"""Runs an old-API Gym environment of MineRL for `worldsim.envs.games.minerl`, in a Python that has MineRL.

It needs nothing of worldsim, and runs in any Python from 3.6 on. A message is a line of JSON with its length
before it, then the bytes of the frame, if it has one, with theirs before them. Nothing is unpickled.
"""

import argparse
import contextlib
import json
import os
import struct
import sys
import traceback

LENGTH = struct.Struct("<I")


def send(stream, content, frame=b""):
    """Writes a message: JSON, then the frame's bytes."""
    text = json.dumps(content).encode()
    stream.write(LENGTH.pack(len(text)) + text + LENGTH.pack(len(frame)) + frame)
    stream.flush()


def receive(stream):
    """Reads a message: its JSON and the frame's bytes; None at the end of the stream."""
    parts = []
    for _ in range(2):
        size = stream.read(LENGTH.size)
        if len(size) < LENGTH.size:
            return None
        parts.append(stream.read(LENGTH.unpack(size)[0]))
    return json.loads(parts[0].decode()), parts[1]


def describe(env):
    """What the spaces are, as JSON: each action with its kind, and the size of a frame."""
    noop = env.action_space.no_op() if hasattr(env.action_space, "no_op") else env.action_space.noop()
    actions = {name: describe_action(name, space, noop[name]) for name, space in env.action_space.spaces.items()}
    pov = dict(env.observation_space.spaces).get("pov")
    steps = getattr(getattr(env, "spec", None), "max_episode_steps", None)
    return {"actions": actions, "pov": None if pov is None else list(pov.shape), "max_steps": steps}


def describe_action(name, space, noop):
    """What one action is: binary, the camera, one of several words, or something else."""
    if getattr(space, "values", None) is not None:
        return {"kind": "enum", "values": [str(value) for value in space.values], "noop": str(noop)}
    if getattr(space, "n", None) == 2:
        return {"kind": "binary"}
    if getattr(space, "shape", None) == (2,) and name == "camera":
        return {"kind": "camera", "low": float(space.low.min()), "high": float(space.high.max())}
    return {"kind": "other", "space": repr(space)}


def numbers(observation, prefix=""):
    """All single numbers of an observation by name, such as {"inventory.log": 3.0}."""
    found = {}
    for name, value in dict(observation).items():
        if isinstance(value, dict):
            found.update(numbers(value, prefix + name + "."))
        elif name != "pov" and getattr(value, "size", 1) == 1 and not isinstance(value, (str, bytes)):
            with contextlib.suppress(TypeError, ValueError):
                found[prefix + name] = float(value)
    return found


def shown(observation):
    """The frame's shape and bytes, and the numbers."""
    import numpy

    frame = numpy.ascontiguousarray(observation["pov"], dtype=numpy.uint8)
    return {"shape": list(frame.shape), "numbers": numbers(observation)}, frame.tobytes()


def take(env, action, noops):
    """One step of an action given as JSON."""
    import numpy

    full = dict(noops)
    full.update({name: value for name, value in action.items() if name != "camera"})
    if "camera" in action:
        full["camera"] = numpy.array(action["camera"], dtype=numpy.float32)
    observation, reward, done, *rest = env.step(full)
    info = rest[-1]
    cut = bool(rest[0]) if len(rest) == 2 else bool(info.get("TimeLimit.truncated", False))
    over = bool(done) if len(rest) == 2 else bool(done) and not cut
    content, frame = shown(observation)
    return {"reward": float(reward), "terminated": over, "truncated": cut, **content}, frame


def main():
    """Answers messages until the stream ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", required=True)
    parser.add_argument("--package", default="minerl")
    options = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))  # where other files have the names of packages
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or os.curdir) != here]
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Minecraft, and whatever else prints, writes to stderr from here on
    env = None
    try:
        import importlib

        import gym

        importlib.import_module(options.package)
        env = gym.make(options.env)
        about = describe(env)
        noops = {name: one["noop"] for name, one in about["actions"].items() if one["kind"] == "enum"}
        send(answers, about)
        while True:
            message = receive(sys.stdin.buffer)
            if message is None or message[0]["call"] == "close":
                break
            call = message[0]
            if call["call"] == "reset":
                env.seed(call["seed"])
                observation = env.reset()
                send(answers, *shown(observation[0] if isinstance(observation, tuple) else observation))
            else:
                send(answers, *take(env, call["action"], noops))
    except Exception as error:
        traceback.print_exc()
        send(answers, {"error": f"{type(error).__name__}: {error}"})
    finally:
        if env is not None:
            env.close()


if __name__ == "__main__":
    main()
