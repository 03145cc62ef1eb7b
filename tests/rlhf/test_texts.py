"""Texts and preferences as data, and writing texts."""

import numpy as np
import pytest
import torch as th
from helpers_rlhf import make_policy, random_texts

from sb3_ext.envs import TokenWorld
from sb3_ext.rlhf import Preferences, Texts, generate, response_log_probs, sample_preferences
from sb3_ext.rlhf.texts import checked_scores

WORLD = TokenWorld("copy", length=2, n_symbols=2)  # 4 tokens, context 6


def join(*texts, context=7, pad=5):
    return Texts.join([text[0] for text in texts], [text[1] for text in texts], context, pad)


def policy_of_world(seed=0):
    return make_policy(n_tokens=WORLD.n_tokens, context=WORLD.context, seed=seed)


def test_the_mask_covers_the_response_and_its_end_but_neither_prompt_nor_padding():
    texts = join(([1, 2], [3, 0]), ([1], [2, 3, 4, 0]))
    assert texts.response_mask(5).astype(int).tolist() == [[0, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0]]


def test_log_probs_of_responses_leave_the_prompt_out():
    policy, texts = make_policy(), join(([1, 2], [3, 0]), ([1], [2, 3, 4, 0]))
    steps = policy.log_probs(th.as_tensor(texts.tokens))
    expected = th.stack([steps[0, 1:3].sum(), steps[1, 0:4].sum()])
    th.testing.assert_close(response_log_probs(policy, texts), expected)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (Texts(np.zeros((0, 7), int), np.zeros(0, int)), "there are no demonstrations"),
        (join(([1], [2]), context=9), "demonstrations of 9 tokens are longer than the policy's context of 7"),
        (join(([1], [2]), context=6), "demonstrations of 6 tokens are shorter than the policy's context of 7"),
        (join(([1], [6])), "demonstrations: the tokens are 0 to 4 and the padding 5, got 6"),
        (join(([1], [2, -3])), "demonstrations: the tokens are 0 to 4 and the padding 5, got -3"),
        (join(([1], [2]), ([1, 2], [])), "text 1 has 2 tokens, 2 of them its prompt"),
        (join(([], [1, 2])), "text 0 has 2 tokens, 0 of them its prompt"),
    ],
)
def test_texts_that_cannot_be_learned_from_are_named(texts, message):
    with pytest.raises(ValueError, match=message):
        texts.check("demonstrations", make_policy())


def test_a_prompt_longer_than_the_context_is_named():
    with pytest.raises(ValueError, match="a prompt of 3 tokens and a response of 2 are longer than the context of 4"):
        Texts.join([[1, 2, 3]], [[1, 0]], context=4, pad=5)
    with pytest.raises(ValueError, match="got 1 prompts and 2 responses"):
        Texts.join([[1]], [[1], [2]], context=4, pad=5)


def test_shapes_and_types_are_checked():
    with pytest.raises(ValueError, match=r"tokens \[n, context\] and prompt_lengths \[n\]"):
        Texts(np.zeros((2, 3), int), np.zeros(3, int))
    with pytest.raises(ValueError, match="whole numbers, got float64"):
        Texts(np.zeros((2, 3)), np.zeros(2, int))


one, two = ([1, 2], [3, 0]), ([1, 2], [4, 0])


@pytest.mark.parametrize(
    ("chosen", "rejected", "message"),
    [
        (join(one).take(slice(0)), join(one).take(slice(0)), "there are no preferences"),
        (join(one, two), join(two), "got 2 chosen and 1 rejected ones"),
        (join(one), join(two).take(slice(0)), "got 1 chosen and 0 rejected ones"),
        (join(one, one), join(two, one), "pair 1 has the same response twice"),
        (join(one), join(([1, 3], [3, 0])), "pair 0 has two prompts"),
        (join(one), join(([1], [2, 3, 0])), "pair 0 has two prompts"),
        (join(one), join(two, context=8), "must have the same context"),
    ],
)
def test_empty_and_one_sided_preferences_are_named(chosen, rejected, message):
    with pytest.raises(ValueError, match=message):
        Preferences(chosen, rejected)


@pytest.mark.parametrize("probability", [[1.5], [-0.1], [np.nan], [0.5, 0.5]])
def test_probabilities_of_preferences_are_checked(probability):
    with pytest.raises(ValueError, match=r"probability must be \[1\] numbers in \[0, 1\]"):
        Preferences(join(one), join(two), np.array(probability))


