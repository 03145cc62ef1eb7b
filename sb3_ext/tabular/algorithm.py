"""What all tabular algorithms share: SB3's interface, two engines that learn the same, files.

A class of its own adds a rule and its parameters, nothing more: see ``q_learning.py`` first. How a step is learned from
is in ``learning.py``; read on in ``engine.py`` for the two engines and in ``worlds.py`` for when the compiled one may
be used.
"""

import io
import math
import pathlib
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import FloatSchedule, LinearSchedule, safe_mean

from sb3_ext.common import refuse_non_finite
from sb3_ext.common.exploration import EpsilonGreedy, Exploration
from sb3_ext.common.slots import ActionProbabilities
from sb3_ext.tabular.agent import (
    DYNA_Q,
    EXPECTED_SARSA,
    MONTE_CARLO,
    SARSA,
    Memory,
    Settings,
    begin_episodes,
    kept_shapes,
    make_memory,
    needed_gigabytes,
    recall,
)
from sb3_ext.tabular.callback_schedule import (
    advance,
    calls_until_due,
    episodes_until_due,
    may_touch_environments,
    must_see_every_step,
)
from sb3_ext.tabular.engine import adapted, calls_at_once, interruption_waits, make_ready, play, step_functions
from sb3_ext.tabular.files import check_model_file, read_table, write_table
from sb3_ext.tabular.own_functions import act_by
from sb3_ext.tabular.parameters import read_exploration, read_learning_rate
from sb3_ext.tabular.policy import TabularPolicy
from sb3_ext.tabular.worlds import ExactWorld, find_world

Engine = Literal["auto", "step", "compiled"]
LONGEST_EPISODE = 10_000  # steps; Monte Carlo learns from a longer one in parts
MOST_GIGABYTES = 8.0


