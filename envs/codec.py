"""From the actions that an environment takes to the controls that a dataset holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games.infer.controls import wire
from worldsim.errors import EnvError, GameError, shown


class Codec:
    """Turns the actions of one or many environments into control vectors.

    Args:
        spec: the controls.
        vector: action of one environment -> `Controls`, or a control vector `(A,)`.
        vectors: the same for a batch, `(N, ...)` -> `(N, A)`; by default row by row.
    """

    def __init__(
        self, spec: ControlSpec, vector: Callable[[Any], Any], vectors: Callable[[Any, int], NDArray[Any]] | None = None
    ) -> None:
        self.spec, self._vector, self._vectors = spec, vector, vectors

    def vector(self, action: Any) -> NDArray[np.float32]:
        """Control vector `(A,)` of an action.

        Raises:
            ControlError: if it does not fit the spec.
        """
        given = self._vector(action)
        return self.spec.to_vector(given) if isinstance(given, Controls) else self.spec.check_vector(given)

    def vectors(self, actions: Any, count: int) -> NDArray[np.float32]:
        """Control vectors `(count, A)` of a batch of actions."""
        if self._vectors is not None:
            return self._vectors(actions, count)
        return np.stack([self.vector(_row(actions, i)) for i in range(count)])


def codec_of(env: Any) -> Codec:
    """The codec of an environment, single or batched.

    Environments of ours say what their actions mean. For others controls are found as `worldsim new` finds them: by the names of
    their actions, otherwise a key for each; and mouse motion for axes.

    Raises:
        EnvError: if the actions cannot be given with keys and mouse.
    """
    view = getattr(env.unwrapped, "view", None)
    if view is not None and hasattr(view, "vectors"):
        return Codec(view.spec, view.vector, view.vectors)
    space = getattr(env, "single_action_space", env.action_space)
    spec = _control_spec(env)
    if spec is not None and space == spec.action_space():
        return Codec(spec, lambda action: _native(spec, action))
    one = env if isinstance(env, gymnasium.Env) else next(iter(getattr(env.unwrapped, "envs", ())), None)
    if one is not None:
        with suppress(GameError):
            wiring = wire(one)
            return Codec(wiring.spec, wiring.actions.held)
    raise EnvError(
        f"actions are {shown(space)}, which keys and mouse cannot give; say what they stand for, as "
        "controls=(ControlSpec(...), function), where the function turns an action into Controls."
    )


def _control_spec(env: Any) -> ControlSpec | None:
    try:
        spec = env.get_wrapper_attr("control_spec") if isinstance(env, gymnasium.Env) else env.get_attr("control_spec")[0]
    except (AttributeError, IndexError):
        return None
    return spec if isinstance(spec, ControlSpec) else None


def _native(spec: ControlSpec, action: Any) -> Any:
    return spec.from_action(action) if isinstance(action, Mapping) else action


def _row(actions: Any, row: int) -> Any:
    if isinstance(actions, Mapping):
        return {name: _row(part, row) for name, part in actions.items()}
    return actions[row]
