"""Tasks of text: what is right, what is demonstrated, what is refused."""

import pickle

import numpy as np
import pytest

from sb3_ext.envs import TextTask, make_text_task
from sb3_ext.envs.text.tasks import TASKS

SIZES = {
    "copy": {"length": 2, "n_symbols": 4},
    "reverse": {"length": 3},
    "sort": {"length": 4},
    "modular_addition": {"modulus": 12},
    "brackets": {"length": 4, "kinds": 3},
    "words": {},
}


@pytest.mark.parametrize("name", TASKS)
def test_every_demonstration_is_readable_by_the_verifier_and_fits(name):
    task, generator = make_text_task(name, **SIZES[name]), np.random.default_rng(0)
    for prompt in task.prompts[:200]:
        response = task.demonstrate(prompt, generator)
        assert len(response) < task.max_new_tokens  # and the end of the text
        assert task.decode(task.encode(prompt + response)) == prompt + response
        if name != "words":
            assert task.score(prompt, response) == task.is_right(prompt, response) == 1


@pytest.mark.parametrize(
    ("name", "prompt", "right", "wrong"),
    [
        ("copy", "abc>", "abc", "cba"),
        ("reverse", "abc>", "cba", "abc"),
        ("sort", "cab>", "abc", "acb"),
        ("sort", "aab>", "aab", "ab"),
        ("modular_addition", "5+6=", "4", "11"),
        ("brackets", "((", "))", ")"),
        ("brackets", "((", "()))", "))("),
        ("brackets", "(", ")", ""),
    ],
)
def test_one_right_and_one_wrong_answer(name, prompt, right, wrong):
    sizes = {"length": len(prompt)} if name == "brackets" else {}
    task = make_text_task(name, prompts=[prompt], **sizes)
    assert task.score(prompt, right) == 1
    assert task.score(prompt, wrong) == 0


def test_brackets_of_another_kind_do_not_match():
    task = make_text_task("brackets", length=2, kinds=2)
    assert task.score("([", "])") == 1
    assert task.score("([", ")]") == 0
    assert "(]" not in task.prompts  # cannot be completed
    assert "()" not in task.prompts  # needs nothing


def test_all_sums_modulo_ten_and_more():
    task = make_text_task("modular_addition", modulus=12)
    assert len(task.prompts) == 144
    assert task.score("11+11=", "10") == 1


def test_words_are_worth_what_they_mean():
    task = make_text_task("words")
    assert task.score("the ", "warm smile") == 1
    assert task.score("the ", "old table") == 0
    assert task.score("the ", "sad thief") == -1
    assert task.score("the ", "warm  smile") == pytest.approx(1 / 3)  # the gap between two spaces is no word
    assert task.is_right("the ", "warm smile")
    assert not task.is_right("the ", "warm table")


@pytest.mark.parametrize("name", TASKS)
def test_tasks_pickle(name):
    task = pickle.loads(pickle.dumps(make_text_task(name)))
    prompt = task.prompts[0]
    assert isinstance(task.score(prompt, task.demonstrate(prompt, np.random.default_rng(0))), float)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "sorting"}, "there is no task 'sorting'; choose from copy, reverse, sort"),
        ({"name": "sort", "length": 0}, "length must be a whole number from 1 to 64, got 0"),
        ({"name": "sort", "n_symbols": 27}, "n_symbols must be a whole number from 2 to 26, got 27"),
        ({"name": "sort", "length": 10, "n_symbols": 10}, r"10\^10 prompts are too many"),
        ({"name": "modular_addition", "modulus": 1}, "modulus must be a whole number from 2 to 100, got 1"),
        ({"name": "brackets", "kinds": 4}, "kinds must be a whole number from 1 to 3, got 4"),
        ({"name": "sort", "prompts": ["xyz>"]}, "task 'sort' has no prompt 'xyz>'; its prompts look like 'aaa>'"),
        ({"name": "sort", "prompts": []}, "needs at least one prompt"),
    ],
)
def test_bad_sizes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_text_task(**arguments)


def test_a_task_of_ones_own_is_checked():
    def nothing(prompt, response):
        return 0.0

    own = {"max_new_tokens": 2, "score": nothing, "demonstrate": lambda p, g: "a", "is_right": nothing}
    with pytest.raises(ValueError, match="outside the vocabulary: 'c'"):
        TextTask("own", "ab", ("ac",), **own)
    with pytest.raises(ValueError, match="empty prompt"):
        TextTask("own", "ab", ("",), **own)
    with pytest.raises(ValueError, match="must differ"):
        TextTask("own", "aa", ("a",), **own)
