"""``sb3-ext train``: RL Zoo's ``train`` with our algorithms, environments, hyperparameters and fast backends."""

import argparse
from importlib.util import find_spec
from pathlib import Path

DESCRIPTION = (
    "Train an agent, evaluate it on the way, save it: RL Zoo's train, for every algorithm and environment here."
)
EXAMPLE = """examples:
  sb3-ext train --algo reinforce --env CartPole-v1 --vec-env auto        on the fastest environments there are
  sb3-ext train --algo q_learning --env FrozenLake-v1 -n 100000 --eval-freq 10000
  sb3-ext train --algo ppo --env CartPole-v1 -params gamma:0.95 "policy_kwargs:dict(net_arch=[32])"
  sb3-ext train --algo ppo --env CartPole-v1 -conf best.yml -P           parameters of `sb3-ext tune`; progress bar
  sb3-ext train --algo ppo --env CartPole-v1 -i logs/ppo/CartPole-v1_1/CartPole-v1.zip -n 50000    go on training
  sb3-ext enjoy --algo ppo --env CartPole-v1                             then watch it

It writes logs/ALGO/ENV_1 (then _2, ...): the model, the best one so far (best_model.zip), evaluations, config.yml.
An environment without an entry in the algorithm's file is trained with the class's own defaults. Ctrl-C saves the
model and says how to go on. Hyperparameter files (-conf FILE.yml) are checked and cannot run code; Python files
(-conf FILE.py) and name:value pairs on the command line are your own code. For tuning, `sb3-ext tune` does more than
-optimize. --verbose 2 shows where an error comes from."""


def main(arguments: list[str]) -> int:
    """Train; 2 for a mistake. Ctrl-C saves and ends the program with status 130."""
    import warnings

    from sb3_ext.zoo.rl_zoo import run

    warnings.filterwarnings("ignore", "Training and eval env are not of the same type")  # --vec-env auto chooses each
    return run("train", arguments, DESCRIPTION, EXAMPLE, check)


def check(options: argparse.Namespace) -> None:
    """Looks for the files that were named.

    Raises:
        ValueError: If one is not there, or RL Zoo's search lacks something.
    """
    model, config = options.trained_agent, options.conf_file
    if model and not (model.endswith(".zip") and Path(model).is_file()):
        raise ValueError(f"-i {model}: there is no such model (a .zip file)")
    if config and not (Path(config).is_file() if Path(config).suffix in (".yml", ".yaml", ".py") else _module(config)):
        raise ValueError(f"-conf {config}: there is no such file (.yml, .yaml or .py), nor a module of this name")
    if options.optimize_hyperparameters and find_spec("pandas") is None:  # before it has searched for hours
        raise ValueError("-optimize writes its report with pandas: pip install pandas (`sb3-ext tune` does without)")


def _module(name: str) -> bool:
    """Whether there is a module of this name."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
