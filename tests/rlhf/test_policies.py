"""CausalLMPolicy: causal, an SB3 policy for each algorithm, and clear about what it cannot do."""

import itertools

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers_rlhf import SMALL, make_policy, random_texts
from stable_baselines3 import A2C, PPO

from sb3_ext import GRPO, REINFORCE
from sb3_ext.envs import TokenWorldVecEnv
from sb3_ext.rlhf import CausalLMPolicy
from sb3_ext.rlhf.networks import shared_prefixes

NETS = ("transformer", "gru")


@pytest.mark.parametrize("net", NETS)
def test_what_follows_changes_nothing(net):
    network = make_policy(net).features_extractor.network
    texts = th.as_tensor(np.random.default_rng(0).integers(5, size=(3, 7)))
    changed = texts.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % 5
    before, after = network(texts), network(changed)
    th.testing.assert_close(before[:, :4], after[:, :4])
    assert (before[:, 4:] - after[:, 4:]).abs().min(dim=-1).values.max() > 0


@pytest.mark.parametrize("net", NETS)
def test_log_probs_of_whole_texts_are_those_of_the_steps(net):
    policy, texts = make_policy(net), random_texts(9)
    whole = policy.log_probs(texts)
    assert whole.shape == (9, 6)
    for text, found in zip(texts, whole, strict=True):
        length = int((text != policy.pad).sum())
        for t in range(1, length):
            prefix = text.clone()
            prefix[t:] = policy.pad
            step = policy.get_distribution(prefix[None]).log_prob(text[t : t + 1])
            th.testing.assert_close(found[t - 1 : t], step, atol=1e-5, rtol=1e-4)
        assert (found[length - 1 :] == 0).all()


def test_texts_of_one_token_predict_nothing():
    texts = th.tensor([[1, 5, 5, 5, 5, 5, 5]])
    assert make_policy().log_probs(texts).tolist() == [[0.0] * 6]


def test_texts_that_begin_alike_are_read_once():
    policy, read = make_policy(), []
    network = policy.features_extractor.network
    fill = network.fill
    network.fill = lambda tokens: read.append(len(tokens)) or fill(tokens)
    policy.log_probs(th.tensor([[1, 2, 3, 5], [1, 2, 4, 5], [1, 2, 5, 5], [2, 2, 2, 2]]))
    assert read == [2]


def test_probabilities_of_all_texts_add_up_to_one():
    policy = make_policy(n_tokens=3, context=4)
    texts = th.tensor([[0, *rest] for rest in itertools.product(range(3), repeat=3)])
    assert policy.log_probs(texts).sum(1).exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("net", NETS)
def test_gradients_are_those_without_shared_prefixes(net):
    policy, texts = make_policy(net), random_texts(30)
    actions = th.as_tensor(np.random.default_rng(0).integers(5, size=30))
    weights = th.linspace(-1, 1, 30)

    def gradient(parts):
        policy.zero_grad()
        for rows in parts:
            _, log_prob, _ = policy.evaluate_actions(texts[rows], actions[rows])
            (log_prob * weights[rows]).sum().backward()
        return [p.grad.clone() for p in policy.features_extractor.parameters()]

    together, one_by_one = gradient([list(range(30))]), gradient([[row] for row in range(30)])
    for ours, theirs in zip(together, one_by_one, strict=True):
        th.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("pad", [5, 300])
def test_shared_prefixes_against_brute_force(pad):
    generator = np.random.default_rng(0)
    for n in (1, 2, 40, 200):
        texts = generator.integers(0, pad, size=(n, 5)) if pad > 5 else generator.integers(0, 2, size=(n, 5))
        texts[np.arange(5) >= generator.integers(1, 6, size=n)[:, None]] = pad
        needed, within = shared_prefixes(texts, pad)
        for row, text in enumerate(texts):
            length = (text != pad).sum()
            np.testing.assert_array_equal(texts[needed[within[row]]][:length], text[:length])
        longest = [texts[row][texts[row] != pad].tolist() for row in needed]
        for one, other in itertools.permutations(longest, 2):
            assert other[: len(one)] != one  # none of them is needed for another's sake


def test_a_rollout_costs_no_more_texts_than_episodes():
    texts = th.tensor([[1, 5, 5, 5], [1, 2, 5, 5], [1, 2, 3, 5], [1, 2, 3, 4], [2, 5, 5, 5], [2, 1, 5, 5]])
    assert len(shared_prefixes(texts.numpy(), 5)[0]) == 2


