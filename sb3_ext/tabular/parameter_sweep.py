"""Many trainings at once: every seed with every hyperparameter, on all cores, from one call; arrays out.

Each run is what ``Algorithm("TabularPolicy", env, seed=seed, **parameters).learn(...)`` does with the compiled engine,
bit for bit, without making an SB3 model for each: a thousand small trainings take seconds.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.env_util import make_vec_env
from tqdm import tqdm

from sb3_ext.tabular.agent import KEPT, Memory, Settings, kept_shapes, make_memory
from sb3_ext.tabular.algorithm import LONGEST_EPISODE, TabularAlgorithm
from sb3_ext.tabular.engine import World, calls_at_once, make_ready, play
from sb3_ext.tabular.parameters import read_learning_rate, whole_number
from sb3_ext.tabular.worlds import NO_LIMIT, ExactWorld, blank_progress, find_world

UPDATES_AT_ONCE = 500_000
EPISODES_AT_MOST = 4096  # that are reported at once
NO_END = 2**62


@dataclass(frozen=True)
class Sweep:
    """What ``sweep`` found: C configurations, each with N seeds.

    Attributes:
        configurations: The hyperparameters of each, in the order in which the grid's last one changes fastest; [C].
        seeds: [N].
        returns: Undiscounted return of each training episode, [C, N, n_episodes]; not a number where a run had fewer.
        lengths: Its steps, likewise.
        q_tables: What was learned, [C, N, S, A] (with Double Q-learning, the mean of both tables).
        timesteps: Environment steps of each run, [C, N].
    """

    configurations: list[dict[str, Any]]
    seeds: list[int]
    returns: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.float64]
    q_tables: npt.NDArray[np.float64]
    timesteps: npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Run:
    """One training: where its results go, and what it starts from."""

    place: tuple[int, int]
    settings: Settings
    initial_value: float
    seed: int
    states: npt.NDArray[np.int64]
    random_states: npt.NDArray[np.uint64]


def sweep(
    algorithm: type[TabularAlgorithm],
    env: str | Callable[..., gym.Env[Any, Any]],
    grid: Mapping[str, Sequence[Any]] | None = None,
    *,
    seeds: int | Sequence[int] = 10,
    total_timesteps: int | None = None,
    n_episodes: int | None = None,
    n_envs: int = 1,
    env_kwargs: dict[str, Any] | None = None,
    n_threads: int | None = None,
    progress_bar: bool = True,
    **parameters: Any,
) -> Sweep:
    """Trains every combination of the grid with every seed, in parallel threads.

    Args:
        algorithm: The class.
        env: Registered id, or a function that makes an environment; it must be nothing but a transition table (see
            ``worlds.py``), with a time limit if need be.
        grid: Values to try of each hyperparameter, by name; every combination is tried.
        seeds: The seeds, or how many (0, 1, ...).
        total_timesteps: Environment steps of each run; also where its schedules end.
        n_episodes: Ends a run after so many episodes.
        n_envs: Environments of each run.
        env_kwargs: For the environment's constructor, and ``max_episode_steps``.
        n_threads: Runs at the same time; by default as many as there are CPUs. Results do not depend on it.
        progress_bar: Whether to show one.
        **parameters: Hyperparameters that are the same in all runs.

    Raises:
        ValueError: If neither ``total_timesteps`` nor ``n_episodes`` is given, if there is a schedule without
            ``total_timesteps``, or the environment is more than a transition table; else as the class does.

    Example:
        >>> from sb3_ext.tabular import QLearning
        >>> result = sweep(QLearning, "FrozenLake-v1", {"learning_rate": [0.1, 0.5]}, seeds=3, n_episodes=20,
        ...                exploration=0.1, progress_bar=False)
        >>> result.returns.shape, result.configurations[1]
        ((2, 3, 20), {'learning_rate': 0.5})
    """
    if total_timesteps is None and n_episodes is None:
        raise ValueError("give total_timesteps or n_episodes, or both")
    for name, value in (("total_timesteps", total_timesteps), ("n_episodes", n_episodes), ("n_envs", n_envs)):
        if value is not None:
            whole_number(name, value, at_least=1)
    seed_list = list(range(seeds)) if isinstance(seeds, int | np.integer) else [int(seed) for seed in seeds]
    if not seed_list:
        raise ValueError(f"seeds must name at least one, got {seeds}")
    for name, values in (grid or {}).items():
        if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
            raise ValueError(f"the grid must list the values of {name}, got {values!r}; what is the same in all runs "
                             f"goes outside the grid: {name}={values!r}")  # fmt: skip
    if "seed" in {*(grid or {}), *parameters}:
        raise ValueError("the seeds of a sweep are its argument seeds")
    configurations = [dict(zip(grid or {}, values, strict=True)) for values in product(*(grid or {}).values())]
    if not configurations:
        raise ValueError(f"the grid must have at least one value of each hyperparameter, got {grid}")
    vec_env = make_vec_env(env, n_envs, env_kwargs=env_kwargs)
    world = find_world(vec_env)
    if not isinstance(world, ExactWorld):
        raise ValueError(f"sweep needs an environment that is nothing but a transition table: {world}")
    models = [algorithm("TabularPolicy", vec_env, **{**parameters, **each}) for each in configurations]
    for model in models:
        _check_schedules(model, total_timesteps)
        _check_ends(model, world, total_timesteps)
    starts = [_start(world, seed) for seed in seed_list]
    vec_env.close()
    runs = [
        _Run((row, column), model.settings, model.initial_value, seed, *starts[column])
        for row, model in enumerate(models)
        for column, seed in enumerate(seed_list)
    ]
    results = _run_all(runs, world.world, total_timesteps, n_episodes, n_threads, progress_bar)
    return _collect(configurations, seed_list, results)


def _check_schedules(model: TabularAlgorithm, total_timesteps: int | None) -> None:
    if read_learning_rate(model.learning_rate)[0] is None:
        raise ValueError("learning_rate is a function that only Python can call; sweep takes SB3's LinearSchedule")
    for name in ("learning_rate", "exploration_number"):
        start, end, _ = getattr(model.settings, name)
        if total_timesteps is None and start != end:
            raise ValueError(
                f"the schedule of {name.removesuffix('_number')} from {start} to {end} needs total_timesteps, to end at"
            )


def _check_ends(model: TabularAlgorithm, world: ExactWorld, total_timesteps: int | None) -> None:
    if world.mdp.terminated.any():
        return
    if model.gamma == 1:
        raise ValueError("gamma=1 needs episodes that end, and none can end in this environment; take gamma < 1")
    if total_timesteps is None and (world.world.limits == NO_LIMIT).any():
        raise ValueError("no episode can end in this environment: give total_timesteps, or max_episode_steps")


def _start(world: ExactWorld, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Where the environments stand after a reset with a seed: states and random numbers."""
    world.batch.seed(seed)
    world.batch.reset()
    world.read()
    return world.world.states.copy(), world.world.random_states.copy()


