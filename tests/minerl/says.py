"""Run by a Python that has MineRL: prints as JSON what the real package says, of 0.4.4 or of 1.0.

`spaces WORKER` describes every environment with a camera, and samples its actions; `contains FILE` tells which actions in a file
belong to them; `vpt FILE` translates a VPT recording; `trajectory FOLDER OUT` reads one of MineRL's dataset.
"""

# mypy: ignore-errors

import importlib.util
import json
import sys

import numpy as np


def playable():
    """Name and environment of all with a camera; none of them starts Minecraft before its first reset."""
    import gym
    import minerl  # noqa: F401

    for spec in gym.envs.registry.all():
        if "MineRL" in spec.id and "Obf" not in spec.id and "Vector" not in spec.id:
            yield spec.id, gym.make(spec.id)


def spaces(path):
    loaded = importlib.util.spec_from_file_location("worker", path)
    worker = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(worker)
    found = {}
    for name, env in playable():
        env.action_space.seed(0)
        samples = [env.action_space.sample() for _ in range(20)]
        found[name] = worker.describe(env), [{key: np.asarray(value).tolist() for key, value in s.items()} for s in samples]
    return found


def contains(path):
    with open(path) as file:
        given = json.load(file)
    result = {}
    for name, env in playable():
        result[name] = []
        for action in given[name]:
            action["camera"] = np.array(action["camera"], np.float32)
            result[name].append(bool(env.action_space.contains(action)))
    return result


def vpt(path):
    from minerl.herobraine.hero import mc

    with open(path) as file:
        lines = [json.loads(line) for line in file]
    after = [*lines[1:], lines[-1]]
    actions = [mc.minerec_to_minerl_action(line, esc_to_inventory=False) for line in lines]
    slots = [mc.minerec_to_minerl_action(line, following) for line, following in zip(lines, after)]  # noqa: B905 (old Python)
    for action, slot in zip(actions, slots):  # noqa: B905
        action.update({name: max(action[name], value) for name, value in slot.items() if name.startswith("hotbar")})
        action["camera"] = action["camera"].tolist()
    return actions


def trajectory(folder, out):
    from minerl.data.data_pipeline import DataPipeline

    now, action, reward, after, done = DataPipeline._load_data_pyfunc(folder, -1, None)[:5]
    actions = {"action_" + name: values for name, values in action.items()}
    np.savez(out, now=now["pov"], after=after["pov"], reward=reward, done=done, **actions)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
