"""Callbacks fire at the same steps, see the same and stop at the same step, whichever engine runs."""

import warnings

import numpy as np
import pytest
from helpers_tabular import Rows, build, files, knowledge, monitored, statistics, step_on, world
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    LogEveryNTimesteps,
    ProgressBarCallback,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)
from tqdm import TqdmExperimentalWarning

from sb3_ext.tabular import SARSA, DynaQ, QLearning
from sb3_ext.tabular import callback_schedule as schedule

ENGINES = ["step", "compiled"]


class Spy(BaseCallback):
    """Writes down all that it sees when it is called; stops at its ``stop_at``-th call."""

    def __init__(self, stop_at=None):
        super().__init__()
        self.stop_at, self.seen = stop_at, []

    def _on_step(self):
        model = self.model
        self.seen.append([self.n_calls, self.num_timesteps, model.num_timesteps, knowledge(model), statistics(model)])
        return self.n_calls != self.stop_at


class Sleeper(Spy):
    """Is called at every 17th call, and says so."""

    def calls_until_due(self):
        return 17 - self.n_calls % 17

    def _on_step(self):
        return super()._on_step() if self.n_calls % 17 == 0 else True


def evaluation(folder, spy, **kwargs):
    env = world("lake")
    env.seed(8)
    return EvalCallback(
        env, log_path=str(folder), best_model_save_path=str(folder), verbose=0,
        **{"n_eval_episodes": 3, "eval_freq": 40, "callback_after_eval": spy, **kwargs},
    )  # fmt: skip


CALLBACKS = {
    "none": lambda folder, spy: None,
    "empty list": lambda folder, spy: [],
    "every 50": lambda folder, spy: EveryNTimesteps(50, spy),
    "every step": lambda folder, spy: EveryNTimesteps(1, spy),
    "every 7 in every 50": lambda folder, spy: EveryNTimesteps(50, EveryNTimesteps(70, spy)),
    "evaluation": evaluation,
    "evaluation often": lambda folder, spy: evaluation(folder, spy, eval_freq=7, n_eval_episodes=1),
    "never": lambda folder, spy: evaluation(folder, spy, eval_freq=0),
    "evaluation that stops": lambda folder, spy: evaluation(
        folder, None, callback_on_new_best=StopTrainingOnRewardThreshold(0.2), eval_freq=20
    ),
    "evaluation without progress": lambda folder, spy: evaluation(
        folder, StopTrainingOnNoModelImprovement(1, min_evals=1), eval_freq=20
    ),
    "checkpoints": lambda folder, spy: CheckpointCallback(100, str(folder)),
    "log": lambda folder, spy: LogEveryNTimesteps(77),
    "stop after episodes": lambda folder, spy: StopTrainingOnMaxEpisodes(11),
    "stop after one episode": lambda folder, spy: StopTrainingOnMaxEpisodes(1),
    "bar": lambda folder, spy: ProgressBarCallback(),
    "sleeper": lambda folder, spy: [Spied(spy)],
    "list": lambda folder, spy: CallbackList(
        [
            EveryNTimesteps(90, spy),
            CallbackList([LogEveryNTimesteps(64), StopTrainingOnMaxEpisodes(40)]),
            CheckpointCallback(150, str(folder)),
        ]
    ),
    "plain list": lambda folder, spy: [LogEveryNTimesteps(64), EveryNTimesteps(90, spy), ProgressBarCallback()],
}


CHECKPOINTS = {
    1: [f"rl_model_{n}_steps.zip" for n in (100, 200, 300, 400, 500)],
    3: ["rl_model_300_steps.zip"],
}


class Spied(Sleeper):
    """A sleeper that tells the spy."""

    calls_until_due = Sleeper.calls_until_due  # said again, as _on_step is another

    def __init__(self, spy):
        super().__init__()
        self.spy = spy

    def _on_step(self):
        goes_on = super()._on_step()
        self.spy.seen = self.seen
        return goes_on


