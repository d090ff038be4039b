from __future__ import annotations

import pytest
import torch
from conftest import TINY_TOKENIZER, randomize

from worldsim.errors import WorldError
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig, to_frames, to_images
from worldsim.train.tokenizer import fit_scale


@pytest.mark.parametrize(("height", "width"), [(16, 16), (80, 128), (48, 16), (360 // 16 * 16, 640)])
def test_any_multiple_of_the_factor(height: int, width: int) -> None:
    model = Tokenizer(TINY_TOKENIZER)
    latents = model.encode(torch.zeros(2, 3, height, width))
    assert latents.shape == (2, height // 16, width // 16, 6)
    assert model.decode_frames(latents).shape == (2, height, width, 3)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(WorldError, match="100x80 is not supported; both sides must be positive multiples of 16"):
        TokenizerConfig().grid(80, 100)


def test_frames_survive_the_round_trip_through_images() -> None:
    frames = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    assert torch.equal(to_frames(to_images(frames)), frames)


def test_fit_scale_gives_unit_latents_and_keeps_decoding() -> None:
    model = Tokenizer(TINY_TOKENIZER)
    randomize(model)
    images = torch.rand(64, 3, 32, 32) * 2 - 1
    before = model.decode(model.encode(images))
    fit_scale(model, [images[:32], images[32:]])
    latents = model.encode(images)
    assert torch.allclose(latents.mean((0, 1, 2)), torch.zeros(6), atol=1e-4)
    assert torch.allclose(latents.std((0, 1, 2)), torch.ones(6), atol=1e-2)
    assert torch.allclose(model.decode(latents), before, atol=1e-4)


def test_an_image_means_the_same_inside_a_larger_one() -> None:
    model = Tokenizer(TINY_TOKENIZER)
    randomize(model)
    image = torch.rand(1, 3, 16, 160) * 2 - 1
    part, whole = model.encode(image[..., :144]), model.encode(image)
    assert torch.allclose(part[:, :, :4], whole[:, :, :4], atol=1e-5)
