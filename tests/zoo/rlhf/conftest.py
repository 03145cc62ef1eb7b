"""Keeps torch on one core, and makes the recipes small."""

from dataclasses import replace

import pytest
import torch as th

from sb3_ext.zoo.rlhf import gauge, recipes
from sb3_ext.zoo.rlhf.recipes import Recipe

th.set_num_threads(1)

NET = {"d_model": 16, "n_layers": 1, "n_heads": 2}
TINY = {"n_demonstrations": 16, "sft_epochs": 2, "n_preferences": 60, "n_tokens": 400, "dpo_epochs": 1, "net": NET}


def tiny(task: str, **sizes: int) -> Recipe:
    return replace(recipes.RECIPES[task], **{**TINY, **({"sizes": sizes} if sizes else {})})


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    for task in recipes.RECIPES:
        sizes = {"length": 1, "n_symbols": 2} if task in ("copy", "sort", "reverse") else {}
        monkeypatch.setitem(recipes.RECIPES, task, tiny(task, **sizes))
    monkeypatch.setattr(recipes, "N_ENVS", 16)
    monkeypatch.setattr(gauge, "N_TEXTS", 32)
