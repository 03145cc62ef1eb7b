"""When callbacks are due: the compiled engine plays on until then, instead of calling each of them at every step.

SB3's own callbacks act at known steps. One of ours says so itself, by a method ``calls_until_due()``: the number of
further calls after which it has to be called (``math.inf`` for never). A callback of any other class must see every
step.
"""

import math

from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    ConvertCallback,
    EvalCallback,
    EveryNTimesteps,
    LogEveryNTimesteps,
    ProgressBarCallback,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper


def parts(callback: BaseCallback) -> list[BaseCallback]:
    """The callbacks in (nested) lists of callbacks, the lists included."""
    if type(callback) is not CallbackList:
        return [callback]
    return [callback, *(part for child in callback.callbacks for part in parts(child))]


def must_see_every_step(callback: BaseCallback) -> str | None:
    """The name of a callback's class that is not known to sleep, or None."""
    for part in parts(callback):
        if type(part) is ConvertCallback and part.callback is not None:
            return getattr(part.callback, "__name__", repr(part.callback))
        if type(part) not in _CALLS_UNTIL_DUE and not _knows_when(part):
            return type(part).__name__
    return None


def _knows_when(callback: BaseCallback) -> bool:
    """Whether it says itself when it is due: in its own class, or where nothing was changed since that was written."""
    lineage = type(callback).__mro__
    owner = {name: [name in vars(cls) for cls in lineage].index(True) for name in ("_on_step", "on_step")}
    says = [("calls_until_due" in vars(cls)) for cls in lineage]
    return True in says and says.index(True) <= min(owner.values())


def may_touch_environments(callback: BaseCallback) -> bool:
    """Whether a callback, once it is called, might change the environments of the training, for all that is known."""
    for part in parts(callback):
        if isinstance(part, EvalCallback) and _innermost(part.eval_env) is _innermost(part.training_env):
            return True
        if type(part) is LogEveryNTimesteps:
            continue
        for child in (getattr(part, name, None) for name in ("callback", "callback_on_new_best")):
            known = child is None or type(child) in _HARMLESS or _knows_when(child)
            if not known or (child is not None and may_touch_environments(child)):
                return True
    return False


def _innermost(env: VecEnv) -> VecEnv:
    while isinstance(env, VecEnvWrapper):
        env = env.venv
    return env


def calls_until_due(callback: BaseCallback) -> float:
    """After how many further calls one of the callbacks has to be called: a whole number of at least 1, or infinity."""
    due = math.inf
    for part in parts(callback):
        own = getattr(part, "calls_until_due", None)
        due = min(due, own() if own is not None else _CALLS_UNTIL_DUE[type(part)](part))
    return max(due, 1)


def episodes_until_due(callback: BaseCallback) -> float:
    """After how many further episodes one of the callbacks has to be called: at least 1, or infinity."""
    counters = [part for part in parts(callback) if type(part) is StopTrainingOnMaxEpisodes]
    return min((max(part._total_max_episodes - part.n_episodes, 1) for part in counters), default=math.inf)


def advance(callback: BaseCallback, n_calls: int, n_episodes: int) -> None:
    """Makes up for calls that were left out, in which ``n_episodes`` were finished."""
    if n_calls == 0:
        return
    for part in parts(callback):
        part.n_calls += n_calls
        if isinstance(part, StopTrainingOnMaxEpisodes):
            part.n_episodes += n_episodes
        elif isinstance(part, ProgressBarCallback):
            part.pbar.update(n_calls * part.training_env.num_envs)


def _every(frequency: str):
    def calls(callback: BaseCallback) -> float:
        every = getattr(callback, frequency)
        return every - callback.n_calls % every if every > 0 else math.inf

    return calls


def _until_timesteps(callback: EveryNTimesteps) -> float:
    missing = callback.n_steps - (callback.model.num_timesteps - callback.last_time_trigger)
    return max(-(-missing // callback.training_env.num_envs), 1)


def _at_once_if_over(callback: StopTrainingOnMaxEpisodes) -> float:
    return 1 if callback.n_episodes >= callback._total_max_episodes else math.inf  # else episodes_until_due knows


def _never(_: BaseCallback) -> float:
    return math.inf


_CALLS_UNTIL_DUE = {
    CallbackList: _never,
    ConvertCallback: _never,
    ProgressBarCallback: _never,
    StopTrainingOnMaxEpisodes: _at_once_if_over,
    EvalCallback: _every("eval_freq"),
    CheckpointCallback: _every("save_freq"),
    EveryNTimesteps: _until_timesteps,
    LogEveryNTimesteps: _until_timesteps,
}
_HARMLESS = {*_CALLS_UNTIL_DUE, StopTrainingOnRewardThreshold, StopTrainingOnNoModelImprovement} - {ConvertCallback}
