"""Search spaces of ``sb3-ext tune``: for each algorithm a function from a trial to hyperparameters.

A space is written to be read and changed: a line for each hyperparameter that matters, with a range that a textbook or
RL Zoo's tuned files would call plausible. What it returns has the form of a hyperparameter file (``lin_0.01`` falls
linearly from 0.01 to 0). What a space leaves out keeps the value of the hyperparameter file, or of the class.
Every space asks for the same parameters whatever was drawn before, so that every sampler can learn from all trials.
"""

from collections.abc import Callable
from typing import Any

Hyperparams = dict[str, Any]
NETWORKS = {"small": [64, 64], "medium": [256, 256], "large": [400, 300]}


def discount(trial: Any) -> float:
    """How much a later reward is worth."""
    return trial.suggest_categorical("gamma", [0.9, 0.95, 0.98, 0.99, 0.995, 0.999])


def learning_rate(trial: Any, low: float, high: float) -> float | str:
    """A step size, constant or falling linearly to 0 as training goes on."""
    number = trial.suggest_float("learning_rate", low, high, log=True)
    return number if trial.suggest_categorical("schedule", ["constant", "linear"]) == "constant" else f"lin_{number}"


def network(trial: Any) -> Hyperparams:
    """The hidden layers."""
    return {"net_arch": NETWORKS[trial.suggest_categorical("network", list(NETWORKS))]}


def power_of_two(trial: Any, name: str, low: int, high: int) -> int:
    """2^low to 2^high."""
    return 2 ** trial.suggest_int(f"log2_{name}", low, high)


# ---- Tables ---------------------------------------------------------------------------------------------------------


def table(trial: Any) -> Hyperparams:
    """What all tabular algorithms share; a step size may also fall with the visits N of the pair."""
    rate: float | str = round(trial.suggest_float("learning_rate", 0.005, 1.0, log=True), 4)
    falling = trial.suggest_categorical("schedule", ["constant", "linear"]) == "linear"
    power = trial.suggest_categorical("visit_power", [0.0, 0.5, 0.8, 1.0])
    if falling or power:
        rate = ("lin_" if falling else "") + str(rate) + (f"/N^{power}" if power else "")
    epsilon = round(trial.suggest_float("exploration", 0.01, 1.0, log=True), 4)
    fades = trial.suggest_categorical("exploration_schedule", ["constant", "linear"]) == "linear"
    return {
        "learning_rate": rate,
        "gamma": discount(trial),
        "exploration": f"lin_{epsilon}" if fades else epsilon,
        "initial_value": trial.suggest_categorical("initial_value", [0.0, 1.0]),
    }


def q_learning(trial: Any) -> Hyperparams:
    """Q-learning, with traces as well."""
    return {**table(trial), "lambda_": trial.suggest_float("lambda_", 0.0, 0.95)}


def double_q_learning(trial: Any) -> Hyperparams:
    """Double Q-learning."""
    return table(trial)


def sarsa(trial: Any) -> Hyperparams:
    """SARSA, with traces as well."""
    return {**table(trial), "lambda_": trial.suggest_float("lambda_", 0.0, 0.95)}


def expected_sarsa(trial: Any) -> Hyperparams:
    """Expected SARSA with n steps."""
    return {**table(trial), "n_steps": trial.suggest_int("n_steps", 1, 8)}


def monte_carlo(trial: Any) -> Hyperparams:
    """Monte Carlo control."""
    return {**table(trial), "visits": trial.suggest_categorical("visits", ["first", "every"])}


def dyna_q(trial: Any) -> Hyperparams:
    """Dyna-Q."""
    return {
        **table(trial),
        "planning_steps": trial.suggest_int("planning_steps", 1, 50, log=True),
        "prioritized": trial.suggest_categorical("prioritized", [False, True]),
    }


# ---- Whole episodes -------------------------------------------------------------------------------------------------


def reinforce(trial: Any) -> Hyperparams:
    """REINFORCE."""
    return {
        "learning_rate": learning_rate(trial, 1e-4, 3e-2),
        "gamma": discount(trial),
        "n_episodes": power_of_two(trial, "n_episodes", 2, 5),
        "baseline": trial.suggest_categorical("baseline", ["mean", "value"]),
        "normalize_advantage": trial.suggest_categorical("normalize_advantage", [False, True]),
        "ent_coef": trial.suggest_float("ent_coef", 1e-5, 0.1, log=True),
        "max_grad_norm": trial.suggest_float("max_grad_norm", 0.3, 30.0, log=True),
    }


