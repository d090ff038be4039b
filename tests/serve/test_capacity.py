from __future__ import annotations

import math

import pytest

from worldsim.serve.capacity import TIMED, WARM_UP, Budget, Capacity, time_frames


def make(**seconds: float) -> Capacity:
    """Ten frames a second; two calls at the usual step, and one more for each further step."""
    capacity = Capacity(0.1, lambda steps: 1 + steps, 1)
    for size, value in seconds.items():
        capacity.add(int(size[1:]), value)
    return capacity


def test_full_rate_leaves_time_for_the_rest_of_the_server() -> None:
    assert make().holds(0.09) and not make().holds(0.0901)


def test_the_last_size_lies_where_the_times_of_its_neighbours_say() -> None:
    assert make().between((4, 0.05), (8, 0.13)) == 6
    assert make().between((4, 0.09), (8, 0.2)) == 4
    assert make().between((4, 0.05), (8, 0.0901)) == 7  # never the one that failed


def test_players_cost_their_batch_and_each_number_of_steps_a_call_of_its_own() -> None:
    capacity = make(s1=0.01, s2=0.02, s4=0.04)
    assert capacity.share([1]) == pytest.approx(0.1) and capacity.share([1, 1, 1]) == pytest.approx(0.4)
    assert capacity.share([3]) == pytest.approx(0.2)
    assert capacity.share([1, 3]) == pytest.approx(0.2 + 0.4)
    assert capacity.share([1] * 5) == math.inf and capacity.share([]) == 0


def test_a_busy_machine_is_noticed_and_forgotten_again() -> None:
    capacity = make(s1=0.01)
    for _ in range(100):
        capacity.note(0.03, 1, [1])
    assert capacity.slowdown == pytest.approx(3, rel=0.02) and capacity.share([1]) == pytest.approx(0.3, rel=0.02)
    for _ in range(200):
        capacity.note(0.01, 1, [1])
    assert capacity.slowdown == pytest.approx(1, rel=0.02)


def test_frames_are_timed_undisturbed_and_not_for_long() -> None:
    now = 0.0
    costs = iter([9.0] * WARM_UP + [0.5, 0.1, 0.1, 0.1, 0.1, 3.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1] + [0.1] * TIMED)

    def frame() -> None:
        nonlocal now
        now += next(costs)

    assert time_frames(frame, lambda: now) == pytest.approx(0.5)  # after three slow ones only one is timed
    costs = iter([0.0] * WARM_UP + [0.5, 0.1, 0.1, 0.1, 0.1, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert time_frames(frame, lambda: now) == pytest.approx(0.1)


def test_a_budget_knows_what_the_others_take() -> None:
    budget = Budget()
    budget.set("a", 0.25)
    budget.set("b", 0.5)
    assert budget.others("a") == 0.5 and budget.others("c") == 0.75
    budget.set("b", 0.0)
    assert budget.others("a") == 0
