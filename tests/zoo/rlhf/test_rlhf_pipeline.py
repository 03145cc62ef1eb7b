"""The pipeline: every stage adds what the page shows, exact where texts can be listed, the same for the same seed."""

from dataclasses import replace

import numpy as np
import pytest

from sb3_ext.zoo.rlhf import command, pipeline
from sb3_ext.zoo.rlhf.gauge import Gauge, is_enumerable
from sb3_ext.zoo.rlhf.page import comparison, page, write_page
from sb3_ext.zoo.rlhf.pipeline import METHODS, Pipeline
from sb3_ext.zoo.rlhf.recipes import RECIPES


@pytest.fixture(scope="module")
def runs():
    """Runs that tests have played, which others look at too."""
    return {}


@pytest.fixture
def run_of(monkeypatch, runs):
    monkeypatch.setattr(pipeline, "N_HELD_OUT", 50)
    monkeypatch.setattr(pipeline, "N_LABELS", 60)
    monkeypatch.setattr(pipeline, "N_HACKED", 40)

    def play(task="sort", reward="learned", seed=0, again=False):
        arguments = (task, reward, seed)
        if again or arguments not in runs:
            runs[arguments] = Pipeline(RECIPES[task], reward, seed=seed).play(progress=False)
        return runs[arguments]

    return play


def test_every_stage_says_what_it_found(run_of):
    run = run_of()
    assert run.exact
    assert list(run.histories) == ["SFT", *METHODS]
    assert len(run.sft_losses) == 2
    assert 0 <= run.accuracy[0] <= 1
    assert all(len(rows) == 8 for rows in run.samples.values())
    assert {"SFT", "preferences and reward", *METHODS, "over-optimisation"} == set(run.seconds)
    for method in METHODS:
        tokens = [point.n_tokens for point in run.histories[method]]
        assert tokens[0] == 0
        assert len(tokens) >= (2 if method == "DPO" else 3)
        assert tokens == sorted(tokens)


def test_all_methods_start_at_sft_s_policy(run_of):
    run = run_of()
    start = run.histories["SFT"][0]
    assert start.kl == pytest.approx(0, abs=1e-6)
    for method in METHODS:
        np.testing.assert_allclose(run.histories[method][0], start, atol=1e-5)


def test_the_frontier_is_above_every_policy(run_of):
    run = run_of()
    distances = [point.kl for point in run.frontier]
    for history in run.histories.values():
        best = np.interp(history[-1].kl, distances, [point.reward for point in run.frontier])
        assert history[-1].reward <= best + 1e-3


def test_the_same_seed_gives_the_same_numbers(run_of):
    first, again, other = comparison(run_of()), comparison(run_of(again=True)), comparison(run_of(seed=1))
    assert first == again
    assert first != other


def test_a_classifier_judges_what_is_written(run_of):
    run = run_of("words", "classifier")
    assert not run.exact
    assert np.isnan(run.histories["DPO"][-1].kl_to_optimum)
    assert [curve.name for curve in run.curves] == ["one reward model, PPO", "ensemble, cautious, PPO"]


def test_the_true_reward_needs_no_model(run_of):
    run = run_of(reward="true")
    assert (run.accuracy, run.calibration, run.curves) == (None, None, [])
    last = run.histories["DPO"][-1]
    assert last.kl_to_optimum == pytest.approx(last.kl_to_true_optimum, abs=1e-6)


@pytest.mark.parametrize("reward", ["learned", "true"])
def test_the_page_holds_everything_and_needs_nothing_else(run_of, reward, tmp_path):
    run = run_of(reward=reward)
    text = write_page(run, tmp_path).read_text()
    assert text.count("<img") == (4 if reward == "learned" else 2)
    assert text.count("data:image/png;base64,") == text.count("<img")
    assert "http" not in text
    for name, *numbers in comparison(run):
        assert name in text
        assert all(number in text for number in numbers)


def test_what_is_written_cannot_break_the_page(run_of):
    samples = {"SFT": [("<b>", "<script>", True)]}
    assert "<script>" not in page(replace(run_of(), samples=samples))


def test_exact_and_drawn_numbers_agree(run_of, monkeypatch):
    ours = Pipeline(RECIPES["sort"], "true")
    ours.imitate()
    arguments = (ours.world, ours.sft.policy, ours.judge, ours.judge, 1.0)
    exact = Gauge(*arguments).measure(ours.sft.policy)
    monkeypatch.setattr("sb3_ext.zoo.rlhf.gauge.MAX_TEXTS", 0)
    monkeypatch.setattr("sb3_ext.zoo.rlhf.gauge.N_TEXTS", 5000)
    drawn = Gauge(*arguments)
    assert not drawn.exact
    found = drawn.measure(ours.sft.policy)
    assert found.reward == pytest.approx(exact.reward, abs=0.03)
    assert found.success == pytest.approx(exact.success, abs=0.03)
    assert found.kl == pytest.approx(0, abs=1e-6)


def test_only_small_worlds_are_listed():
    from sb3_ext.envs import TokenWorld

    assert is_enumerable(TokenWorld("sort"))
    assert not is_enumerable(TokenWorld("words"))


def test_the_command_knows_the_pipeline_s_choices():
    assert command.REWARDS == pipeline.REWARDS
    assert set(command.TASKS) == set(RECIPES)