def grpo(trial: Any) -> Hyperparams:
    """GRPO; 16 episodes an update, however they are cut into groups, for 16 environments can play them at once."""
    group_size = power_of_two(trial, "group_size", 1, 4)
    return {
        "learning_rate": learning_rate(trial, 1e-4, 1e-2),
        "gamma": discount(trial),
        "group_size": group_size,
        "n_groups": 16 // group_size,
        "n_epochs": trial.suggest_int("n_epochs", 1, 8),
        "supervision": trial.suggest_categorical("supervision", ["outcome", "process"]),
        "scale_rewards": trial.suggest_categorical("scale_rewards", ["group", "batch", "none"]),
        "clip_range": trial.suggest_categorical("clip_range", [0.1, 0.2, 0.3]),
        "ent_coef": trial.suggest_float("ent_coef", 1e-5, 0.1, log=True),
    }


# ---- SB3 and sb3-contrib: actor-critics -----------------------------------------------------------------------------


def on_policy(trial: Any) -> Hyperparams:
    """What A2C, PPO and TRPO share."""
    return {
        "learning_rate": learning_rate(trial, 1e-5, 1e-2),
        "gamma": discount(trial),
        "gae_lambda": trial.suggest_categorical("gae_lambda", [0.8, 0.9, 0.95, 0.98, 1.0]),
        "policy_kwargs": network(trial),
    }


def a2c(trial: Any) -> Hyperparams:
    """A2C, ours from scratch as well."""
    return {
        **on_policy(trial),
        "n_steps": power_of_two(trial, "n_steps", 2, 7),
        "ent_coef": trial.suggest_float("ent_coef", 1e-6, 0.1, log=True),
        "vf_coef": trial.suggest_float("vf_coef", 0.2, 1.0),
        "max_grad_norm": trial.suggest_float("max_grad_norm", 0.3, 5.0, log=True),
        "use_rms_prop": trial.suggest_categorical("use_rms_prop", [False, True]),
    }


def ppo(trial: Any) -> Hyperparams:
    """PPO, ours from scratch and MaskablePPO as well."""
    return {
        **on_policy(trial),
        "n_steps": power_of_two(trial, "n_steps", 5, 11),
        "batch_size": power_of_two(trial, "batch_size", 4, 8),
        "n_epochs": trial.suggest_int("n_epochs", 1, 20, log=True),
        "clip_range": trial.suggest_categorical("clip_range", [0.1, 0.2, 0.3]),
        "ent_coef": trial.suggest_float("ent_coef", 1e-6, 0.1, log=True),
        "max_grad_norm": trial.suggest_float("max_grad_norm", 0.3, 5.0, log=True),
    }


def trpo(trial: Any) -> Hyperparams:
    """TRPO; the learning rate is the value function's."""
    return {
        **on_policy(trial),
        "n_steps": power_of_two(trial, "n_steps", 7, 11),
        "target_kl": trial.suggest_float("target_kl", 1e-3, 0.1, log=True),
        "cg_max_steps": trial.suggest_categorical("cg_max_steps", [5, 10, 20]),
        "n_critic_updates": trial.suggest_categorical("n_critic_updates", [5, 10, 20]),
    }


# ---- SB3 and sb3-contrib: from a replay buffer ----------------------------------------------------------------------


def replay(trial: Any) -> Hyperparams:
    """What learns from a replay buffer."""
    return {
        "learning_rate": learning_rate(trial, 1e-5, 1e-2),
        "gamma": discount(trial),
        "batch_size": power_of_two(trial, "batch_size", 5, 9),
        "learning_starts": trial.suggest_categorical("learning_starts", [100, 1_000, 10_000]),
        "policy_kwargs": network(trial),
    }