class TabularAlgorithm(BaseAlgorithm):
    """The base of the tabular algorithms; parameters not listed are those of every SB3 algorithm.

    Args:
        policy: "TabularPolicy".
        env: Environment, VecEnv or id; Discrete observations and actions.
        learning_rate: The step size alpha: a number, a schedule of the remaining progress (``LinearSchedule`` is
            compiled, another callable needs the step engine), or written: "lin_0.5" (from 0.5 to 0 over the training),
            "1/N" (an average over all visits of the pair), "lin_1/N^0.5" (both, with another power).
        gamma: Discount, from 0 to 1; 1 for tasks whose episodes end.
        exploration: An ``EpsilonGreedy``, ``Boltzmann`` or ``UCB``, or a number: a constant epsilon; "lin_0.5" is one
            that falls from 0.5 to 0 over the training. Or an object of your own
            (``sb3_ext.common.slots.ActionProbabilities``), which needs the step engine and an algorithm that does not
            learn about its own exploration: Q-learning, Double Q-learning, Dyna-Q.
        initial_value: Q(s, a) before anything is learned. The default is optimistic where a success is worth 1 and
            every step costs: what was not tried yet looks good (section 2.6). With gamma near 1 and no cost of a step
            it looks good for too long: take 0 then, as the book does.
        engine: "compiled" plays in the environments' place, a hundred times faster, where they are nothing but a
            transition table (``worlds.py``); "step" steps them; "auto" compiles where it can. Both learn the same
            table, bit for bit, and give callbacks, monitors and the logger the same (of an environment's infos, what
            SB3 itself reads).
        device: Not used: tables stay on the CPU.

    With several environments, each step's transitions are learned from one after the other, so that a pair that occurs
    twice counts twice. A truncated episode is bootstrapped from the state that it reached; a terminated one has no
    future.

    Logs, beside SB3's ``rollout/`` and ``time/``, every ``log_interval`` episodes: ``rollout/exploration_rate``
    (epsilon, temperature or c), ``train/learning_rate`` (before any division by visits), ``train/td_error`` (mean of
    |target - estimate| since the last log).

    Raises:
        ValueError: For spaces that are not Discrete, a table too large for memory, or a parameter out of range; while
            learning, for a reward that is not finite, or for gamma=1 where no episode can end.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"TabularPolicy": TabularPolicy}
    policy: TabularPolicy
    observation_space: spaces.Discrete
    action_space: spaces.Discrete

    def __init__(
        self,
        policy: str | type[TabularPolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule | str = "lin_1/N^0.5",
        gamma: float = 0.99,
        exploration: Exploration | ActionProbabilities | float | str = EpsilonGreedy(0.5, 0.02),  # noqa: B008  (frozen)
        initial_value: float = 1.0,
        engine: Engine = "auto",
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        del device
        super().__init__(
            policy,
            env,
            learning_rate,  # type: ignore[arg-type]  # "1/N" as well
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device="cpu",
            support_multi_env=True,
            seed=seed,
        )
        self.algorithm = type(self).__name__  # in saved files, to recognise them by
        self.gamma = gamma
        self.exploration = exploration
        self.initial_value = initial_value
        self.engine = engine
        self._memory: Memory | None = None
        if _init_setup_model:
            self._setup_model()

    @abstractmethod
    def _rule(self) -> dict[str, Any]:
        """What the class adds to ``Settings``, by name."""

    def _setup_model(self) -> None:
        self._check_spaces()
        self.settings = self._make_settings()
        size = int(self.observation_space.n), int(self.action_space.n), self.n_envs, LONGEST_EPISODE
        needed = needed_gigabytes(self.settings, *size)
        if needed > MOST_GIGABYTES:
            raise ValueError(
                f"{self.algorithm} needs {needed:,.1f} GB for {self.observation_space.n:,} states x "
                f"{self.action_space.n} actions (at most {MOST_GIGABYTES:g} are taken); make the states fewer, for "
                "example with coarser bins in sb3_ext.envs.DiscretizeObservation"
            )
        self.set_random_seed(self.seed)
        shapes = kept_shapes(self.settings, int(self.observation_space.n), int(self.action_space.n))
        self.policy = self.policy_class(  # type: ignore[assignment]
            self.observation_space, self.action_space, None, shapes=shapes, initial_value=self.initial_value,
            exploration=self.exploration, seed=self.seed, **self.policy_kwargs,
        )  # fmt: skip
        self._memory = None

    def _check_spaces(self) -> None:
        for name, way_out in (
            (
                "observation_space",
                "wrap the env in sb3_ext.envs.DiscretizeObservation (Box) or FlattenDiscrete (the rest)",
            ),
            ("action_space", "choose an environment with a finite number of actions"),
        ):
            space = getattr(self, name)
            if not isinstance(space, spaces.Discrete):
                raise ValueError(f"{self.algorithm} needs a Discrete {name.replace('_', ' ')}, got {space}; {way_out}")

    def _check_parameters(self) -> None:
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma must lie in [0, 1], got {self.gamma}")
        if not math.isfinite(self.initial_value):
            raise ValueError(f"initial_value must be finite, got {self.initial_value}")
        if self.engine not in ("auto", "step", "compiled"):
            raise ValueError(f"engine must be 'auto', 'step' or 'compiled', got {self.engine!r}")

    def _make_settings(self) -> Settings:
        self.exploration = read_exploration(self.exploration)
        self._check_parameters()
        schedule, power = read_learning_rate(self.learning_rate)
        settings = Settings(
            gamma=float(self.gamma),
            learning_rate=schedule or (0.0, 0.0, 1.0),  # of a callable: filled in at each step
            visit_power=power,
            **self._rule(),
        )
        if isinstance(self.exploration, Exploration):
            return settings._replace(exploration=self.exploration.kind, exploration_number=self.exploration.schedule)
        if settings.rule in (SARSA, EXPECTED_SARSA, MONTE_CARLO):
            raise ValueError(
                f"{self.algorithm} learns about its own exploration, in compiled code: it takes EpsilonGreedy, "
                f"Boltzmann or UCB, got {type(self.exploration).__name__}; QLearning takes any with `probabilities`"
            )
        return settings

    def _python_only(self) -> str | None:
        """Why no compiled engine can be used, if so."""
        if read_learning_rate(self.learning_rate)[0] is None:
            return "learning_rate is a function that only Python can call; SB3's LinearSchedule can be compiled"
        if not isinstance(self.exploration, Exploration):
            return "exploration is an object that only Python can ask"
        return None

    def _step_functions(self, memory: Memory) -> tuple[Callable[..., int], Callable[..., int]]:
        """The two halves of the step engine."""
        act_all, learn_all = step_functions(self.settings, memory)
        own = not isinstance(self.exploration, Exploration)
        return partial(act_by, self.exploration) if own else act_all, learn_all  # type: ignore[arg-type]

    # ---- Learning ---------------------------------------------------------------------------------------------------

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 100,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Trains for at least ``total_timesteps`` steps, all environments together; see SB3's ``learn``.

        Args:
            total_timesteps: Environment steps.
            callback: As in SB3. With ``engine="auto"``, one that must see every step chooses the step engine.
            log_interval: Episodes between logs; 0 or None for none.
            tb_log_name: Name of the run in TensorBoard; by default the class's.
            reset_num_timesteps: Whether to count steps and go through schedules anew.
            progress_bar: Whether to show one.

        Raises:
            ValueError: If ``total_timesteps`` is negative, if ``engine="compiled"`` cannot be used, or for what the
                class names.
        """
        if not 0 <= total_timesteps < 2**62:
            raise ValueError(f"total_timesteps must be 0 or more, and less than 2^62, got {total_timesteps}")
        goes_on = self._memory is not None and not reset_num_timesteps and self._last_obs is not None
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name or self.algorithm, progress_bar
        )
        assert isinstance(callback, BaseCallback)
        memory = self._prepare_memory(total_timesteps, goes_on)
        world = self._choose_engine(callback)
        if isinstance(world, ExactWorld):
            make_ready(self.settings, memory, world.world)
        callback.on_training_start(locals(), globals())
        if isinstance(world, ExactWorld):
            self._learn_compiled(world, memory, callback, total_timesteps, log_interval)
        else:
            self._learn_by_steps(memory, callback, total_timesteps, log_interval)
        callback.on_training_end()
        return self

    def _prepare_memory(self, total_timesteps: int, goes_on: bool) -> Memory:
        """The arrays that learning works on: the policy's own, and those that last as long as this object."""
        kept, settings, before = self.policy.arrays(), self._make_settings(), self._memory
        shapes = kept_shapes(settings, int(self.observation_space.n), int(self.action_space.n))
        if shapes != self.policy.shapes:
            raise ValueError(f"{self.algorithm} was given a hyperparameter that needs other arrays: make a new model")
        if before is None or len(before.next_action) != self.n_envs or settings != self.settings:
            self._memory = make_memory(settings, kept, self.n_envs, self.seed, LONGEST_EPISODE)
            if before is not None:  # a hyperparameter was changed: go on with the same random numbers
                self._memory.random_state[:] = before.random_state
        assert self._memory is not None
        self._memory = memory = self._memory._replace(**kept)
        self.settings = settings
        self.policy.exploration = self.exploration  # type: ignore[assignment]  # no number by now
        if not goes_on:
            begin_episodes(memory)
        if len(memory.last_tried):
            memory.last_tried[:] += self.num_timesteps - memory.clock[0]  # the clock may be set back, the table loaded
        memory.clock[:] = self.num_timesteps, max(total_timesteps, 1)
        memory.errors[:] = 0
        return memory

    def _choose_engine(self, callback: BaseCallback) -> ExactWorld | str:
        """The world to play in the environments' place, or why they must be stepped."""
        assert self.env is not None
        world = find_world(self.env)
        if self.gamma == 1 and isinstance(world, ExactWorld) and not world.mdp.terminated.any():
            raise ValueError("gamma=1 needs episodes that end, and none can end in this environment; take gamma < 1")
        reason = world if isinstance(world, str) else self._python_only()
        awake = must_see_every_step(callback)
        if reason is None and awake is not None:
            reason = f"the callback {awake} must see every step"
            if self.engine == "auto":
                warnings.warn(f'engine="auto" takes the slower step engine: {reason}', stacklevel=3)
        if self.engine == "step":
            reason = "it was asked for"
        if reason is None:
            assert isinstance(world, ExactWorld)
            return world
        if self.engine == "compiled":
            raise ValueError(f'engine="compiled" cannot be used: {reason}; take engine="auto" or "step"')
        if self.verbose >= 1:
            print(f"Step engine: {reason}")
        return reason

    def _learn_by_steps(
        self, memory: Memory, callback: BaseCallback, total_timesteps: int, log_interval: int, once: bool = False
    ) -> bool:
        """The step engine: any environment, one call of ``env.step`` after the other (or once).

        Returns:
            False if a callback ended the training.
        """
        env, n_envs = self.env, self.n_envs
        assert env is not None
        settings, first_action = self.settings, int(self.action_space.start)
        rate: Any = None if read_learning_rate(self.learning_rate)[0] else FloatSchedule(self.learning_rate)
        act_all, learn_all = self._step_functions(memory)
        states, actions = self._states_of(self._last_obs), np.zeros(n_envs, np.int64)
        nowhere = np.zeros(n_envs, np.bool_)
        while self.num_timesteps < total_timesteps:
            callback.on_rollout_start()
            if rate is not None:
                remaining = 1.0 - self.num_timesteps / total_timesteps
                settings = settings._replace(learning_rate=(rate(remaining),) * 2 + (1.0,))
            if (wrong := act_all(settings, memory, states, actions)) >= 0:
                self._refuse(wrong, self._last_obs)
            new_obs, rewards, dones, infos = env.step(actions + first_action if first_action else actions.copy())
            next_states = reached = self._states_of(new_obs)
            terminated = truncated = nowhere
            n_done = int(np.count_nonzero(dones))
            if n_done:
                reached, terminated, truncated = self._ends(next_states, dones, infos)
            singles = np.ascontiguousarray(rewards, np.float32)
            wrong = learn_all(settings, memory, states, actions, singles, reached, terminated, truncated)
            if wrong >= 0:
                refuse_non_finite("reward", singles)
                self._refuse(wrong, reached + self.observation_space.start)
            states, self._last_obs, self._last_episode_starts = next_states, new_obs, dones  # type: ignore[assignment]
            self.num_timesteps += n_envs
            self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
            callback.update_locals({"new_obs": new_obs, "rewards": rewards, "dones": dones, "infos": infos,
                                    "actions": actions})  # fmt: skip
            if not callback.on_step():
                return False
            if n_done:
                self._update_info_buffer(infos, dones)
                self._count_episodes(n_done, log_interval)
            callback.on_rollout_end()
            if once:
                break
        return True

    def _refuse(self, env: int, observations: Any) -> None:
        raise ValueError(
            f"environment {env} gave the observation {observations[env]}, which is not in {self.observation_space}"
        )

    def _states_of(self, observations: Any) -> npt.NDArray[np.int64]:
        """States counted from 0, int64 [n_envs]."""
        states = np.array(observations, dtype=np.int64, order="C")  # a copy: some environments write into their own
        return states - self.observation_space.start if self.observation_space.start else states

    def _ends(self, next_states: npt.NDArray[np.int64], dones: npt.NDArray[np.bool_], infos: list[dict[str, Any]]):
        """The states reached, before any reset, and how the episodes that are over ended."""
        reached, truncated = next_states.copy(), np.zeros(len(dones), np.bool_)
        for env in np.flatnonzero(dones):
            truncated[env] = infos[env].get("TimeLimit.truncated", False)
            reached[env] = infos[env]["terminal_observation"] - int(self.observation_space.start)
        return reached, np.array(dones, np.bool_) & ~truncated, truncated

    def _learn_compiled(
        self, world: ExactWorld, memory: Memory, callback: BaseCallback, total_timesteps: int, log_interval: int
    ) -> None:
        """The compiled engine: plays until the next step at which somebody has to see something."""
        n_envs, env = self.n_envs, self.env
        assert env is not None
        n_at_once = calls_at_once(self.settings, n_envs, 10_000)
        logs = bool(log_interval and self.logger.output_formats)
        watched, is_ours = may_touch_environments(callback), False  # whether where the world stands is in its arrays
        try:
            while self.num_timesteps < total_timesteps:
                if not is_ours:
                    again = world if not watched else find_world(env)
                    if not isinstance(again, ExactWorld):  # a callback made more of the environments than their model
                        self._learn_by_steps(memory, callback, total_timesteps, log_interval)
                        return
                    world, arrays = again, again.world
                    world.read()
                    if not np.array_equal(arrays.states, self._states_of(self._last_obs)):
                        # somebody moved them: the agent notices by its next step, which the environments make
                        if not self._learn_by_steps(memory, callback, total_timesteps, log_interval, once=True):
                            return
                        continue
                    is_ours = True
                due = calls_until_due(callback)
                n_calls = int(min(due, n_at_once, -(-(total_timesteps - self.num_timesteps) // n_envs)))
                until_log = log_interval - self._episode_num % log_interval if logs else math.inf
                max_finished = int(min(until_log, episodes_until_due(callback), 2**62))
                with interruption_waits():
                    started = time.perf_counter()
                    n_calls = play(self.settings, memory, arrays, n_calls, max_finished)
                    n_at_once = adapted(n_at_once, n_calls, time.perf_counter() - started)
                    self.num_timesteps += n_calls * n_envs
                    self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
                    new_obs, rewards, dones = arrays.states.copy(), arrays.rewards.copy(), arrays.dones.copy()
                    self._last_obs, self._last_episode_starts = new_obs, dones
                    world.record_episodes(n_calls)
                    count = int(arrays.n_finished[0])
                    latest = np.flatnonzero(arrays.finished_call[:count] == n_calls - 1)
                    self._take_in(world, range(count - len(latest)))
                    self._count_episodes(count - len(latest), log_interval, logs=False)
                    advance(callback, n_calls - 1, count - len(latest))
                    if due <= n_calls or count >= max_finished:
                        world.write()
                        is_ours = not watched
                actions, infos = arrays.actions.copy(), world.infos(latest)
                callback.update_locals(locals())
                if not callback.on_step():
                    return
                self._update_info_buffer(infos, dones)
                self._count_episodes(len(latest), log_interval, logs)
        finally:
            if is_ours:
                world.write()

    def _take_in(self, world: ExactWorld, places: range) -> None:
        """Puts finished episodes into the buffers that means are logged from, but for those that would fall out."""
        assert self.ep_info_buffer is not None
        assert self.ep_success_buffer is not None
        for place in places[-self._stats_window_size :]:
            if (episode := world.episode(place)) is not None:
                self.ep_info_buffer.append(episode)
            if world.base.successes is not None:
                self.ep_success_buffer.append(world._is_success(place))

    def _count_episodes(self, n_episodes: int, log_interval: int, logs: bool = True) -> None:
        """Counts finished episodes, and logs at every ``log_interval``-th."""
        for _ in range(n_episodes if logs and log_interval else 0):
            self._episode_num += 1
            if self._episode_num % log_interval == 0:
                self.dump_logs()
        if not (logs and log_interval):
            self._episode_num += n_episodes

    def dump_logs(self) -> None:
        """Writes the log."""
        assert self.ep_info_buffer is not None
        assert self._memory is not None
        seconds = max((time.time_ns() - self.start_time) / 1e9, 1e-9)
        record = self.logger.record
        record("time/episodes", self._episode_num, exclude="tensorboard")
        if len(self.ep_info_buffer) > 0:
            record("rollout/ep_rew_mean", safe_mean([episode["r"] for episode in self.ep_info_buffer]))
            record("rollout/ep_len_mean", safe_mean([episode["l"] for episode in self.ep_info_buffer]))
        if self.ep_success_buffer:
            record("rollout/success_rate", safe_mean(self.ep_success_buffer))
        progress = 1 - self._current_progress_remaining
        if isinstance(self.exploration, Exploration):
            record("rollout/exploration_rate", self.exploration.value(progress))
        record("train/learning_rate", self._learning_rate_at(progress))
        total_error, n_errors = self._memory.errors
        if n_errors > 0:
            record("train/td_error", total_error / n_errors)
        self._memory.errors[:] = 0
        record("time/fps", int((self.num_timesteps - self._num_timesteps_at_start) / seconds))
        record("time/time_elapsed", int(seconds), exclude="tensorboard")
        record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(step=self.num_timesteps)

    def _learning_rate_at(self, progress: float) -> float:
        schedule, _ = read_learning_rate(self.learning_rate)
        if schedule is None:
            return FloatSchedule(self.learning_rate)(1 - progress)
        return LinearSchedule(*schedule)(1 - progress)

    def set_parameters(self, *args: Any, **kwargs: Any) -> None:
        """See SB3."""
        super().set_parameters(*args, **kwargs)
        self._recall()

    def _recall(self) -> None:
        """Has Dyna plan with the model of the world that was put in the place of its own."""
        if self._memory is not None and self.settings.rule == DYNA_Q:
            recall(self.settings, self._memory)

    # ---- Files ------------------------------------------------------------------------------------------------------

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_memory", "settings"]

    @classmethod
    def load(cls, path: str | pathlib.Path | io.BufferedIOBase, *args: Any, **kwargs: Any) -> Self:
        """Loads a saved model; see SB3's ``load``. Before anything of it is run, the file is looked at.

        Raises:
            ValueError: If the file is no model of this class.
            FileNotFoundError: If there is none.
        """
        check_model_file(path, cls.__name__)
        return super().load(path, *args, **kwargs)

    def save_table(self, path: str | pathlib.Path) -> None:
        """Writes the table and the visits as a plain ``.npz`` file, for other programs too (arrays, nothing to run).

        It holds ``format``, ``algorithm``, and whatever of ``q_tables`` [n_tables, S, A], ``visits``, ``clock`` and
        Dyna's model the policy keeps.
        """
        write_table(path, self.algorithm, self.policy.arrays())

    def load_table(self, path: str | pathlib.Path) -> None:
        """Reads into this model what ``save_table`` wrote; no pickle is run.

        Raises:
            ValueError: If the file is not one of ours, or its table has another shape; then nothing is changed.
            FileNotFoundError: If there is none.
        """
        read_table(path, self.algorithm, self.policy.arrays(), int(self.observation_space.n))
        self._recall()
