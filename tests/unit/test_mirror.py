"""The mean of an image's scores and its mirror image's, within the graph."""

import numpy as np
import onnx
import pytest
from support_network import context, facts_of
from support_squares import run_images, squares

from autoopt.space.recipe import Recipe
from autoopt.stages.deploy import Form
from autoopt.strategies.deploying.mirror import Mirror
from autoopt.strategies.networks.images.residual_net import ResidualNet
from autoopt.task.facts import Kind
from autoopt.values import Slot


@pytest.mark.parametrize("quantize", ["none", "static_int8"])
def test_scores_are_the_mean_of_both_sides_for_any_number_of_rows(quantize: str) -> None:
    data = squares(rows=60, height=12, width=20)
    artifact = ResidualNet(width=4).untrained(data, context())
    assert artifact is not None
    plain = Form.from_recipe(Recipe({"quantize": quantize})).apply(artifact, data.train)
    both = Form.from_recipe(Recipe({"quantize": quantize, "mirror": True})).apply(artifact, data.train)
    onnx.checker.check_model(both, full_check=True)
    pixels = data.valid.pixels
    one, other = run_images(plain, pixels), run_images(plain, np.ascontiguousarray(pixels[:, :, ::-1]))
    assert not np.allclose(one, other, atol=1e-4)
    for rows in (1, 2, 20):
        assert np.allclose(run_images(both, pixels[:rows]), ((one + other) / 2)[:rows], atol=1e-5)
    assert both.ByteSize() - plain.ByteSize() < 1500


def test_it_is_for_images_only_and_off_by_default() -> None:
    reason = Mirror.applies(facts_of(Kind.BINARY, 2), Slot(index=0, threads=1, features=frozenset()))
    assert reason == "it mirrors images, and this task is tabular"
    form = Form.from_recipe(Recipe({}))
    assert form.lossless
    model = onnx.ModelProto()
    assert form.mirror.apply(model) is model
    assert not Form.from_recipe(Recipe({"mirror": True})).lossless
