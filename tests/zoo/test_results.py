"""What ships in zoo/results: complete, consistent with the hyperparameters and the README, and it plays as it says."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from sb3_ext.algos import TABLE, load
from sb3_ext.zoo.benchmark import report, results, suite
from sb3_ext.zoo.benchmark.runs import slug
from sb3_ext.zoo.recipes import Recipe, read_recipe
from sb3_ext.zoo.training import SPACING, evaluate

ROOT = Path(__file__).parents[2]
PAIRS = [(row.env_id, algo) for row in suite.SUITE for algo in row.n_seeds]
OURS = [(env_id, algo) for env_id, algo in PAIRS if TABLE[algo].path.startswith("sb3_ext")]


def shipped(env_id, algo):
    """The folder of a pair, and what its result.json says."""
    folder = results.FOLDER / algo / f"{slug(env_id)}_1"
    return folder, json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize(("env_id", "algo"), PAIRS)
def test_every_row_of_the_suite_ships_with_all_its_seeds(env_id, algo):
    _, result = shipped(env_id, algo)
    n_seeds = next(row.n_seeds[algo] for row in suite.SUITE if row.env_id == env_id)
    assert list(result["scores"]) == [str(seed) for seed in range(n_seeds)]
    assert np.isfinite(list(result["scores"].values())).all()
    assert (result["algo"], result["env_id"]) == (algo, env_id)
    assert result["command"].startswith("sb3-ext benchmark --suite")
    assert result["versions"]["stable-baselines3"]
    lengths = {name: len(values) for name, values in result["curve"].items()}
    assert lengths == dict.fromkeys(("timesteps", "median", "lowest", "highest"), results.N_POINTS)


@pytest.mark.parametrize(("env_id", "algo"), OURS)
def test_the_scores_are_those_of_the_hyperparameters_that_ship(env_id, algo):
    """A changed hyperparameter file asks for new scores."""
    settings = shipped(env_id, algo)[1]["settings"]
    recipe = json.loads(json.dumps(read_recipe(algo, env_id).settings()))
    assert {name: settings[name] for name in recipe if name in settings} == recipe


@pytest.mark.parametrize(("env_id", "algo"), [pair for pair in OURS if pair[0] != "LunarLander-v3"])
def test_the_model_that_ships_scores_what_is_said(env_id, algo):
    folder, result = shipped(env_id, algo)
    seed = int(re.match(r"seed (\d+)", result["model"])[1])
    model = load(algo).load(folder / f"{slug(env_id)}.zip", device="cpu")
    env_kwargs = Recipe(algo, 1, env_kwargs=result["settings"].get("env_kwargs", {})).env_kwargs
    returns = evaluate(model, env_id, result["settings"]["eval_episodes"], SPACING * seed, env_kwargs=env_kwargs)
    assert returns.mean() == pytest.approx(result["scores"][str(seed)])


def test_the_tables_of_the_readme_are_those_of_the_shipped_results():
    assert report.markdown(results.shipped()) in (ROOT / "README.md").read_text()
