"""Parameter sharing: all agents of a PettingZoo environment as rows of one SB3 ``VecEnv``, for any SB3 algorithm.

    env = PettingZooVecEnv(simple_spread_v3.parallel_env, n_envs=8, seed=0)
    model = PPO("MlpPolicy", env).learn(100_000, callback=TeamCallback())

One policy plays every agent and learns from what each of them lived through, which is plain single-agent learning on
more data (Terry et al., 2020, "Revisiting Parameter Sharing in Multi-Agent Deep RL", arXiv 2005.13625). What is special
is who is where: agents die while others go on, and a copy is reset when the last of them has ended.
"""

from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn
from supersuit import pad_action_space_v0, pad_observations_v0

from sb3_ext.multi_agent.agent_rows import AgentRowsVecEnv
from sb3_ext.multi_agent.copies import AnyParallelEnv, EnvCopy, EnvOrFactory, as_parallel, make_copies


class PettingZooVecEnv(AgentRowsVecEnv):
    """Copies of a PettingZoo environment as an SB3 ``VecEnv`` with one row for each agent of each copy.

    An agent's row is done at its death, with ``terminal_observation`` and ``TimeLimit.truncated`` in its info. Rows of
    agents that are not alive say ``alive=False`` in their infos until their copy's next episode; a model learns there
    with a buffer that leaves them out (``AliveRolloutBuffer`` and its like) and normalises with ``AliveVecNormalize``;
    without, it is stopped with an error. ``num_timesteps`` of the model counts rows, ``env_steps`` here counts steps of
    the environment. What SB3's Monitor reports is in the infos already, of agents and of the team (``TeamCallback``);
    ``VecMonitor`` would overwrite it, and where agents die before others count their rows' waiting as episodes.

    A copy is reset in the step in which its last agent ends, and is not seeded again.

    Args:
        env: A function that makes a parallel environment, or an AEC one that may be converted; for one copy also the
            environment itself. SuperSuit's wrappers for preprocessing belong in here.
        n_envs: Number of copies, at least 1.
        seed: Copy ``i`` gets ``seed + i`` at its first reset; None leaves them unseeded, unless the model has a seed.
        agent_indicator: Whether a one-hot vector at the end of the observation (images: channels) tells the agents
            apart. Default: where spaces were padded.
        pad_spaces: Whether to bring agents whose spaces differ to one size, by SuperSuit: observations end in zeros,
            actions that an agent does not have mean its action 0.

    Raises:
        TypeError: If it is no PettingZoo environment.
        ValueError: If ``n_envs`` is below 1, if the environment does not list its ``possible_agents``, if its agents
            take turns (``SelfPlayEnv`` is for those), or if their spaces differ; while stepping, if it lets in an agent
            that it has not listed.
        NotImplementedError: For Tuple and nested Dict observations, which SB3 does not support either.

    Example:
        >>> from mpe2 import simple_spread_v3
        >>> env = PettingZooVecEnv(simple_spread_v3.parallel_env, n_envs=2, seed=0)
        >>> env.agents, env.reset().shape
        (['agent_0', 'agent_1', 'agent_2'], (6, 18))
    """

    def __init__(
        self,
        env: EnvOrFactory,
        n_envs: int = 1,
        seed: int | None = None,
        *,
        agent_indicator: bool | None = None,
        pad_spaces: bool = False,
    ) -> None:
        copies = make_copies(env, n_envs)
        if pad_spaces:
            copies = [EnvCopy(_padded(copy.env)) for copy in copies]
        indicated = pad_spaces if agent_indicator is None else agent_indicator
        super().__init__(copies, copies[0].possible_agents, indicated)
        if seed is not None:
            self.seed(seed)

    def _reset_copies(self) -> None:
        for index, copy in enumerate(self.copies):
            row = index * len(self.agents)
            copy.reset(self._seeds[row], self._options[row])

    def _step_copies(self) -> VecEnvStepReturn:
        for index, copy in enumerate(self.copies):
            copy.step(self.copy_actions(index))
        return self.report()


def _padded(env: AnyParallelEnv) -> AnyParallelEnv:
    try:
        return as_parallel(pad_observations_v0(pad_action_space_v0(env)))
    except AssertionError as error:
        spaces = {agent: (env.observation_space(agent), env.action_space(agent)) for agent in env.possible_agents}
        raise ValueError(
            f"pad_spaces=True pads Box and Discrete spaces of one kind ({error}), got {spaces};"
            " give each kind of agent a model of its own (IndependentLearners)"
        ) from error
