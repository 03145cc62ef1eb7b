"""DPO: learn from preferences without a reward model and without writing texts.

    minimise  - E log sigmoid( beta log pi(y_w|x)/ref(y_w|x) - beta log pi(y_l|x)/ref(y_l|x) )

(Rafailov et al. 2023, eq. 7). Its minimum is that of PPO with a KL penalty, ``ref exp(r / beta) / Z``, if preferences
follow the Bradley-Terry model with reward r and show every pair: ``exact.py`` says how near to it a policy is. The
other losses keep the data and ask for something else: see ``common/preferences.py``.
"""

from typing import Any, Literal, Self

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.type_aliases import GymEnv, Schedule

from sb3_ext.common import dpo_loss, ipo_loss, kto_loss, orpo_loss
from sb3_ext.common.preferences import check_beta
from sb3_ext.rlhf.offline import OfflineAlgorithm
from sb3_ext.rlhf.policies import CausalLMPolicy
from sb3_ext.rlhf.reference import check_same_shape, frozen_copy
from sb3_ext.rlhf.texts import Preferences, Texts, response_log_probs, response_log_probs_as_data

LOSSES = ("dpo", "ipo", "kto", "orpo")


class DPO(OfflineAlgorithm):
    """Direct preference optimisation (Rafailov et al. 2023), and its relatives.

    Parameters not listed are those of :class:`stable_baselines3.PPO`.

    Args:
        policy: ``CausalLMPolicy``, or a subclass.
        env: environment, VecEnv or id of a token world: it says which texts there are. (None: to load without one.)
        preferences: pairs of responses. They are not saved; give them to ``load`` to go on.
        reference_policy: where the policy starts, and what it is held against: ``sft.policy``. Default: the policy as
            it is when ``learn`` is first called.
        beta: weight of the KL penalty that is implied, above 0: the smaller, the further from the reference.
        loss: "dpo"; "ipo" (a target for the margin); "kto" (good and bad responses instead of pairs; the reference
            point is the mean log-ratio of the batch's responses to each other's prompts); "orpo" (imitate the chosen at
            better odds, no reference; beta weighs the odds).
        label_smoothing: how often the preferences are wrong, in [0, 0.5).
        learning_rate: a number or a schedule of the remaining progress.
        batch_size: pairs a gradient step.

    ``learn(total_timesteps)`` counts tokens of responses, chosen and rejected; ``epoch_timesteps`` is one pass.

    Logs ``train/loss``, ``train/margin`` (mean difference of the log-ratios, nats), ``train/accuracy`` (share of pairs
    whose chosen response has the higher one), ``train/chosen_log_ratio``, ``train/rejected_log_ratio`` (with "orpo": of
    mean log-probabilities), ``train/learning_rate``, ``train/n_updates``.

    Raises:
        ValueError: for an unknown loss, a number out of range, or a reference of another shape; in ``learn`` for
            preferences that are missing, longer than the context, or with tokens outside the vocabulary.
    """

    def __init__(
        self,
        policy: type[CausalLMPolicy],
        env: GymEnv | str | None,
        preferences: Preferences | None = None,
        reference_policy: BasePolicy | None = None,
        beta: float = 0.1,
        loss: Literal["dpo", "ipo", "kto", "orpo"] = "dpo",
        label_smoothing: float = 0.0,
        learning_rate: float | Schedule = 1e-3,
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
        self.preferences = preferences
        self.reference_policy = reference_policy
        self.beta = beta
        self.loss = loss
        self.label_smoothing = label_smoothing
        self.reference: BasePolicy | None = None
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        check_beta(self.beta)
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {LOSSES}, got {self.loss!r}")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing must lie in [0, 0.5), got {self.label_smoothing}")
        super()._setup_model()
        self.reference = None
        if self.reference_policy is not None:
            check_same_shape(self.policy, self.reference_policy)
            self.policy.load_state_dict(self.reference_policy.state_dict(), strict=False)
            self.reference = frozen_copy(self.policy)

    # ---- Data ---------------------------------------------------------------------------------------------------

    def _data(self) -> Preferences:
        if self.preferences is None:
            raise ValueError("DPO has no preferences: give preferences=Preferences(...) to DPO or to DPO.load")
        return self.preferences

    def _check_data(self) -> None:
        self._data().chosen.check("chosen texts", self.policy)
        self._data().rejected.check("rejected texts", self.policy)

    def _example_lengths(self) -> NDArray[np.integer]:
        sides = (self._data().chosen, self._data().rejected)
        return np.sum([side.response_mask(self.policy.pad).sum(axis=1) for side in sides], axis=0)

    def _setup_learn(self, *args: Any, **kwargs: Any) -> Any:
        if self.reference is None:
            self.reference = frozen_copy(self.policy)
        data = self._data()
        self._reference_log_probs = [
            th.as_tensor(response_log_probs_as_data(self.reference, side), dtype=th.float32, device=self.device)  # type: ignore[arg-type]
            for side in (data.chosen, data.rejected)
        ]
        return super()._setup_learn(*args, **kwargs)

    # ---- Learn --------------------------------------------------------------------------------------------------

    def _loss(self, rows: NDArray[np.integer]) -> tuple[th.Tensor, dict[str, float]]:
        pairs, pad = self._data().take(rows), self.policy.pad
        both = pairs.chosen.followed_by(pairs.rejected)
        log_probs = response_log_probs(self.policy, both)
        if self.loss == "orpo":
            log_ratios = log_probs / th.as_tensor(both.response_mask(pad).sum(axis=1), device=self.device)
        else:
            log_ratios = log_probs - th.cat([side[rows] for side in self._reference_log_probs])
        chosen, rejected = log_ratios.chunk(2)
        probability = th.ones_like(chosen)
        if pairs.probability is not None:
            probability = th.as_tensor(pairs.probability, dtype=th.float32, device=self.device)
        if self.loss == "kto":
            better = probability * (1 - self.label_smoothing) + (1 - probability) * self.label_smoothing
            kl = self._mismatched_log_ratio(both)
            loss = kto_loss(log_ratios, th.cat([better, 1 - better]), kl, self.beta)
        else:
            function = {"dpo": dpo_loss, "ipo": ipo_loss, "orpo": orpo_loss}[self.loss]
            loss = function(chosen, rejected, self.beta, self.label_smoothing, probability)
        margins = (chosen - rejected).detach()
        return loss, {
            "margin": margins.mean().item(),
            "accuracy": (margins > 0).float().mean().item(),
            "chosen_log_ratio": chosen.detach().mean().item(),
            "rejected_log_ratio": rejected.detach().mean().item(),
        }

    def _mismatched_log_ratio(self, texts: Texts) -> th.Tensor:
        """The mean log-ratio of each response to the next text's prompt (where it fits into the context)."""
        pad, context = self.policy.pad, texts.tokens.shape[1]
        prompts = [row[:n].tolist() for row, n in zip(texts.tokens, texts.prompt_lengths, strict=True)]
        responses = [[token for token in row[n:].tolist() if token != pad]
                     for row, n in zip(texts.tokens, texts.prompt_lengths, strict=True)]  # fmt: skip
        fitting = [(prompt, response) for prompt, response in zip(prompts[1:] + prompts[:1], responses, strict=True)
                   if len(prompt) + len(response) <= context]  # fmt: skip
        if not fitting:
            return th.zeros(())
        mixed = Texts.join([each[0] for each in fitting], [each[1] for each in fitting], context, pad)
        with th.no_grad():
            return (response_log_probs(self.policy, mixed) - response_log_probs(self.reference, mixed)).mean()  # type: ignore[arg-type]

    # ---- Save: the reference is saved with the policy -----------------------------------------------------------

    @classmethod
    def load(cls, path: Any, *args: Any, **kwargs: Any) -> Self:
        """As SB3's; ``preferences`` may be given. The reference is that of the file.

        Raises:
            ValueError: for another reference.
        """
        if kwargs.get("reference_policy") is not None:
            raise ValueError("DPO.load takes the reference that was saved; for another one make a new DPO")
        return super().load(path, *args, **kwargs)

    def _excluded_save_params(self) -> list[str]:
        own = ["preferences", "reference", "reference_policy", "_reference_log_probs"]
        return [*super()._excluded_save_params(), *own]

    def get_parameters(self) -> dict[str, dict]:
        """As SB3's, with "reference" once there is one."""
        own = {} if self.reference is None else {"reference": self.reference.state_dict()}
        return {**super().get_parameters(), **own}

    def set_parameters(
        self, load_path_or_dict: Any, exact_match: bool = True, device: th.device | str = "auto"
    ) -> None:
        """As SB3's; a saved reference becomes the reference."""
        if isinstance(load_path_or_dict, dict):
            parameters = dict(load_path_or_dict)
        else:
            parameters = load_from_zip_file(load_path_or_dict, device=device, load_data=False)[1]
        saved = parameters.pop("reference", None)
        super().set_parameters(parameters, exact_match=exact_match, device=device)
        if saved is not None:
            self.reference = frozen_copy(self.policy)
            self.reference.load_state_dict(saved)
