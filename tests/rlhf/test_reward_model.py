"""RewardModel: it recovers scores from preferences, knows how sure it is, and is saved as it is."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers_rlhf import random_texts

from sb3_ext.envs import TokenWorld
from sb3_ext.rlhf import Preferences, RewardModel, Texts
from sb3_ext.rlhf.exact import every_text

WORLD = TokenWorld("copy", length=1, n_symbols=2, max_new_tokens=2)  # 2 prompts, 13 responses
TEXTS = every_text(WORLD, WORLD.responses())
TRUE = 2.0 * (TEXTS.tokens == 1).sum(axis=1) - (TEXTS.tokens == 2).sum(axis=1)  # letters a are worth 2, letters b -1
SMALL = {"d_model": 16, "n_layers": 1, "n_heads": 2}


def make_pairs(n=400, seed=0, exact=False):
    """Pairs of responses to one prompt, judged by Bradley and Terry."""
    generator = np.random.default_rng(seed)
    prompts = generator.integers(2, size=n)
    first, second = generator.choice(13, size=(n, 2), p=None).T + 13 * prompts
    second = np.where(first == second, 13 * prompts + (second + 1) % 13, second)
    margins = TRUE[first] - TRUE[second]
    if exact:
        return Preferences(TEXTS.take(first), TEXTS.take(second), 1 / (1 + np.exp(-margins)))
    better = generator.random(n) < 1 / (1 + np.exp(-margins))
    return Preferences(TEXTS.take(np.where(better, first, second)), TEXTS.take(np.where(better, second, first)))


def make_model(seed=0, **kwargs):
    return RewardModel(WORLD.observation_space, seed=seed, **{**SMALL, **kwargs})


def fitted(pairs=None, n_epochs=15, **kwargs):
    return make_model(**kwargs).learn(pairs or make_pairs(exact=True), n_epochs=n_epochs, learning_rate=5e-3)


def test_it_recovers_the_scores_up_to_a_constant_for_each_prompt():
    scores = fitted()(TEXTS)
    for prompt in range(2):
        rows = slice(13 * prompt, 13 * prompt + 13)
        ours, theirs = scores[rows] - scores[rows].mean(), TRUE[rows] - TRUE[rows].mean()
        assert np.corrcoef(ours, theirs)[0, 1] > 0.97
        assert np.abs(ours - theirs).mean() < 0.5


def test_it_is_accurate_and_calibrated_on_pairs_it_has_not_seen():
    model, fresh = fitted(), make_pairs(2000, seed=1)
    assert model.accuracy(fresh) > 0.8
    assert model.calibration(fresh).error < 0.05


def test_overconfidence_shows():
    model, fresh = fitted(), make_pairs(2000, seed=1)
    with th.no_grad():
        model.members[0][1].weight.mul_(8)
    assert model.calibration(fresh).error > 0.1


def test_accuracy_against_exact_probabilities_is_the_chance_to_agree():
    model = make_model()
    model.forward = lambda texts: (texts.tokens[:, 2] == 1).astype(float)
    sides = [Texts.join([[1, 3]] * 2, responses, WORLD.context, WORLD.pad) for responses in ([[1], [2]], [[2], [1]])]
    assert model.accuracy(Preferences(*sides, np.array([0.9, 0.4]))) == pytest.approx((0.9 + 0.6) / 2)
    assert model.accuracy(Preferences(*sides)) == pytest.approx(0.5)


def test_a_tie_counts_half():
    model = make_model()
    model.forward = lambda texts: np.zeros(len(texts))
    assert model.accuracy(make_pairs(10)) == 0.5


def test_scores_are_zero_on_average_over_what_was_learned_from():
    pairs = make_pairs(exact=True)
    both = pairs.chosen.followed_by(pairs.rejected)
    scores = fitted(pairs, n_models=2, n_epochs=3).member_scores(both)
    np.testing.assert_allclose(scores.mean(axis=1), 0, atol=1e-4)


def test_members_differ_more_where_they_saw_nothing():
    kept = WORLD.responses()[:, 0] == 1  # only responses that begin with a
    seen = TEXTS.take(np.tile(kept, 2))
    generator = np.random.default_rng(0)
    rows = np.array([generator.permutation(len(seen) // 2)[:2] for _ in range(200)])
    true = TRUE[np.tile(kept, 2)]
    probability = 1 / (1 + np.exp(true[rows[:, 1]] - true[rows[:, 0]]))
    pairs = Preferences(seen.take(rows[:, 0]), seen.take(rows[:, 1]), probability)
    spread = fitted(pairs, n_models=5).member_scores(TEXTS).std(axis=0)
    assert spread[np.tile(~kept, 2)].mean() > 1.5 * spread[np.tile(kept, 2)].mean()


def test_combinations_of_an_ensemble():
    model = make_model(n_models=3)
    members = model.member_scores(TEXTS)
    assert members.shape == (3, len(TEXTS))
    assert len({tuple(row) for row in members.round(4)}) == 3
    for combine, expected in (
        ("mean", members.mean(axis=0)),
        ("min", members.min(axis=0)),
        ("cautious", members.mean(axis=0) - members.std(axis=0)),
    ):
        model.combine = combine
        np.testing.assert_allclose(model(TEXTS), expected)


def test_labels_make_it_a_classifier():
    labels = TRUE > 0
    model = make_model().learn_labels(TEXTS, labels, n_epochs=60, learning_rate=5e-3)
    scores = model(TEXTS)
    assert scores[labels].min() > scores[~labels].max()


def test_the_same_seed_gives_the_same_model_and_leaves_torch_s_generator_alone():
    th.manual_seed(5)
    before = th.rand(1)
    th.manual_seed(5)
    scores = [fitted(n_epochs=2, n_models=2, seed=seed)(TEXTS) for seed in (0, 0, 1)]
    assert th.rand(1) == before
    np.testing.assert_array_equal(scores[0], scores[1])
    assert np.abs(scores[0] - scores[2]).max() > 1e-3


def test_save_and_load_give_the_same_scores(tmp_path):
    model = fitted(n_epochs=2, n_models=2, combine="min", net="gru")
    model.save(tmp_path / "model.pt")
    loaded = RewardModel.load(tmp_path / "model.pt")
    np.testing.assert_array_equal(loaded(TEXTS), model(TEXTS))
    assert loaded.combine == "min"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_models": 0}, "n_models must be a whole number, at least 1, got 0"),
        ({"combine": "max"}, r"combine must be one of \('mean', 'min', 'cautious'\), got 'max'"),
        ({"net": "lstm"}, "net must be one of"),
        ({"n_layers": 0}, "n_layers must be a whole number, at least 1, got 0"),
        ({"n_heads": 0}, "n_heads must be a whole number, at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_model(**arguments)


def test_bad_data_is_named():
    model = make_model()
    other = Texts(random_texts(3).numpy(), np.ones(3, dtype=int))
    with pytest.raises(ValueError, match="texts of 7 tokens do not fit the model's context of 4"):
        model(other)
    with pytest.raises(ValueError, match="there are no texts"):
        model(TEXTS.take(slice(0)))
    with pytest.raises(ValueError, match="the tokens are 0 to 3 and the padding 4, got 9"):
        model(Texts(np.full((1, 4), 9), np.ones(1, dtype=int)))
    with pytest.raises(ValueError, match="labels are one-sided: all 26 are 1"):
        model.learn_labels(TEXTS, np.ones(26))
    with pytest.raises(ValueError, match=r"labels must be 26 numbers in \[0, 1\]"):
        model.learn_labels(TEXTS, np.full(26, 2.0))
    with pytest.raises(ValueError, match="n_epochs must be at least 1, got 0"):
        model.learn(make_pairs(), n_epochs=0)
    with pytest.raises(ValueError, match="texts need the observation space"):
        RewardModel(spaces.Discrete(3))


def test_two_models_without_a_seed_differ():
    one, other = (make_model(seed=None)(TEXTS) for _ in range(2))
    assert np.abs(one - other).max() > 1e-3


def test_scores_from_labels_are_log_odds():
    labels = np.full(len(TEXTS), 0.1)
    labels[0] = 0.11  # not one-sided
    scores = make_model().learn_labels(TEXTS, labels, n_epochs=60, learning_rate=5e-3)(TEXTS)
    assert 1 / (1 + np.exp(-scores)) == pytest.approx(labels, abs=0.05)


def test_a_learning_rate_that_blows_up_is_named():
    with pytest.raises(ValueError, match="NaN or infinite after training: learning_rate=1e"):
        make_model().learn(make_pairs(), learning_rate=1e30)
