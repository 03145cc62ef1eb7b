"""SFT: it imitates, and is an SB3 algorithm in what it saves, logs and calls."""

import numpy as np
import pytest
import torch as th
from helpers_rlhf import SMALL
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from sb3_ext.envs import TokenWorld
from sb3_ext.rlhf import SFT, CausalLMPolicy, Texts

WORLD = TokenWorld("copy", length=1, n_symbols=2)


def make_sft(n=64, seed=0, env=WORLD, **kwargs):
    demonstrations = Texts(*WORLD.demonstrations(n, seed=0))
    return SFT(CausalLMPolicy, env, demonstrations, seed=seed, policy_kwargs=SMALL, **kwargs)


def test_it_ends_at_the_frequencies_of_the_demonstrations():
    """With one prompt and two answers, 3 to 1, the best that can be said is 3/4."""
    texts = Texts.join([[1, 3]] * 4, [[1, 0]] * 3 + [[2, 0]], WORLD.context, WORLD.pad)
    model = SFT(CausalLMPolicy, WORLD, texts, batch_size=4, seed=0, policy_kwargs=SMALL, learning_rate=1e-2)
    model.learn(150 * model.epoch_timesteps)
    prompt = th.as_tensor(texts.tokens[:1]).clone()
    prompt[:, 2:] = WORLD.pad
    with th.no_grad():
        probabilities = model.policy.get_distribution(prompt).distribution.probs[0]
    assert probabilities.numpy() == pytest.approx([0, 0.75, 0.25, 0], abs=0.02)


def test_the_prompt_is_not_learned():
    """A text whose response is predicted perfectly has no loss, whatever the prompt."""
    model = make_sft()
    loss, _ = model._loss(np.arange(8))
    texts = model.demonstrations.take(np.arange(8))
    per_token = -model.policy.log_probs(th.as_tensor(texts.tokens))[:, 1:3]  # prompts have two tokens
    th.testing.assert_close(loss, per_token.mean())


def test_learn_counts_tokens_and_each_example_once_an_epoch():
    model, seen = make_sft(n=10, batch_size=4), []
    original = model._loss
    model._loss = lambda rows: seen.append(rows) or original(rows)
    assert model.epoch_timesteps == 20
    model.learn(20)
    assert [len(rows) for rows in seen] == [4, 4, 2]
    assert sorted(np.concatenate(seen)) == list(range(10))
    assert model.num_timesteps == 20
    model.learn(8, reset_num_timesteps=False)
    assert model.num_timesteps == 28


def test_the_same_seed_gives_the_same_run():
    vectors = [make_sft(seed=seed).learn(200).policy.parameters_to_vector() for seed in (0, 0, 1)]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3


def test_save_and_load_go_on_where_they_were(tmp_path):
    model = make_sft().learn(300)
    model.save(tmp_path / "sft")
    loaded = SFT.load(tmp_path / "sft", env=WORLD, demonstrations=model.demonstrations)
    observation, _ = WORLD.reset(seed=0)
    for each in (loaded, SFT.load(tmp_path / "sft")):
        np.testing.assert_array_equal(each.policy.parameters_to_vector(), model.policy.parameters_to_vector())
        assert each.predict(observation, deterministic=True)[0] == model.predict(observation, deterministic=True)[0]
    assert loaded.num_timesteps == model.num_timesteps
    ours, theirs = model.policy.optimizer.state_dict()["state"], loaded.policy.optimizer.state_dict()["state"]
    assert all(th.equal(ours[key]["exp_avg"], theirs[key]["exp_avg"]) for key in ours)
    loaded.learn(64, reset_num_timesteps=False)


class Stop(BaseCallback):
    """Stops after three batches; counts its calls."""

    ended = 0

    def _on_step(self):
        return self.n_calls < 3

    def _on_training_end(self):
        self.ended += 1


def test_callbacks_are_called_and_may_stop_it():
    callback = Stop()
    model = make_sft(batch_size=8).learn(10_000, callback=callback)
    assert (callback.n_calls, model._n_updates, callback.ended) == (3, 3, 1)


class Writer(KVWriter):
    """Keeps the names that are logged."""

    def __init__(self):
        self.names = set()

    def write(self, key_values, key_excluded, step=0):
        self.names |= set(key_values)

    def close(self):
        pass


def test_logs_are_those_of_the_docstring():
    model, writer = make_sft(batch_size=8), Writer()
    model.set_logger(Logger(None, [writer]))
    model.learn(400, log_interval=2)
    named = {name for name in writer.names if name.startswith("train/")}
    assert named == {"train/loss", "train/perplexity", "train/learning_rate", "train/n_updates"}
    assert all(name in SFT.__doc__ for name in named)


def test_a_progress_bar_may_be_shown():
    make_sft().learn(64, progress_bar=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number, at least 1, got 0"),
        ({"max_grad_norm": 0}, "max_grad_norm must be above 0"),
    ],
)
def test_bad_parameters_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_sft(**arguments)


def test_bad_data_is_named_before_anything_is_learned():
    with pytest.raises(ValueError, match="SFT has no demonstrations"):
        SFT(CausalLMPolicy, WORLD, policy_kwargs=SMALL).learn(10)
    model = make_sft(env=TokenWorld("copy", length=2, n_symbols=2))
    with pytest.raises(ValueError, match="demonstrations of 4 tokens are shorter than the policy's context of 6"):
        model.learn(10)
    with pytest.raises(ValueError, match="total_timesteps must be 0 or more, got -1"):
        make_sft().learn(-1)
