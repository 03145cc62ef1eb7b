"""The two ways to drive ``learning.py``: step by step beside any environment, or a whole loop compiled with the world.

``play`` is the compiled engine: act, transition, update, time limit, episode statistics, in one loop over a ``World``.
A ``World`` is an environment's exact model together with where each copy of it stands and its own random numbers: the
transitions are those that the environments themselves would have made. ``act_all`` and ``learn_all`` are the step
engine's.
"""

import gc
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from sb3_ext.common.compiling import inlined
from sb3_ext.common.random_numbers import RandomState, pcg64_uniform, splitmix64_uniform
from sb3_ext.tabular.agent import Bools, Floats, Ints, Memory, Settings
from sb3_ext.tabular.learning import act, learn

EPISODES_AT_ONCE = 16_384  # that a world can report before the loop must return
FEW_OUTCOMES = 4
SECONDS_AT_ONCE = 0.05  # that the compiled engine plays before it lets Python see to an interruption


class World(NamedTuple):
    """Environments of one exact model, each with its state, clock and random numbers.

    Attributes:
        thresholds: p_0 + ... + p_k of the outcomes of each pair, float64 [S, A, K]; the last possible one is 2.
        next_state: int64 [S, A, K].
        reward: float64 [S, A, K].
        terminated: bool [S, A, K].
        start_states: int64 [n_starts].
        start_thresholds: Cumulative probability of the starts, float64 [n_starts], the last one 2.
        random_states: A generator for each environment, uint64 [n_envs, 4].
        numpys: Whether they are NumPy's PCG64, from which a number is drawn for every step and every start; otherwise
            splitmix64, drawn from only where there is a choice.
        states: S of each environment, int64 [n_envs].
        elapsed: Steps since its episode began, int64 [n_envs].
        limits: Its time limit, int64 [n_envs].
        returns: Its sum of rewards since then, float64 [n_envs].
        returns32: The same added up in float32, as ``VecMonitor`` does, float32 [n_envs].
        actions, rewards, dones, truncated, last_states: The latest step, [n_envs]; last_states are before a reset.
        n_finished: Episodes finished since ``play`` was called, int64 [1]; of each:
        finished_env, finished_call, finished_return, finished_return32, finished_length, finished_truncated,
        finished_state: [EPISODES_AT_ONCE].
    """

    thresholds: Floats
    next_state: Ints
    reward: Floats
    terminated: Bools
    start_states: Ints
    start_thresholds: Floats
    random_states: RandomState
    numpys: bool
    states: Ints
    elapsed: Ints
    limits: Ints
    returns: Floats
    returns32: npt.NDArray[np.float32]
    actions: Ints
    rewards: npt.NDArray[np.float32]
    dones: Bools
    truncated: Bools
    last_states: Ints
    n_finished: Ints
    finished_env: Ints
    finished_call: Ints
    finished_return: Floats
    finished_return32: npt.NDArray[np.float32]
    finished_length: Ints
    finished_truncated: Bools
    finished_state: Ints


@inlined
def draw(world, env):
    """The next random number of an environment."""
    if world.numpys:
        return pcg64_uniform(world.random_states[env])
    return splitmix64_uniform(world.random_states[env])


@inlined
def draw_start(world, env):
    """Where the next episode of an environment begins."""
    n_starts = len(world.start_states)
    if world.numpys:
        uniform, place = draw(world, env), 0
        while uniform >= world.start_thresholds[place]:
            place += 1
        return world.start_states[place]
    return world.start_states[int(draw(world, env) * n_starts)] if n_starts > 1 else world.start_states[0]


@inlined
def draw_outcome(world, env, state, action):
    """Which outcome of a pair comes about: the first whose cumulative probability is above a random number."""
    outcome, n_outcomes = 0, world.thresholds.shape[2]
    if world.numpys or n_outcomes > 1:
        uniform = draw(world, env)
        if n_outcomes <= FEW_OUTCOMES:
            for k in range(n_outcomes):  # faster than to guess when to stop
                outcome += int(uniform >= world.thresholds[state, action, k])
        else:
            while uniform >= world.thresholds[state, action, outcome]:
                outcome += 1
    return outcome


@inlined
def note_episode(world, env, call):
    """Reports an episode that is over, and starts the next."""
    place = world.n_finished[0]
    world.finished_env[place], world.finished_call[place] = env, call
    world.finished_return[place], world.finished_return32[place] = world.returns[env], world.returns32[env]
    world.finished_length[place], world.finished_truncated[place] = world.elapsed[env], world.truncated[env]
    world.finished_state[place] = world.last_states[env]
    world.n_finished[0] += 1
    world.elapsed[env], world.returns[env], world.returns32[env] = 0, 0.0, 0.0
    world.states[env] = draw_start(world, env)