def dqn(trial: Any) -> Hyperparams:
    """DQN, ours from scratch, Double and Dueling DQN, and QR-DQN as well."""
    train_freq = power_of_two(trial, "train_freq", 0, 8)
    return {
        **replay(trial),
        "buffer_size": trial.suggest_categorical("buffer_size", [10_000, 50_000, 100_000]),
        "train_freq": train_freq,
        "gradient_steps": max(1, train_freq // power_of_two(trial, "steps_per_gradient", 0, 3)),
        "target_update_interval": trial.suggest_int("target_update_interval", 1, 20_000, log=True),
        "exploration_fraction": trial.suggest_float("exploration_fraction", 0.01, 0.5),
        "exploration_final_eps": trial.suggest_float("exploration_final_eps", 0.01, 0.2),
    }


def per_dqn(trial: Any) -> Hyperparams:
    """DQN with prioritised replay."""
    return {
        **dqn(trial),
        "alpha": trial.suggest_float("alpha", 0.2, 0.8),
        "beta": trial.suggest_float("beta", 0.2, 0.8),
    }


def noisy_dqn(trial: Any) -> Hyperparams:
    """DQN whose noise explores, so without epsilon."""
    return {name: value for name, value in dqn(trial).items() if not name.startswith("exploration")}


def c51(trial: Any) -> Hyperparams:
    """C51; v_min and v_max are the environment's, and come from the hyperparameter file."""
    return {**dqn(trial), "n_atoms": trial.suggest_categorical("n_atoms", [21, 51, 101])}


def rainbow(trial: Any) -> Hyperparams:
    """Rainbow; v_min and v_max as with C51."""
    space = {**per_dqn(trial), "n_steps": trial.suggest_int("n_steps", 1, 5)}
    return {name: value for name, value in space.items() if not name.startswith("exploration")}


def off_policy(trial: Any) -> Hyperparams:
    """What the actor-critics for continuous actions share."""
    train_freq = power_of_two(trial, "train_freq", 0, 6)
    return {
        **replay(trial),
        "tau": trial.suggest_float("tau", 1e-3, 0.1, log=True),
        "train_freq": train_freq,
        "gradient_steps": train_freq,
    }


def sac(trial: Any) -> Hyperparams:
    """SAC, which finds its entropy coefficient by itself."""
    return off_policy(trial)


def tqc(trial: Any) -> Hyperparams:
    """TQC."""
    return {
        **off_policy(trial),
        "top_quantiles_to_drop_per_net": trial.suggest_int("top_quantiles_to_drop_per_net", 0, 5),
    }


def td3(trial: Any) -> Hyperparams:
    """TD3 and DDPG, whose policies explore by noise only."""
    return {
        **off_policy(trial),
        "noise_type": "normal",
        "noise_std": trial.suggest_float("noise_std", 0.01, 0.5, log=True),
    }


def crossq(trial: Any) -> Hyperparams:
    """CrossQ, which has no target network."""
    space = off_policy(trial)
    del space["tau"]
    return {**space, "policy_delay": trial.suggest_int("policy_delay", 1, 4)}


def ars(trial: Any) -> Hyperparams:
    """ARS."""
    n_delta = power_of_two(trial, "n_delta", 2, 6)
    return {
        "learning_rate": learning_rate(trial, 1e-3, 0.3),
        "n_delta": n_delta,
        "n_top": max(1, int(n_delta * trial.suggest_categorical("top_share", [0.25, 0.5, 1.0]))),
        "delta_std": trial.suggest_float("delta_std", 0.01, 0.3, log=True),
    }


def ppo_lstm(trial: Any) -> Hyperparams:
    """RecurrentPPO: PPO with an LSTM of another size."""
    space = ppo(trial)
    size = trial.suggest_categorical("lstm_hidden_size", [16, 32, 64, 128, 256])
    return {**space, "policy_kwargs": {**space["policy_kwargs"], "lstm_hidden_size": size}}


SEARCH_SPACES: dict[str, Callable[[Any], Hyperparams]] = {
    "reinforce": reinforce,
    "grpo": grpo,
    "q_learning": q_learning,
    "sarsa": sarsa,
    "expected_sarsa": expected_sarsa,
    "double_q_learning": double_q_learning,
    "monte_carlo": monte_carlo,
    "dyna_q": dyna_q,
    "double_dqn": dqn,
    "dueling_dqn": dqn,
    "per_dqn": per_dqn,
    "noisy_dqn": noisy_dqn,
    "c51": c51,
    "rainbow": rainbow,
    "a2c_scratch": a2c,
    "dqn_scratch": dqn,
    "ppo_scratch": ppo,
    "a2c": a2c,
    "ddpg": td3,
    "dqn": dqn,
    "ppo": ppo,
    "sac": sac,
    "td3": td3,
    "ars": ars,
    "crossq": crossq,
    "ppo_lstm": ppo_lstm,
    "ppo_mask": ppo,
    "qrdqn": dqn,
    "tqc": tqc,
    "trpo": trpo,
}