def training(engine, case, n_envs, folder, parts=(300, 200), spy=None, cls=QLearning):
    folder.mkdir()
    env, rows, spy = world("lake", n_envs, str(folder)), Rows(), spy or Spy()
    callback = CALLBACKS[case](folder, spy)
    model = build(cls, env, rows, engine=engine, learning_rate=0.5, gamma=0.95)
    ends = []
    for part, total in enumerate(parts):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", TqdmExperimentalWarning)
            warnings.simplefilter("ignore", ResourceWarning)  # of files that other tests left open
            model.learn(total, callback, log_interval=4, reset_num_timesteps=part == 0)
        ends.append([knowledge(model), statistics(model), counts(callback)])
    names = sorted(path.name for path in folder.iterdir())
    return [ends, spy.seen, rows.rows, monitored(env), files(folder), names, evaluations(folder), step_on(env)]


def counts(callback):
    """n_calls and the like of all callbacks."""
    if not isinstance(callback, BaseCallback):
        return [counts(part) for part in callback or []]
    children = [getattr(callback, name, None) for name in ("callback", "callback_on_new_best")]
    own = [callback.n_calls, callback.num_timesteps, getattr(callback, "n_episodes", None)]
    own += [getattr(callback, "last_mean_reward", None), getattr(getattr(callback, "pbar", None), "n", None)]
    return [
        own,
        counts(getattr(callback, "callbacks", [])),
        *[counts(child) for child in children if isinstance(child, BaseCallback)],
    ]


def evaluations(folder):
    file = folder / "evaluations.npz"
    return {name: array.tolist() for name, array in np.load(file).items()} if file.exists() else None


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("case", CALLBACKS)
def test_they_fire_at_the_same_steps(case, n_envs, tmp_path):
    step, compiled = (training(engine, case, n_envs, tmp_path / engine) for engine in ENGINES)
    for one, other in zip(step, compiled, strict=True):
        assert one == other
    if "every" in case or case in ("evaluation", "sleeper", "list", "plain list"):
        assert step[1]
    if "stop" in case:
        assert step[0][-1][1]["num_timesteps"] < 500
    if case == "checkpoints":
        assert [name for name in step[5] if "rl_model" in name] == CHECKPOINTS[n_envs]
    if case.startswith("evaluation"):
        assert step[6]["timesteps"]


@pytest.mark.parametrize("cls", [QLearning, SARSA, DynaQ])
def test_checkpoints_hold_the_same(cls, tmp_path):
    saved = []
    for engine in ENGINES:
        folder = tmp_path / engine
        training(engine, "checkpoints", 3, folder, cls=cls)
        model = cls.load(folder / "rl_model_300_steps")
        kept = {name: array.tolist() for name, array in model.policy.arrays().items()}
        saved.append([kept, statistics(model)])
    assert saved[0] == saved[1]
    assert saved[0][1]["num_timesteps"] == 300


class Breaks(Spy):
    """Raises at its third call."""

    def _on_step(self):
        super()._on_step()
        if self.n_calls == 3:
            raise RuntimeError("broken callback")
        return True


@pytest.mark.parametrize("n_envs", [1, 3])
def test_after_an_error_in_a_callback_training_goes_on_alike(n_envs):
    seen = []
    for engine in ENGINES:
        env, rows = world("lake", n_envs), Rows()
        model = build(SARSA, env, rows, engine=engine)
        with pytest.raises(RuntimeError, match="broken callback"):
            model.learn(10_000, EveryNTimesteps(50, Breaks()))
        assert model.num_timesteps in (150, 153)
        before = [knowledge(model), statistics(model), monitored(env)]
        model.learn(200, reset_num_timesteps=False)
        seen.append([before, knowledge(model), statistics(model), monitored(env), rows.rows, step_on(env)])
    assert seen[0] == seen[1]


