"""Every config that is not one is refused with one error, before anything is made of it."""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldsim.errors import ConfigError, WorldError, WorldsimError
from worldsim.model.dit import DiTConfig
from worldsim.model.noise import NoiseConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.world import World, WorldConfig, load_world, read_config


@pytest.fixture(scope="module")
def copy(tiny_world_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(tiny_world_path, tmp_path_factory.mktemp("hostile") / "world"))


@pytest.fixture(scope="module")
def fields(tiny_world_path: Path) -> dict[str, Any]:
    return json.loads((tiny_world_path / "config.json").read_text())


def changed(fields: dict[str, Any], path: str, value: Any) -> str:
    new = json.loads(json.dumps(fields))
    *parents, last = path.split(".")
    place = new
    for name in parents:
        place = place[name]
    place[last] = value
    return json.dumps(new)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("dynamics.hidden", 30_000_000, r"dynamics\.hidden was 30000000; give a whole number from 1 to 262,144\."),
        ("dynamics.depth", 10**6, r"dynamics\.depth was 1000000; give a whole number from 1 to 512\."),
        ("dynamics.width", "{0.__class__}%s", r"dynamics\.width was '\{0\.__class__\}%s'; give a whole number"),
        ("dynamics.heads", True, r"dynamics\.heads was True; give a whole number"),
        ("dynamics.heads", 3, r"dynamics\.width was 32; with 3 heads give 48, 96, 192, 384\."),
        ("dynamics.kv_heads", 0, r"dynamics\.kv_heads was 0; give"),
        ("dynamics.window", 4.0, r"dynamics\.window was 4\.0; give a whole number from 1 to 4,096"),
        ("dynamics.reward_bins", 40, r"dynamics\.reward_bins was 40; give an odd number"),
        ("dynamics.temporal", ["joint"], r"dynamics\.temporal was \['joint'\]; allowed: 'joint', 'time'"),
        ("dynamics.code_floor", float("nan"), r"dynamics\.code_floor was nan; give a number of at least 0 and at most 1"),
        ("dynamics.latent_channels", 7, r"dynamics\.latent_channels was 7; it must be 6, tokenizer\.latent_channels"),
        ("dynamics.controls", 4, r"dynamics\.controls was 4; it must be 5, the length of control_spec"),
        ("dynamics.wdith", 4, r"dynamics\.'wdith' is unknown; allowed: .* Did you mean 'width'\?"),
        ("dynamics", [1], r"dynamics was \[1\]; give its fields by name"),
        ("tokenizer.channels", [8] * 9, r"tokenizer\.channels was \[8, .*; give 1 to 8 widths"),
        ("tokenizer.channels", "888", r"tokenizer\.channels was '888'; give 1 to 8 widths"),
        ("tokenizer.channels", [8, 10**9, 16], r"tokenizer\.channels was 1000000000; give a whole number from 1 to 8,192"),
        ("control_spec.keys", ["a", "d", "a"], r"control_spec\.keys has 'a' twice; give every name once"),
        ("control_spec.keys", "ad", r"control_spec\.keys was 'ad'; give a tuple of names"),
        ("control_spec.exclusive", [["a", "w"]], r"control_spec\.unknown key in exclusive 'w'; allowed: a, d"),
        ("control_spec.mouse_limit", [float("inf"), 0], r"control_spec\.mouse_limit was \[inf, 0\]; give two finite numbers"),
        ("control_spec.mouse_limit", ["20", 0], r"control_spec\.mouse_limit was \['20', 0\]; give two finite numbers"),
        ("num_steps", 10**6, r"num_steps was 1000000; give a whole number from 1 to 1,000\."),
        ("rounds", 0, r"rounds was 0; give a whole number from 1 to 64\."),
        ("dynamics.reveals", 1, r"dynamics\.reveals was 1; allowed: true, false"),
        ("dynamics.reveals", False, r"rounds was 2, and dynamics\.reveals is false; give 1, or a model that reveals"),
        ("dynamics.codes", 0, r"dynamics\.reveals was True and codes 0; give codes, such as 1024, or reveals=False"),
        ("height", 33, "frame size 48x33 is not supported"),
        ("fps", float("nan"), "fps was nan; give a number of at least 0.001 and at most 1000"),
        ("fps", 10**400, "fps was 1000"),
        ("context_level", 1, "context_level was 1; give a number of at least 0 and below 1"),
        ("mirrored", 1, "mirrored was 1; allowed: true, false"),
        ("figures", [1], r"figures was \[1\]; give at most"),
        ("name", "x" * 100_000, r"name was 'x{70,80}\.\.\.; give letters"),
        ("name", "\x1b[2Jdoom", r"name was '\\x1b\[2Jdoom'; give letters"),
        ("name", None, "name was None; give letters"),
        ("game", "../../etc", r"game was '\.\./\.\./etc'; give letters"),
        ("game", "/etc/passwd", "game was '/etc/passwd'; give letters"),
        ("data", "\n", r"data was '\\n'; give a short printable text"),
        ("format_version", "2", "format_version was '2'; give a whole number"),
        ("\x1b", 1, r"'\\x1b' is unknown; allowed: name, game"),
    ],
)
def test_each_fault_names_the_field(copy: Path, fields: dict[str, Any], path: str, value: Any, message: str) -> None:
    (copy / "config.json").write_text(changed(fields, path, value))
    with pytest.raises(WorldError, match=rf"config\.json: {message}") as caught:
        World.load(copy, device="cpu")
    assert len(str(caught.value)) < 1000 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"1" * 5_000, b"\xff\xfe", b"", b"null", b"NaN", b"\xef\xbb\xbf{}", b'"\\ud800"']
)
def test_what_is_no_json_is_refused(copy: Path, content: bytes) -> None:
    (copy / "config.json").write_bytes(content)
    with pytest.raises(WorldError, match=r"config\.json.* copy the folder again"):
        World.load(copy, device="cpu")


