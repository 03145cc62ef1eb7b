"""Keeps torch on one core, and makes the examples short."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from sb3_ext.zoo.multi_agent.examples import EXAMPLES

torch.set_num_threads(1)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Evaluates and films an example briefly, and trains with other hyperparameters."""

    def shorten(name: str, **hyperparams: Any) -> None:
        example = EXAMPLES[name]
        film = {**example.settings.get("film", {}), "episodes": 1}
        ways = {
            way: {who: replace(r, hyperparams={**r.hyperparams, **hyperparams}) for who, r in models.items()}
            for way, models in example.ways.items()
        }
        settings = {**example.settings, "eval_episodes": 2, "film": film}
        monkeypatch.setitem(EXAMPLES, name, replace(example, settings=settings, ways=ways))

    return shorten
