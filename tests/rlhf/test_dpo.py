"""DPO: it starts at the reference, learns what it is shown, ends at the exact optimum, saves its reference."""

import numpy as np
import pytest
import torch as th
from helpers_rlhf import SMALL

from sb3_ext.common import dpo_loss
from sb3_ext.envs import TokenWorld
from sb3_ext.rlhf import DPO, SFT, CausalLMPolicy, ExactOptimum, Preferences, Texts, response_log_probs
from sb3_ext.rlhf.dpo import LOSSES

WORLD = TokenWorld("copy", length=1, n_symbols=2, max_new_tokens=1)  # 2 prompts, 4 responses


def reference(seed=0, **kwargs):
    return SFT(CausalLMPolicy, WORLD, seed=seed, policy_kwargs={**SMALL, **kwargs}).policy


def make_dpo(preferences=None, **kwargs):
    if preferences is None:
        preferences = ExactOptimum(WORLD, reference(), 0.5).preferences()
    arguments = {"reference_policy": reference(), "beta": 0.5, "seed": 1, "policy_kwargs": SMALL, **kwargs}
    return DPO(CausalLMPolicy, WORLD, preferences, **arguments)


def test_it_starts_at_the_reference_where_the_loss_is_log_two():
    model = make_dpo()
    np.testing.assert_array_equal(model.policy.parameters_to_vector(), reference().parameters_to_vector())
    model._setup_learn(10)
    loss, logged = model._loss(np.arange(8))
    assert loss.item() == pytest.approx(np.log(2), abs=1e-5)
    assert logged["margin"] == pytest.approx(0, abs=1e-5)


def test_its_loss_is_the_pure_one():
    model = make_dpo(label_smoothing=0.1)
    model._setup_learn(10)
    with th.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.05 * th.randn(parameter.shape, generator=th.Generator().manual_seed(0)))
    pairs = model.preferences.take(np.arange(6))
    ratios = [response_log_probs(model.policy, side) - response_log_probs(reference(), side)
              for side in (pairs.chosen, pairs.rejected)]  # fmt: skip
    expected = dpo_loss(*ratios, 0.5, 0.1, th.as_tensor(pairs.probability, dtype=th.float32))
    loss, _ = model._loss(np.arange(6))
    th.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns_to_prefer_the_chosen(loss):
    chosen = Texts.join([[1, 3]], [[1]], WORLD.context, WORLD.pad)
    rejected = Texts.join([[1, 3]], [[2]], WORLD.context, WORLD.pad)
    model = make_dpo(Preferences(chosen, rejected), loss=loss, batch_size=1)
    before = [response_log_probs(model.policy, side).item() for side in (chosen, rejected)]
    model.learn(2 * 40)
    after = [response_log_probs(model.policy, side).item() for side in (chosen, rejected)]
    assert after[0] - after[1] > before[0] - before[1] + 0.3


def test_kto_s_reference_point_is_that_of_responses_to_other_prompts():
    chosen = Texts.join([[1, 3], [2, 3]], [[1], [2]], WORLD.context, WORLD.pad)
    rejected = Texts.join([[1, 3], [2, 3]], [[2], [1]], WORLD.context, WORLD.pad)
    model = make_dpo(Preferences(chosen, rejected), loss="kto")
    model._setup_learn(10)
    with th.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.05 * th.randn(parameter.shape, generator=th.Generator().manual_seed(0)))
    found = model._mismatched_log_ratio(chosen)
    swapped = Texts.join([[2, 3], [1, 3]], [[1], [2]], WORLD.context, WORLD.pad)
    expected = (response_log_probs(model.policy, swapped) - response_log_probs(reference(), swapped)).mean()
    th.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_with_exact_preferences_it_ends_at_the_optimum():
    optimum = ExactOptimum(WORLD, reference(), 0.5)
    start = optimum.report(reference()).kl_to_optimum
    model = make_dpo(optimum.preferences(), learning_rate=lambda left: 3e-3 * left, batch_size=12)
    model.learn(200 * model.epoch_timesteps)
    end = optimum.report(model.policy)
    assert start > 0.2
    assert end.kl_to_optimum < 0.01
    assert end.objective == pytest.approx(end.best_objective, abs=0.005)


