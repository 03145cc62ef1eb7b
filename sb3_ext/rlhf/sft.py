"""SFT: imitate demonstrations, token by token. The first step of RLHF, whose policy is the reference of all later ones.

    minimise  - mean over the tokens of responses of  log pi(y_t | x, y_<t)       Ouyang et al. 2022, section 3.5

It is behaviour cloning with cross-entropy; the prompt is read, not learned. Read next: ``dpo.py``, ``kl_env.py``.
"""

from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.type_aliases import GymEnv, Schedule

from sb3_ext.rlhf.offline import OfflineAlgorithm
from sb3_ext.rlhf.policies import CausalLMPolicy
from sb3_ext.rlhf.texts import Texts


class SFT(OfflineAlgorithm):
    """Supervised fine-tuning of a language model on demonstrations.

    Parameters not listed are those of :class:`stable_baselines3.PPO`.

    Args:
        policy: ``CausalLMPolicy``, or a subclass.
        env: environment, VecEnv or id of a token world: it says which texts there are. (None: to load without one.)
        demonstrations: what to imitate, say ``Texts(*world.demonstrations(1000))``. They are not saved; give them to
            ``load`` to go on.
        learning_rate: a number or a schedule of the remaining progress.
        batch_size: demonstrations a gradient step.

    ``learn(total_timesteps)`` counts tokens of responses; ``epoch_timesteps`` is one pass through all demonstrations.

    Logs ``train/loss`` (nats a token), ``train/perplexity`` (its exponential), ``train/learning_rate``,
    ``train/n_updates``.

    Raises:
        ValueError: for parameters out of range; in ``learn`` for demonstrations that are missing, longer than the
            context, without a response, or with tokens outside the vocabulary.

    Example:
        >>> from sb3_ext.envs import TokenWorld
        >>> world = TokenWorld("copy", length=1, n_symbols=2)
        >>> model = SFT(CausalLMPolicy, world, Texts(*world.demonstrations(8, seed=0)), policy_kwargs={"d_model": 16})
        >>> model.epoch_timesteps, model.learn(32).num_timesteps
        (16, 32)
    """

    def __init__(
        self,
        policy: type[CausalLMPolicy],
        env: GymEnv | str | None,
        demonstrations: Texts | None = None,
        learning_rate: float | Schedule = 3e-3,
        batch_size: int = 64,
        max_grad_norm: float = 1.0,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "cpu",
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            batch_size=batch_size,
            max_grad_norm=max_grad_norm,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
        )
        self.demonstrations = demonstrations
        if _init_setup_model:
            self._setup_model()

    def _data(self) -> Texts:
        if self.demonstrations is None:
            raise ValueError("SFT has no demonstrations: give demonstrations=Texts(...) to SFT or to SFT.load")
        return self.demonstrations

    def _check_data(self) -> None:
        self._data().check("demonstrations", self.policy)

    def _example_lengths(self) -> NDArray[np.integer]:
        return self._data().response_mask(self.policy.pad).sum(axis=1)

    def _loss(self, rows: NDArray[np.integer]) -> tuple[th.Tensor, dict[str, float]]:
        texts = self._data().take(rows)
        tokens = th.as_tensor(texts.tokens, device=self.device)
        mask = th.as_tensor(texts.response_mask(self.policy.pad), device=self.device)
        log_probs = self.policy.log_probs(tokens)
        loss = -(log_probs * mask).sum() / mask.sum()
        return loss, {"perplexity": float(loss.detach().exp())}

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "demonstrations"]