@inlined
def play(settings, memory, world, n_calls, max_finished):
    """Plays and learns.

    Args:
        settings: What the agent is set to.
        memory: What it knows, changed in place.
        world: The environments, changed in place.
        n_calls: Steps of all environments to make.
        max_finished: Return after the step that finishes the episode of this number.

    Returns:
        Steps made: ``n_calls``, or fewer if so many episodes were finished.
    """
    n_envs = len(world.states)
    world.n_finished[0] = 0
    for call in range(n_calls):
        act(settings, memory, world.states, world.actions)
        for env in range(n_envs):
            state, action = world.states[env], world.actions[env]
            outcome = draw_outcome(world, env, state, action)
            reward, next_state = world.reward[state, action, outcome], world.next_state[state, action, outcome]
            terminated = world.terminated[state, action, outcome]
            world.elapsed[env] += 1
            truncated = world.elapsed[env] >= world.limits[env] and not terminated
            single = np.float32(reward)  # as SB3's environments hand it out
            world.returns[env] += reward
            world.returns32[env] += single
            world.rewards[env], world.dones[env] = single, terminated or truncated
            world.truncated[env], world.last_states[env] = truncated, next_state
            learn(settings, memory, env, state, action, np.float64(single), next_state, terminated, truncated)
            world.states[env] = next_state
            if terminated or truncated:
                note_episode(world, env, call)
        memory.clock[0] += n_envs
        if world.n_finished[0] >= max_finished or world.n_finished[0] + n_envs > len(world.finished_env):
            return call + 1
    return n_calls


@inlined
def act_all(settings, memory, states, actions):
    """The step engine's first half: an action for each environment, into ``actions`` [n_envs].

    Returns:
        The first environment whose state there is not, or -1; then nothing is done.
    """
    for env in range(len(states)):
        if states[env] < 0 or states[env] >= memory.q_tables.shape[1]:
            return env
    act(settings, memory, states, actions)
    return -1


@inlined
def learn_all(settings, memory, states, actions, rewards, next_states, terminated, truncated):
    """The step engine's second half: learns from a step of every environment, one after the other; arrays [n_envs].

    Returns:
        The first environment whose reward is not finite or whose next state there is not, or -1; from that on nothing
        is learned.
    """
    for env in range(len(states)):
        if not np.isfinite(rewards[env]) or next_states[env] < 0 or next_states[env] >= memory.q_tables.shape[1]:
            return env
        reward = np.float64(rewards[env])
        learn(
            settings, memory, env, states[env], actions[env], reward, next_states[env], terminated[env], truncated[env]
        )
    memory.clock[0] += len(states)
    return -1


def make_ready(settings: Settings, memory: Memory, world: World) -> None:
    """Has the compiled engine compiled, and says so where that takes a while."""
    with _compiling(play):
        play(settings, memory, world, 0, 1)


def step_functions(settings: Settings, memory: Memory) -> tuple[Callable[..., int], Callable[..., int]]:
    """``act_all`` and ``learn_all``, compiled for arguments of these types, which then must be of these types.

    Numba looks at the type of every argument of every call, which takes longer than these functions do.
    """
    none, never, nothing = np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0, np.float32)
    with _compiling(learn_all):
        act_for = _for_types_of(act_all, settings, memory, none, none)
        return act_for, _for_types_of(learn_all, settings, memory, none, none, nothing, none, never, never)


def _for_types_of(function: Any, *arguments: Any) -> Any:
    function(*arguments)  # compiles; there is no environment to act in
    if not hasattr(function, "get_overload"):  # NUMBA_DISABLE_JIT=1
        return function
    return function.get_overload(tuple(numba.typeof(argument) for argument in arguments))


@contextmanager
def _compiling(function: Any) -> Iterator[None]:
    """Says what takes so long, if something does; and spares a load of thousands of objects the garbage collector.

    Once in a process: all learners share the types of their arguments.
    """
    if getattr(function, "signatures", ()):
        yield
        return
    text = "Compiling the tabular engine; this takes half a minute, once on this machine"
    notice = threading.Timer(2.0, print, [text], {"file": sys.stderr, "flush": True})
    notice.daemon = True
    notice.start()
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        notice.cancel()
        if collects:
            gc.enable()


@contextmanager
def interruption_waits() -> Iterator[None]:
    """Ctrl-C takes effect at the end of the block, so that what was played is also counted."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def adapted(n_at_once: int, n_calls: int, seconds: float) -> int:
    """Calls that take about ``SECONDS_AT_ONCE``, after some took so long; at most twice as many as before."""
    if n_calls < n_at_once and seconds < SECONDS_AT_ONCE:
        return n_at_once
    return max(int(n_at_once * min(2.0, SECONDS_AT_ONCE / max(seconds, 1e-9))), 1)


def calls_at_once(settings: Settings, n_envs: int, n_updates: int) -> int:
    """Calls in which about so many updates are made, planned ones included; at least 1."""
    return max(n_updates // (n_envs * (1 + settings.planning_steps)), 1)
