"""``register()``: ours in RL Zoo's own dicts, for a script that runs RL Zoo itself."""

import numpy as np
import yaml

import sb3_ext.zoo

EVERYTHING_IS_KNOWN = """
import gymnasium, optuna, rl_zoo3, rl_zoo3.train
before = dict(rl_zoo3.ALGOS)

import sb3_ext.zoo
from sb3_ext.zoo import register
from sb3_ext.algos import TABLE, load
from sb3_ext.zoo.search_spaces import SEARCH_SPACES

register()
sb3_ext.zoo.register()
from rl_zoo3.exp_manager import ALGOS, ExperimentManager, HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER
from rl_zoo3.hyperparams_opt import sample_ppo_params

assert ALGOS is rl_zoo3.ALGOS
assert set(ALGOS) == set(TABLE)
assert all(ALGOS[name] is cls for name, cls in before.items())
assert all(ALGOS[name] is load(name) for name in TABLE)
assert "sb3_ext/GridWorld-v0" in gymnasium.registry
assert rl_zoo3.train.ExperimentManager is ExperimentManager  # imported before register(), and yet ours
assert ExperimentManager.__module__ == "sb3_ext.zoo.manager"
assert HYPERPARAMS_SAMPLER["ppo"] is sample_ppo_params  # RL Zoo's users know its own
assert set(TABLE) == set(SEARCH_SPACES) == set(HYPERPARAMS_SAMPLER) == set(HYPERPARAMS_CONVERTER)

for name in ("q_learning", "grpo", "reinforce"):
    for seed in range(4):  # schedules and plain numbers
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
        sampled = HYPERPARAMS_SAMPLER[name](trial, 1, 8, {})
        env = "FrozenLake-v1" if name == "q_learning" else "CartPole-v1"
        ALGOS[name](next(iter(ALGOS[name].policy_aliases)), env, **sampled)
        stored = HYPERPARAMS_CONVERTER[name](trial.params)
        assert stored.keys() == sampled.keys()
        assert stored["gamma"] == sampled["gamma"]
print("all known")
"""

MY_SCRIPT = """
import sys
from sb3_ext.zoo import register

register()
from rl_zoo3.train import train

sys.argv[1:] = "--algo {algo} --env {env} -n 500 --eval-freq -1 --seed 3".split()
train()
"""


def test_everything_of_ours_is_known_to_rl_zoo_and_nothing_of_its_own_is_changed(child):
    assert "all known" in child(EVERYTHING_IS_KNOWN)


def test_a_script_trains_by_our_hyperparameter_file(child, tmp_path):
    shown = child(MY_SCRIPT.format(algo="reinforce", env="CartPole-v1"))
    assert "zoo/hyperparams/reinforce.yml" in shown
    folder = tmp_path / "logs" / "reinforce" / "CartPole-v1_1"
    config = yaml.unsafe_load((folder / "CartPole-v1" / "config.yml").read_text())
    assert config["n_envs"] == 16
    model = sb3_ext.REINFORCE.load(folder / "CartPole-v1.zip")
    assert model.seed == 3
    assert model.num_timesteps >= 500
    assert model.predict(np.zeros(4, np.float32))[0] in (0, 1)