@pytest.mark.parametrize("case", ["every 50", "evaluation", "sleeper", "list"])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_they_stop_at_the_very_step(case, n_envs, tmp_path):
    """A callback that returns False; then training goes on from there."""
    step, compiled = (training(engine, case, n_envs, tmp_path / engine, spy=Spy(2)) for engine in ENGINES)
    assert step == compiled
    if case != "sleeper":
        assert len(step[1]) >= 2
        assert step[0][0][1]["num_timesteps"] == step[1][1][1] < 300


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n_envs", [1, 3])
def test_the_steps_themselves(engine, n_envs):
    spy, limit = Spy(), StopTrainingOnMaxEpisodes(4)
    build(QLearning, world("lake", n_envs), engine=engine).learn(200, EveryNTimesteps(50, spy))
    expected = [50, 100, 150, 200] if n_envs == 1 else [51, 102, 153]
    assert [row[1] for row in spy.seen] == expected
    assert [row[0] for row in spy.seen] == [1, 2, 3, 4][: len(expected)]
    model = build(QLearning, world("lake", n_envs), engine=engine).learn(10**6, limit, log_interval=1)
    assert limit.n_episodes >= 4 * n_envs
    assert model.num_timesteps < 2000
    assert limit.n_calls == model.num_timesteps // n_envs


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.filterwarnings("ignore::tqdm.TqdmExperimentalWarning")
def test_the_progress_bar(engine, capsys):
    model = build(QLearning, world("lake", 3), engine=engine)
    model.learn(100, progress_bar=True)
    bar = ProgressBarCallback()
    model.learn(100, [bar], reset_num_timesteps=False)
    assert bar.pbar.n == 102
    assert bar.pbar.total == 100
    assert "0:00" in "".join(capsys.readouterr())


@pytest.mark.parametrize("engine", ["auto", "step", "compiled"])
@pytest.mark.parametrize("kind", ["function", "class", "subclass of SB3's", "in a list"])
def test_what_must_see_every_step_steps_and_says_so(engine, kind):
    steps = []

    def watch(local_variables, global_variables):
        steps.append(local_variables["self"].num_timesteps)
        return True

    class Watch(BaseCallback):
        def _on_step(self):
            return watch(self.locals, self.globals)

    class Often(EveryNTimesteps):
        def _on_step(self):
            return watch(self.locals, self.globals)

    callback, name = {
        "function": (watch, "watch"),
        "class": (Watch(), "Watch"),
        "subclass of SB3's": (Often(50, Spy()), "Often"),
        "in a list": ([LogEveryNTimesteps(50), CallbackList([Watch()])], "Watch"),
    }[kind]
    model = build(QLearning, world("lake"), engine=engine)
    if engine == "compiled":
        with pytest.raises(ValueError, match=f"the callback {name} must see every step"):
            model.learn(30, callback)
        return
    if engine == "auto":
        with pytest.warns(UserWarning, match=f"takes the slower step engine: the callback {name} must see every step"):
            model.learn(30, callback)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.learn(30, callback)
    assert steps == list(range(1, 31))


def test_hooks():
    class Hooks(BaseCallback):
        def __init__(self):
            super().__init__()
            self.hooks = []

        def _on_training_start(self):
            self.hooks.append("training start")
            assert self.locals["total_timesteps"] == 3

        def _on_rollout_start(self):
            self.hooks.append("rollout start")

        def _on_step(self):
            self.hooks.append("step")
            wanted = {"new_obs", "rewards", "dones", "infos", "actions", "self", "total_timesteps", "log_interval"}
            assert wanted <= set(self.locals)
            return True

        def _on_rollout_end(self):
            self.hooks.append("rollout end")

        def _on_training_end(self):
            self.hooks.append("training end")

    spy = Hooks()
    build(QLearning, world("lake"), engine="step").learn(3, spy)
    assert spy.hooks == ["training start", *["rollout start", "step", "rollout end"] * 3, "training end"]


class Ends(Sleeper):
    """Notes when training starts and ends."""

    calls_until_due = Sleeper.calls_until_due

    def _on_training_start(self):
        self.seen.append(("start", self.model.num_timesteps))

    def _on_training_end(self):
        self.seen.append(("end", self.model.num_timesteps))

    def _on_step(self):
        return True