def test_the_reference_is_saved_and_loaded_with_it(tmp_path):
    model = make_dpo().learn(100)
    model.save(tmp_path / "dpo")
    loaded = DPO.load(tmp_path / "dpo", env=WORLD, preferences=model.preferences)
    np.testing.assert_array_equal(loaded.policy.parameters_to_vector(), model.policy.parameters_to_vector())
    np.testing.assert_array_equal(loaded.reference.parameters_to_vector(), reference().parameters_to_vector())
    loaded.learn(24, reset_num_timesteps=False)
    np.testing.assert_array_equal(loaded.reference.parameters_to_vector(), reference().parameters_to_vector())
    assert loaded.num_timesteps == model.num_timesteps + 24
    texts = model.preferences.chosen
    observation = texts.tokens[0].copy()
    observation[2:] = WORLD.pad
    assert DPO.load(tmp_path / "dpo").predict(observation, deterministic=True)[0] in range(4)


def test_without_a_given_reference_it_is_the_policy_at_the_first_learn():
    model = make_dpo(reference_policy=None)
    before = model.policy.parameters_to_vector()
    model.learn(50)
    np.testing.assert_array_equal(model.reference.parameters_to_vector(), before)
    assert np.abs(model.policy.parameters_to_vector() - before).max() > 1e-4


def test_the_reference_is_never_trained():
    model = make_dpo().learn(200)
    np.testing.assert_array_equal(model.reference.parameters_to_vector(), reference().parameters_to_vector())
    assert not any(parameter.requires_grad for parameter in model.reference.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": 0}, "beta must be above 0, got 0"),
        ({"beta": -0.1}, "beta must be above 0, got -0.1"),
        ({"loss": "rso"}, r"loss must be one of \('dpo', 'ipo', 'kto', 'orpo'\), got 'rso'"),
        ({"label_smoothing": 0.5}, r"label_smoothing must lie in \[0, 0.5\), got 0.5"),
        ({"reference_policy": reference(d_model=32)}, "reference_policy has another shape than the policy"),
        ({"reference_policy": reference(net="gru")}, "reference_policy has another shape than the policy"),
    ],
)
def test_bad_parameters_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_dpo(**arguments)


def test_bad_data_is_named_before_anything_is_learned():
    with pytest.raises(ValueError, match="DPO has no preferences"):
        DPO(CausalLMPolicy, WORLD, policy_kwargs=SMALL).learn(10)
    outside = [Texts.join([[1, 3]], [[token]], WORLD.context, 9) for token in (7, 8)]
    with pytest.raises(ValueError, match="chosen texts: the tokens are 0 to 3 and the padding 4, got 7"):
        make_dpo(Preferences(*outside)).learn(10)


def test_the_number_of_heads_is_part_of_the_shape():
    with pytest.raises(ValueError, match=r"another shape than the policy.*'n_heads': 4.*'n_heads': 2"):
        make_dpo(reference_policy=reference(n_heads=4))


def test_another_reference_for_a_saved_model_is_refused(tmp_path):
    make_dpo().save(tmp_path / "dpo")
    with pytest.raises(ValueError, match="takes the reference that was saved"):
        DPO.load(tmp_path / "dpo", reference_policy=reference(1))


def test_without_an_env_it_loads_but_does_not_learn(tmp_path):
    model = make_dpo()
    model.save(tmp_path / "dpo")
    loaded = DPO.load(tmp_path / "dpo", preferences=model.preferences)
    with pytest.raises(ValueError, match="DPO has no env"):
        loaded.learn(1)
    with pytest.raises(ValueError, match="SFT needs an env"):
        SFT(CausalLMPolicy, None)
