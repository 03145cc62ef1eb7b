"""The key-value cache says what reading the whole text says, whatever is shown in between."""

import copy
import pickle

import numpy as np
import pytest
import torch as th
from helpers_rlhf import make_policy, random_texts
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext.envs import TokenWorldVecEnv
from sb3_ext.rlhf import CausalLMPolicy

NETS = ("transformer", "gru")


def logits(policy, texts):
    with th.no_grad():
        return policy.get_distribution(texts).distribution.logits


def without_cache(policy, texts):
    policy.use_cache = False
    result = logits(policy, texts)
    policy.use_cache = True
    return result


def assert_right(policy, texts):
    th.testing.assert_close(logits(policy, texts), without_cache(policy, texts), atol=1e-5, rtol=1e-4)


def count_tokens(policy):
    """Counts the tokens that the network is given, by way: whole texts, or one more token."""
    network, counts = policy.features_extractor.network, {"fill": 0, "extend": 0}
    fill, extend = network.fill, network.extend

    def counted_fill(tokens):
        counts["fill"] += tokens.numel()
        return fill(tokens)

    def counted_extend(tokens, *rest):
        counts["extend"] += tokens.numel()
        return extend(tokens, *rest)

    network.fill, network.extend = counted_fill, counted_extend
    return counts


@pytest.mark.parametrize("net", NETS)
def test_texts_that_go_on_token_by_token(net):
    policy = make_policy(net)
    counts = count_tokens(policy)
    full = th.as_tensor(np.random.default_rng(0).integers(5, size=(4, 7)))
    for length in range(1, 8):
        texts = full.clone()
        texts[:, length:] = policy.pad
        assert_right(policy, texts)
    assert counts["extend"] == 4 * 7


@pytest.mark.parametrize("net", NETS)
def test_texts_of_different_length_and_new_ones_in_between(net):
    policy, generator = make_policy(net), np.random.default_rng(1)
    texts = random_texts(6, seed=1)
    for _ in range(40):
        texts = texts.clone()
        for row in range(6):
            length = int((texts[row] != policy.pad).sum())
            if length == 7 or generator.random() < 0.2:  # an episode ends, another one begins
                texts[row] = random_texts(1, seed=int(generator.integers(10_000)))[0]
            elif generator.random() < 0.8:  # else it stays as it is
                texts[row, length] = int(generator.integers(5))
        assert_right(policy, texts)


@pytest.mark.parametrize("net", NETS)
def test_a_text_that_changes_in_the_middle_is_read_anew(net):
    policy = make_policy(net)
    texts = th.tensor([[1, 2, 3, 4, 5, 5, 5]])
    assert_right(policy, texts)
    texts = th.tensor([[1, 0, 3, 4, 2, 5, 5]])
    assert_right(policy, texts)


@pytest.mark.parametrize("net", NETS)
def test_a_text_that_becomes_shorter_and_goes_another_way(net):
    policy = make_policy(net)
    for text in ([1, 2, 3, 4, 5, 5, 5], [1, 2, 5, 5, 5, 5, 5], [1, 2, 0, 5, 5, 5, 5], [1, 2, 0, 4, 5, 5, 5]):
        assert_right(policy, th.tensor([text]))


@pytest.mark.parametrize("n_others", [2, 4])
def test_other_texts_in_the_middle_do_no_harm(n_others):
    policy = make_policy()
    full = th.as_tensor(np.random.default_rng(0).integers(5, size=(4, 7)))
    for length in range(1, 8):
        texts = full.clone()
        texts[:, length:] = policy.pad
        assert_right(policy, texts)
        logits(policy, random_texts(n_others, seed=length))


def test_new_weights_are_seen():
    policy = make_policy()
    texts = random_texts(4)
    before = logits(policy, texts)
    loss = policy.log_probs(texts).sum()
    loss.backward()
    policy.optimizer.step()
    assert (logits(policy, texts) - before).abs().max() > 1e-4
    assert_right(policy, texts)
    policy.load_state_dict(make_policy(seed=1).state_dict())
    assert_right(policy, texts)
    policy.load_from_vector(make_policy(seed=2).parameters_to_vector())
    assert_right(policy, texts)


def test_what_is_interrupted_is_not_trusted_afterwards():
    policy = make_policy()
    texts = th.tensor([[1, 2, 3, 5, 5, 5, 5], [1, 5, 5, 5, 5, 5, 5]])
    logits(policy, texts)
    network = policy.features_extractor.network
    fill = network.fill
    network.fill = lambda tokens: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        logits(policy, th.tensor([[1, 2, 0, 5, 5, 5, 5], [4, 4, 5, 5, 5, 5, 5]]))
    network.fill = fill
    assert_right(policy, th.tensor([[1, 2, 3, 4, 5, 5, 5], [1, 2, 5, 5, 5, 5, 5]]))


def test_copies_and_pickles_remember_nothing():
    policy = make_policy()
    texts = random_texts(4)
    logits(policy, texts)
    for other in (copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert other.features_extractor.cache._texts.numel() == 0
        assert_right(other, texts)


def test_the_cache_is_for_writing_only():
    policy = make_policy()
    counts = count_tokens(policy)
    texts = random_texts(4)
    policy.get_distribution(texts)  # with gradients
    policy.set_training_mode(True)
    logits(policy, texts)
    assert counts["extend"] == 0
    assert policy.features_extractor.cache._texts.numel() == 0


class PlayInBetween(BaseCallback):
    """Asks the policy about other texts, of as many environments, in the middle of a rollout."""

    def __init__(self, n_envs):
        super().__init__()
        self.n_envs = n_envs

    def _on_step(self):
        texts = random_texts(self.n_envs, n_tokens=4, context=6, seed=self.n_calls)
        self.model.predict(texts.numpy(), deterministic=True)
        return True


@pytest.mark.parametrize("n_envs", [1, 6])
def test_a_callback_that_uses_the_policy_changes_nothing(n_envs):
    results = []
    for callback in (None, PlayInBetween(n_envs)):
        env = TokenWorldVecEnv(6, "copy", length=2, n_symbols=2)
        small = {"d_model": 16, "n_layers": 1, "n_heads": 2}
        model = PPO(CausalLMPolicy, env, n_steps=24, batch_size=72, n_epochs=2, seed=0, policy_kwargs=small)
        results.append(model.learn(288, callback=callback).policy.parameters_to_vector())
    np.testing.assert_allclose(*results, atol=1e-4)


def test_what_is_remembered_in_inference_mode_is_not_written_to_outside_of_it():
    policy = make_policy()
    texts = th.as_tensor([[1, 2, policy.pad, policy.pad, policy.pad, policy.pad, policy.pad]])
    with th.inference_mode():
        policy.get_distribution(texts)
    texts[0, 2] = 3
    assert_right(policy, texts)