def test_generated_responses_follow_the_policy():
    policy = policy_of_world()
    prompts = np.repeat(WORLD.prompts[:1], 4000, axis=0)
    texts = generate(policy, prompts, 1, seed=0)
    frequencies = np.bincount(texts.tokens[:, 3], minlength=4) / 4000
    with th.no_grad():
        exact = policy.get_distribution(th.as_tensor(WORLD.prompts[:1])).distribution.probs[0].numpy()
    np.testing.assert_allclose(frequencies, exact, atol=0.03)


def test_generation_ends_with_its_token_and_is_padded_after_it():
    texts = generate(policy_of_world(), np.repeat(WORLD.prompts, 50, axis=0), 3, seed=1)
    assert (texts.prompt_lengths == 3).all()
    for row in texts.tokens[:, 3:].tolist():
        end = row.index(0) + 1 if 0 in row else 3
        assert all(token < 4 for token in row[:end])
        assert all(token == 4 for token in row[end:])


def test_generation_follows_its_seed_and_leaves_torch_s_alone():
    policy = policy_of_world()
    th.manual_seed(7)
    before = th.rand(1)
    th.manual_seed(7)
    first = generate(policy, WORLD.prompts, 3, seed=0).tokens
    assert th.rand(1) == before
    np.testing.assert_array_equal(first, generate(policy, WORLD.prompts, 3, seed=0).tokens)


def test_the_most_probable_text_does_not_depend_on_the_cache():
    policy = policy_of_world()
    first = generate(policy, WORLD.prompts, 3, deterministic=True).tokens
    policy.use_cache = False
    np.testing.assert_array_equal(first, generate(policy, WORLD.prompts, 3, deterministic=True).tokens)


def test_generation_names_what_is_too_long_or_missing():
    policy = policy_of_world()
    with pytest.raises(ValueError, match="a prompt of 3 tokens and a response of 4 are longer than the context of 6"):
        generate(policy, WORLD.prompts, 4)
    with pytest.raises(ValueError, match="there are no prompts"):
        generate(policy, WORLD.prompts[:0], 3)


def score(texts):
    return 2.0 * (texts.tokens[:, 3] == 1)


def test_a_judge_without_noise_prefers_the_higher_score():
    pairs = sample_preferences(policy_of_world(), np.repeat(WORLD.prompts, 50, axis=0), 3, score, seed=0, noisy=False)
    assert (score(pairs.chosen) >= score(pairs.rejected)).all()
    assert (score(pairs.chosen) > score(pairs.rejected)).any()


def test_a_noisy_judge_prefers_by_bradley_and_terry():
    pairs = sample_preferences(policy_of_world(), np.repeat(WORLD.prompts, 1500, axis=0), 3, score, seed=0)
    margins = score(pairs.chosen) - score(pairs.rejected)
    right = (margins > 0).sum() / (margins != 0).sum()
    assert right == pytest.approx(1 / (1 + np.exp(-2)), abs=0.03)


def test_scores_that_are_not_finite_or_of_another_shape_are_named():
    texts = join(one, two)
    with pytest.raises(ValueError, match=r"the score nan of the text \[1, 2, 4, 0, 5, 5, 5\] is not finite"):
        checked_scores(lambda texts: np.array([0.0, np.nan]), texts)
    with pytest.raises(ValueError, match="one number a text, 2; got the shape"):
        checked_scores(lambda texts: np.zeros(3), texts)


def test_a_policy_that_always_says_the_same_gives_no_preferences():
    policy = policy_of_world()
    with th.no_grad():
        policy.action_net.weight.zero_()
        policy.action_net.bias.copy_(th.tensor([50.0, 0, 0, 0]))
    with pytest.raises(ValueError, match="all 4 pairs have the same response twice"):
        sample_preferences(policy, WORLD.prompts, 3, score, seed=0)


def test_random_texts_are_texts():
    assert (random_texts(5) != 5).any(dim=1).all()


def test_prompts_wider_than_the_policy_s_context_are_named():
    policy = make_policy()
    with pytest.raises(ValueError, match="prompts of 9 tokens with padding do not fit the policy's context of 7"):
        generate(policy, np.full((1, 9), policy.pad) - (np.arange(9) == 0), 3)