def _run_all(
    runs: list[_Run],
    world: World,
    total_timesteps: int | None,
    n_episodes: int | None,
    n_threads: int | None,
    bar: bool,
) -> dict[tuple[int, int], tuple[npt.NDArray[Any], ...]]:
    """Each run's result by its place; an interruption ends all threads."""
    stop, results = threading.Event(), {}
    make_ready(*_start_of(runs[0], world, None, 1))  # before the threads, so that they need not compile
    with ThreadPoolExecutor(n_threads or os.cpu_count()) as pool:
        waiting = {pool.submit(_train, run, world, total_timesteps, n_episodes, stop): run for run in runs}
        try:
            for future in tqdm(as_completed(waiting), total=len(runs), unit="run", disable=not bar):
                results[waiting[future].place] = future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return results


def _start_of(run: _Run, world: World, total_timesteps: int | None, n_episodes: int) -> tuple[Settings, Memory, World]:
    """What a training starts from: its own memory, and its own environments."""
    n_states, n_actions = world.next_state.shape[:2]
    shapes = kept_shapes(run.settings, n_states, n_actions)
    kept: dict[str, Any] = {name: np.zeros(shape, KEPT[name]) for name, shape in shapes.items()}
    kept["q_tables"][:] = run.initial_value
    memory = make_memory(run.settings, kept, len(run.states), run.seed, LONGEST_EPISODE)
    memory.clock[1] = total_timesteps or 1
    own: dict[str, Any] = blank_progress(len(run.states), min(n_episodes, EPISODES_AT_MOST))
    own |= {"states": run.states.copy(), "random_states": run.random_states.copy()}
    return run.settings, memory, world._replace(**own)


def _train(
    run: _Run, world: World, total_timesteps: int | None, n_episodes: int | None, stop: threading.Event
) -> tuple[npt.NDArray[Any], ...]:
    """One training: returns and lengths of its episodes, the table, the steps made."""
    limit, finished = n_episodes or NO_END, 0
    at_once = calls_at_once(run.settings, len(run.states), UPDATES_AT_ONCE)  # then an interruption is seen to
    settings, memory, mine = _start_of(run, world, total_timesteps, limit)
    returns: list[npt.NDArray[Any]] = [np.zeros(0)]
    lengths: list[npt.NDArray[Any]] = [np.zeros(0)]
    n_calls = -(-(total_timesteps or NO_END) // len(run.states))
    while n_calls > 0 and finished < limit and not stop.is_set():
        n_calls -= play(settings, memory, mine, min(n_calls, at_once), limit - finished)
        count = int(mine.n_finished[0])
        returns.append(mine.finished_return[:count].copy())
        lengths.append(mine.finished_length[:count].copy())
        finished += count
    table, steps = memory.q_tables.mean(axis=0), memory.clock[0]
    return np.concatenate(returns)[:limit], np.concatenate(lengths)[:limit], table, steps


def _collect(
    configurations: list[dict[str, Any]], seeds: list[int], results: dict[tuple[int, int], tuple[npt.NDArray[Any], ...]]
) -> Sweep:
    """The results as arrays, episodes padded with not-a-number."""
    shape = (len(configurations), len(seeds))
    longest = max(len(returns) for returns, *_ in results.values())
    returns, lengths = np.full((*shape, longest), np.nan), np.full((*shape, longest), np.nan)
    tables, timesteps = np.empty((*shape, *results[0, 0][2].shape)), np.empty(shape, np.int64)
    for place, (its_returns, its_lengths, table, steps) in results.items():
        returns[place][: len(its_returns)], lengths[place][: len(its_lengths)] = its_returns, its_lengths
        tables[place], timesteps[place] = table, steps
    return Sweep(configurations, seeds, returns, lengths, tables, timesteps)