ALGORITHMS = {
    "ppo": (PPO, {"n_steps": 16, "batch_size": 64}),
    "a2c": (A2C, {"n_steps": 8}),
    "reinforce": (REINFORCE, {"n_episodes": 8}),
    "grpo": (GRPO, {"group_size": 4, "n_groups": 2}),
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_trains_saves_and_loads_it(name, net, tmp_path):
    algorithm, arguments = ALGORITHMS[name]
    env = TokenWorldVecEnv(8, "copy", length=2, n_symbols=2)
    model = algorithm(CausalLMPolicy, env, seed=0, policy_kwargs={**SMALL, "net": net}, device="cpu", **arguments)
    before = model.policy.parameters_to_vector()
    model.learn(200)
    assert np.abs(model.policy.parameters_to_vector() - before).max() > 1e-4
    observations = env.reset()
    model.save(tmp_path / "model")
    for other in (algorithm.load(tmp_path / "model", device="cpu"), algorithm.load(tmp_path / "model", env=env)):
        assert isinstance(other.policy, CausalLMPolicy)
        ours, _ = model.predict(observations, deterministic=True)
        np.testing.assert_array_equal(ours, other.predict(observations, deterministic=True)[0])


@pytest.mark.parametrize("net", NETS)
def test_the_policy_alone_saves_and_loads(net, tmp_path):
    policy, texts = make_policy(net, use_cache=False, share_features_extractor=False), random_texts(5)
    policy.save(tmp_path / "policy")
    other = CausalLMPolicy.load(tmp_path / "policy")
    th.testing.assert_close(other.log_probs(texts), policy.log_probs(texts))
    assert (other.use_cache, other.share_features_extractor) == (False, False)


def test_the_same_seed_gives_the_same_run():
    def run():
        env = TokenWorldVecEnv(8, "copy")
        return PPO(CausalLMPolicy, env, n_steps=16, batch_size=64, seed=3, policy_kwargs=SMALL).learn(256)

    np.testing.assert_array_equal(run().policy.parameters_to_vector(), run().policy.parameters_to_vector())


def test_reinforce_learns_to_copy():
    env = TokenWorldVecEnv(32, "copy", length=1, n_symbols=2)
    arguments = {"n_episodes": 32, "learning_rate": 3e-3, "gamma": 1.0, "max_grad_norm": 1.0}
    model = REINFORCE(CausalLMPolicy, env, seed=0, policy_kwargs=SMALL, **arguments).learn(6_000)
    observations = env.reset()
    for _ in range(2):
        actions, _ = model.predict(observations, deterministic=True)
        observations, rewards, _, _ = env.step(actions)
    assert rewards.mean() > 0.9


def test_a_network_each_leaves_the_policy_to_itself():
    policy, texts = make_policy(share_features_extractor=False), random_texts(5)
    policy.predict_values(texts).sum().backward()
    assert all(p.grad is None for p in policy.pi_features_extractor.parameters())
    assert any(p.grad is not None for p in policy.vf_features_extractor.parameters())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ([5, 5, 5, 5, 5, 5, 5], "text 0 is empty"),
        ([1, 5, 2, 5, 5, 5, 5], "text 0 has padding before its end"),
        ([1, 6, 5, 5, 5, 5, 5], "the tokens are 0 to 4 and the padding 5, got 6"),
        ([-1, 1, 5, 5, 5, 5, 5], "the tokens are 0 to 4 and the padding 5, got -1"),
    ],
)
def test_bad_texts_are_named(text, message):
    policy = make_policy()
    with pytest.raises(ValueError, match=message):
        policy.get_distribution(th.tensor([text]))
    with pytest.raises(ValueError, match=message):
        policy.log_probs(th.tensor([text]))


@pytest.mark.parametrize(
    ("observations", "actions", "kwargs", "message"),
    [
        (spaces.Box(0, 1, (3,)), spaces.Discrete(4), {}, r"MultiDiscrete\(\[n_tokens \+ 1\] \* context\), got Box"),
        (spaces.MultiDiscrete([5, 4]), spaces.Discrete(4), {}, "texts need the observation space"),
        (spaces.MultiDiscrete([5, 5]), spaces.Discrete(5), {}, r"action space Discrete\(4\), got Discrete\(5\)"),
        (spaces.MultiDiscrete([5, 5]), spaces.Discrete(4), {"net": "lstm"}, "net must be one of .*, got 'lstm'"),
        (spaces.MultiDiscrete([5, 5]), spaces.Discrete(4), {"d_model": 10, "n_heads": 4}, "multiple of n_heads"),
        (spaces.MultiDiscrete([5, 5]), spaces.Discrete(4), {"use_sde": True}, "use_sde must be False"),
    ],
)
def test_bad_spaces_and_arguments_are_named(observations, actions, kwargs, message):
    with pytest.raises(ValueError, match=message):
        CausalLMPolicy(observations, actions, lambda _: 1e-3, **kwargs)