@pytest.mark.parametrize("engine", ENGINES)
def test_training_starts_and_ends_once(engine):
    ends = Ends()
    build(SARSA, world("lake"), engine=engine).learn(40, ends)
    assert ends.seen == [("start", 0), ("end", 40)]


def test_a_function_that_stops():
    model = build(QLearning, world("lake"), engine="step")
    model.learn(100, lambda local_variables, _: local_variables["self"].num_timesteps < 13)
    assert model.num_timesteps == 13


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n_envs", [1, 3])
def test_what_a_callback_finds_in_its_locals(engine, n_envs):
    """The same arrays at the steps at which it is due."""
    seen = []

    class Looks(Sleeper):
        calls_until_due = Sleeper.calls_until_due

        def _on_step(self):
            if self.n_calls % 17 == 0:
                found = self.locals
                infos = [{k: v for k, v in info.items() if k not in ("prob", "episode")} for info in found["infos"]]
                episodes = [info["episode"]["r"] for info in found["infos"] if "episode" in info]
                arrays = [found[name].tolist() for name in ("new_obs", "rewards", "dones", "actions")]
                kinds = [found[name].dtype for name in ("new_obs", "rewards", "dones", "actions")]
                seen.append([*arrays, kinds, infos, episodes])
            return True

    build(QLearning, world("lake", n_envs), engine=engine).learn(3000, Looks())
    other, seen = seen, []
    build(QLearning, world("lake", n_envs), engine="step").learn(3000, Looks())
    assert other == seen
    assert any(row[6] for row in seen)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_environment_is_up_to_date_when_a_callback_looks(engine):
    """At the steps at which it is due: the environments stand where the last observation says."""

    class Looks(Sleeper):
        calls_until_due = Sleeper.calls_until_due

        def _on_step(self):
            if self.n_calls % 17 == 0:
                states = [env.unwrapped.s for env in self.training_env.envs]
                self.seen.append(states == self.model._last_obs.tolist())
                self.seen.append(sum(env.total_steps for env in self.training_env.envs) == self.model.num_timesteps)
            return True

    looks = Looks()
    build(QLearning, world("lake", 2), engine=engine).learn(400, looks)
    assert len(looks.seen) > 20
    assert all(looks.seen)


# ---- The functions --------------------------------------------------------------------------------------------------


def due_of(callback, n_envs=1, n_calls=0):
    model = build(QLearning, world("lake", n_envs))
    callback.init_callback(model)
    for part in schedule.parts(callback):
        part.n_calls = n_calls
    return schedule.calls_until_due(callback)


@pytest.mark.parametrize(
    ("n_calls", "frequency", "due"), [(0, 10, 10), (3, 10, 7), (9, 10, 1), (10, 10, 10), (0, 0, np.inf), (5, 1, 1)]
)
def test_calls_until_a_checkpoint(n_calls, frequency, due, tmp_path):
    assert due_of(CheckpointCallback(frequency, str(tmp_path)), n_calls=n_calls) == due


@pytest.mark.parametrize(("n_envs", "n_steps", "due"), [(1, 50, 50), (3, 50, 17), (3, 51, 17), (3, 52, 18), (3, 1, 1)])
def test_calls_until_timesteps(n_envs, n_steps, due):
    assert due_of(EveryNTimesteps(n_steps, Spy()), n_envs) == due


def test_the_earliest_of_a_list(tmp_path):
    parts = [CheckpointCallback(30, str(tmp_path)), CallbackList([EveryNTimesteps(20, Spy()), Sleeper()])]
    assert due_of(CallbackList(parts)) == 17
    assert due_of(CallbackList([])) == np.inf


def test_one_that_is_overdue_is_due_at_once():
    class Overdue(Sleeper):
        def calls_until_due(self):
            return -3

    assert due_of(Overdue()) == 1


def test_episodes_until_due():
    counter = StopTrainingOnMaxEpisodes(5)
    counter.init_callback(build(QLearning, world("lake", 2)))
    assert schedule.episodes_until_due(counter) == 10
    counter.n_episodes = 10
    assert schedule.episodes_until_due(counter) == 1
    assert schedule.episodes_until_due(CallbackList([])) == np.inf