def test_a_large_file_is_no_config(copy: Path) -> None:
    (copy / "config.json").write_bytes(b" " * (2**20 + 1))
    with pytest.raises(WorldError, match=r"config\.json is larger than 1 MiB"):
        read_config(copy)


def test_weights_are_compared_before_they_are_made(copy: Path, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A transformer of terabytes, which the config may describe."""
    monkeypatch.setattr("worldsim.world.folder.load_file", lambda *_, **__: pytest.fail("read before it was compared"))
    largest = fields["dynamics"] | {"hidden": 262144, "depth": 512, "condition": 65536}
    (copy / "config.json").write_text(json.dumps(fields | {"dynamics": largest}))
    with pytest.raises(WorldError, match=r"dynamics\.safetensors: .* config\.json says"):
        World.load(copy, device="cpu")


def test_weights_that_do_not_fit_are_not_read(tiny_world_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldsim.world.folder.load_file", lambda *_, **__: pytest.fail("read, though memory is short"))
    monkeypatch.setattr("worldsim.world.folder.free_bytes", lambda _: 1000)
    with pytest.raises(WorldError, match=r"needs 0\.0 GiB of memory"):
        load_world(tiny_world_path)


def names(value: Any, prefix: str = "") -> list[str]:
    own = [prefix] if prefix else []
    inner = value.items() if isinstance(value, dict) else ()
    return own + [name for key, part in inner for name in names(part, f"{prefix}.{key}" if prefix else key)]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(list(string.printable)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(data=st.data())
def test_any_config_loads_or_is_refused(copy: Path, fields: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(fields)
    for _ in range(data.draw(st.integers(1, 2))):
        value = data.draw(JSON | st.integers(-2, 70) | st.just(10**6))
        path = data.draw(st.sampled_from(names(fields)))
        top = json.loads(text).get(path.split(".")[0])
        if "." not in path or isinstance(top, dict):
            text = changed(json.loads(text), path, value)
    (copy / "config.json").write_text(text)
    try:
        world = World.load(copy, device="cpu", dtype=torch.float32)
    except WorldError as error:
        assert str(error).isprintable() and len(str(error)) < 2000
    else:
        world.reset(seed=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DiTConfig(width=100), "^width was 100; with 4 heads give 64, 128, 256, 512"),
        (lambda: NoiseConfig(finest=3), "^finest was 3; give a power of two"),
        (lambda: NoiseConfig(ramp=float("nan")), "^ramp was nan; give a number of at least 0 and at most 1"),
        (lambda: NoiseConfig(context_share=0.6, pure_share=0.6), "^pure_share was 0.6; with context_share, 0.6"),
        (lambda: NoiseConfig(shift=0), "^shift was 0; give a number above 0"),
        (lambda: TokenizerConfig(channels=()), r"^channels was \(\); give 1 to 8 widths"),
        (lambda: TokenizerConfig(encoder_blocks=-1), "^encoder_blocks was -1; give a whole number from 0 to 64"),
    ],
)
def test_errors_show_one_field(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert isinstance(caught.value, WorldsimError) and "Config(" not in str(caught.value)


def test_a_config_comes_back_from_its_file(tiny_world_path: Path) -> None:
    config = read_config(tiny_world_path)
    assert WorldConfig.from_json(config.to_json(), tiny_world_path) == config
