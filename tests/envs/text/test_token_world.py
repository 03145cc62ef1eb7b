"""TokenWorld: text as a Markov decision process, and its enumeration."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from sb3_ext import REINFORCE
from sb3_ext.envs import TokenWorld
from sb3_ext.envs.text.tasks import TASKS
from sb3_ext.vec_env import make_vec_env

SMALL = {"task": "sort", "length": 2, "n_symbols": 2}


def play(world, tokens):
    world.reset(seed=0)
    return [world.step(token) for token in tokens]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.filterwarnings("error")
def test_both_checkers_pass(task):
    world = TokenWorld(task)
    check_env(world, skip_render_check=True)
    sb3_check_env(world)


def test_tokens_are_appended_behind_the_prompt_and_the_rest_is_padding():
    world = TokenWorld(**SMALL, prompts=["ba>"])
    assert world.reset(seed=0)[0].tolist() == [2, 1, 3, 4, 4, 4]
    assert world.step(1)[0].tolist() == [2, 1, 3, 1, 4, 4]
    assert world.step(2)[0].tolist() == [2, 1, 3, 1, 2, 4]


def test_the_reward_comes_with_the_last_token():
    steps = play(TokenWorld(**SMALL, prompts=["ba>"]), [1, 2, 0])
    assert [step[1] for step in steps] == [0, 0, 1]
    assert [step[2] for step in steps] == [False, False, True]
    assert steps[-1][4] == {"is_success": True, "prompt": "ba>", "response": "ab"}


def test_a_text_without_end_terminates_and_is_scored_as_it_is():
    world = TokenWorld(**SMALL, prompts=["ba>"], max_new_tokens=2)
    *_, (_, reward, terminated, truncated, _) = play(world, [1, 2])
    assert (reward, terminated, truncated) == (1, True, False)


def test_a_text_that_ends_early_is_worth_nothing():
    *_, (_, reward, terminated, _, info) = play(TokenWorld(**SMALL, prompts=["ba>"]), [1, 0])
    assert (reward, terminated, info["is_success"]) == (0, True, False)


@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_a_reward_that_is_not_finite_is_named(reward):
    world = TokenWorld(**SMALL, prompts=["ba>"], reward=lambda prompt, response: reward)
    with pytest.raises(ValueError, match=f"the reward of 'bb' in answer to 'ba>' is {reward}, no finite number"):
        play(world, [2, 2, 0])


def test_a_reward_of_ones_own_sees_prompt_and_response():
    seen = []
    world = TokenWorld(**SMALL, prompts=["ba>"], reward=lambda *texts: seen.append(texts) or -2.5)
    *_, (_, reward, _, _, info) = play(world, [2, 2, 0])
    assert (reward, seen, info["is_success"]) == (-2.5, [("ba>", "bb")], False)


def test_observations_are_not_changed_by_later_steps():
    world = TokenWorld(**SMALL)
    first, _ = world.reset(seed=0)
    before = first.copy()
    world.step(1)
    np.testing.assert_array_equal(first, before)


def test_prompts_are_drawn_uniformly():
    world = TokenWorld(**SMALL)
    drawn = [tuple(world.reset(seed=seed)[0][:2]) for seed in range(400)]
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 4
    assert counts.min() > 70


def test_prompts_of_different_length_share_one_context():
    world = TokenWorld("modular_addition", modulus=11)
    assert world.prompt_lengths.tolist().count(4) == 100
    assert world.context == 6 + 3
    assert (world.prompts[np.arange(len(world.prompts)), world.prompt_lengths] == world.pad).all()


def test_responses_are_all_texts_once_each():
    world = TokenWorld(**SMALL)
    responses = world.responses()
    n_characters, longest = 3, 3
    assert len(responses) == 1 + n_characters + n_characters**2 + n_characters**longest
    assert len(np.unique(responses, axis=0)) == len(responses)
    for row in responses:
        steps = play(world, row[row != world.pad])
        assert [step[2] for step in steps] == [False] * (len(steps) - 1) + [True]


def test_scores_are_what_the_episodes_pay():
    world = TokenWorld(**SMALL, max_new_tokens=2)
    responses = world.responses()
    scores = world.scores(responses)
    assert scores.shape == (4, len(responses))
    for number, prompt in enumerate(world.task.prompts):
        one = TokenWorld(**SMALL, prompts=[prompt], max_new_tokens=2)
        paid = [play(one, row[row != one.pad])[-1][1] for row in responses]
        np.testing.assert_array_equal(scores[number], paid)


def test_demonstrations_are_right_and_follow_the_seed():
    world = TokenWorld("sort")
    texts, lengths = world.demonstrations(50, seed=3)
    np.testing.assert_array_equal(texts, world.demonstrations(50, seed=3)[0])
    assert not np.array_equal(texts, world.demonstrations(50, seed=4)[0])
    for row, length in zip(texts, lengths, strict=True):
        prompt, response = world.task.decode(row[:length]), world.task.decode(row[length:])
        assert world.task.score(prompt, response) == 1
        assert 0 in row[length:]  # the end of the text is demonstrated, too


def test_errors_spoil_about_their_share_of_the_demonstrations():
    world = TokenWorld("sort", length=5, n_symbols=5)
    texts, lengths = world.demonstrations(400, seed=0, error_rate=0.5)
    right = [
        world.task.score(world.task.decode(row[:n]), world.task.decode(row[n:]))
        for row, n in zip(texts, lengths, strict=True)
    ]
    assert 0.4 < np.mean(right) < 0.6


def test_it_renders_as_text_and_as_a_picture():
    world = TokenWorld(**SMALL, prompts=["ba>"], render_mode="ansi")
    world.reset(seed=0)
    world.step(1)
    assert world.render() == "ba>|a"
    picture = TokenWorld(**SMALL, render_mode="rgb_array")
    picture.reset(seed=0)
    image = picture.render()
    assert image.dtype == np.uint8
    assert image.min() < 128 < image.max()


def test_a_policy_that_sees_the_tokens_one_hot_learns_it():
    env = make_vec_env("sb3_ext/TokenWorld-v0", 16, seed=0, env_kwargs={"task": "copy", "length": 1, "n_symbols": 2})
    small = {"n_episodes": 32, "gamma": 1.0, "policy_kwargs": {"net_arch": [32]}}
    model = REINFORCE("MlpPolicy", env, seed=0, **small).learn(6_000)
    assert np.mean([info["r"] for info in model.ep_info_buffer]) > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"context": 5}, "a prompt of 4 tokens and a response of 4 are longer than the context of 5"),
        ({"max_new_tokens": 0}, "max_new_tokens must be a whole number, at least 1, got 0"),
        ({"render_mode": "human"}, "render_mode must be 'ansi', 'rgb_array' or None, got 'human'"),
        ({"task": "sorting"}, "there is no task 'sorting'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenWorld(**arguments)


def test_bad_actions_and_steps_without_a_text_are_named():
    world = TokenWorld(**SMALL)
    with pytest.raises(RuntimeError, match="call reset"):
        world.step(0)
    world.reset(seed=0)
    with pytest.raises(ValueError, match="the tokens are 0 to 3, got 4"):
        world.step(4)
    world.step(0)
    with pytest.raises(RuntimeError, match="call reset"):
        world.step(0)


def test_too_many_responses_and_bad_demonstrations_are_named():
    with pytest.raises(ValueError, match="responses are too many to enumerate"):
        TokenWorld("words").responses()
    with pytest.raises(ValueError, match="n must be at least 1"):
        TokenWorld().demonstrations(0)
    with pytest.raises(ValueError, match="a demonstration has 3 tokens, max_new_tokens=2"):
        TokenWorld(max_new_tokens=2).demonstrations(1)
