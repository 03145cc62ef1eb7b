"""Tasks of text with a verifier: what is asked, what a right answer is worth, and a right answer as a demonstration.

A token is one character. Token 0 ends the text; token i is character i - 1 of the task's alphabet.

    copy              "abc>"   abc            brackets   "([("    )])
    reverse           "abc>"   cba            words      "the "   warm smile
    sort              "cab>"   abc
    modular_addition  "5+6="   4  (modulo 7)
"""

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from sb3_ext.envs.text.words import pleasantness, random_phrase, words_alphabet

Score = Callable[[str, str], float]
"""From prompt and response to what the response is worth."""
PAIRS = "()[]{}"
MAX_PROMPTS = 100_000


@dataclass(frozen=True)
class TextTask:
    """A task of text.

    Attributes:
        name: how it is called.
        alphabet: its characters; character i is token i + 1.
        prompts: every prompt, each equally likely.
        max_new_tokens: after so many tokens a response is over; enough for every demonstration.
        score: what a response is worth, from prompt and response without the token that ends it.
        demonstrate: from a prompt and a generator to a good response.
        is_right: 1 where a response counts as a success, else 0.
    """

    name: str
    alphabet: str
    prompts: tuple[str, ...]
    max_new_tokens: int
    score: Score
    demonstrate: Callable[[str, np.random.Generator], str]
    is_right: Score

    def __post_init__(self) -> None:
        if not self.prompts:
            raise ValueError(f"task {self.name!r} needs at least one prompt, got none")
        if "" in self.prompts:
            raise ValueError(f"task {self.name!r} has an empty prompt; a policy needs a token to start from")
        if len(set(self.alphabet)) != len(self.alphabet):
            raise ValueError(f"the characters of an alphabet must differ, got {self.alphabet!r}")
        self.encode("".join(set("".join(self.prompts))))

    @property
    def n_tokens(self) -> int:
        """Tokens: the characters and the end."""
        return len(self.alphabet) + 1

    def encode(self, text: str) -> list[int]:
        """The tokens of a text.

        Raises:
            ValueError: for a character outside the alphabet.

        Example:
            >>> make_text_task("sort").encode("ba>")
            [2, 1, 4]
        """
        unknown = set(text) - set(self.alphabet)
        if unknown:
            raise ValueError(
                f"{text!r} has characters outside the vocabulary: {''.join(sorted(unknown))!r}; "
                f"task {self.name!r} knows {self.alphabet!r}"
            )
        return [self.alphabet.index(character) + 1 for character in text]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text before the first token that is no character (the end, or padding).

        Example:
            >>> make_text_task("sort").decode([2, 1, 4, 0, 1])
            'ba>'
        """
        text = ""
        for token in tokens:
            if not 1 <= token < self.n_tokens:
                break
            text += self.alphabet[token - 1]
        return text


def make_text_task(name: str, prompts: Sequence[str] | None = None, **sizes: Any) -> TextTask:
    """A task by its name.

    Args:
        name: "copy", "reverse" or "sort" (``length=3`` of ``n_symbols=3`` letters), "modular_addition"
            (``modulus=7``), "brackets" (``length=3``, ``kinds=1``) or "words".
        prompts: those to keep. Default: all.
        **sizes: those named above.

    Raises:
        ValueError: for an unknown name, a size that makes no sense or a prompt that the task does not have.
        TypeError: for a size that the task does not have.

    Example:
        >>> task = make_text_task("sort", length=2, n_symbols=2)
        >>> task.prompts
        ('aa>', 'ab>', 'ba>', 'bb>')
        >>> task.score("ba>", "ab"), task.score("ba>", "ba")
        (1.0, 0.0)
    """
    if name not in TASKS:
        raise ValueError(f"there is no task {name!r}; choose from {', '.join(TASKS)}")
    task = TASKS[name](**sizes)
    if prompts is None:
        return task
    other = set(prompts) - set(task.prompts)
    if other:
        raise ValueError(f"task {name!r} has no prompt {min(other)!r}; its prompts look like {task.prompts[0]!r}")
    return replace(task, prompts=tuple(prompts))


def _with_one_answer(answer: Callable[[str], str]) -> dict[str, Any]:
    """Score, demonstration and success where one answer is right."""
    return {
        "score": partial(_equals, answer),
        "demonstrate": partial(_tell, answer),
        "is_right": partial(_equals, answer),
    }


def _equals(answer: Callable[[str], str], prompt: str, response: str) -> float:
    return float(response == answer(prompt))


def _tell(answer: Callable[[str], str], prompt: str, generator: np.random.Generator) -> str:
    return answer(prompt)


def _rearrangement(name: str, answer: Callable[[str], str], length: int, n_symbols: int) -> TextTask:
    """A string of letters is asked for in another order."""
    _check_size("length", length, 1, 64)
    _check_size("n_symbols", n_symbols, 2, 26)
    if n_symbols**length > MAX_PROMPTS:
        raise ValueError(f"{n_symbols}^{length} prompts are too many, at most {MAX_PROMPTS:,}; lower one of the two")
    letters = string.ascii_lowercase[:n_symbols]
    prompts = tuple("".join(each) + ">" for each in product(letters, repeat=length))
    return TextTask(name, letters + ">", prompts, length + 1, **_with_one_answer(answer))


def _copied(prompt: str) -> str:
    return prompt[:-1]


def _reversed(prompt: str) -> str:
    return prompt[-2::-1]


def _sorted(prompt: str) -> str:
    return "".join(sorted(prompt[:-1]))


def _sum(modulus: int, prompt: str) -> str:
    a, b = prompt[:-1].split("+")
    return str((int(a) + int(b)) % modulus)


def copy_task(length: int = 3, n_symbols: int = 3) -> TextTask:
    """The same letters again."""
    return _rearrangement("copy", _copied, length, n_symbols)


def reverse_task(length: int = 3, n_symbols: int = 3) -> TextTask:
    """The letters from the last to the first."""
    return _rearrangement("reverse", _reversed, length, n_symbols)


def sort_task(length: int = 3, n_symbols: int = 3) -> TextTask:
    """The letters in alphabetical order."""
    return _rearrangement("sort", _sorted, length, n_symbols)


def modular_addition_task(modulus: int = 7) -> TextTask:
    """The sum of two numbers modulo a third, in decimal digits."""
    _check_size("modulus", modulus, 2, 100)
    numbers = range(modulus)
    prompts = tuple(f"{a}+{b}=" for a in numbers for b in numbers)
    digits = string.digits[: min(modulus, 10)]
    answer = _with_one_answer(partial(_sum, modulus))
    return TextTask("modular_addition", digits + "+=", prompts, len(str(modulus - 1)) + 1, **answer)


def brackets_task(length: int = 3, kinds: int = 1) -> TextTask:
    """A beginning is to be completed so that all brackets match; every such completion is right."""
    _check_size("length", length, 1, 8)
    _check_size("kinds", kinds, 1, 3)
    alphabet = PAIRS[: 2 * kinds]
    beginnings = ("".join(each) for each in product(alphabet, repeat=length))
    prompts = tuple(text for text in beginnings if open_brackets(text))
    return TextTask("brackets", alphabet, prompts, length + 3, _balanced, _close, _balanced)


def _balanced(prompt: str, response: str) -> float:
    return float(open_brackets(prompt + response) == "")


def _close(prompt: str, generator: np.random.Generator) -> str:
    return "".join(PAIRS[PAIRS.index(bracket) + 1] for bracket in reversed(open_brackets(prompt) or ""))


def open_brackets(text: str) -> str | None:
    """The brackets that are still open after a text, outermost first; None if one closes that cannot.

    Example:
        >>> open_brackets("([]("), open_brackets("()"), open_brackets("(]")
        ('((', '', None)
    """
    still_open: list[str] = []
    for bracket in text:
        place = PAIRS.index(bracket)
        if place % 2 == 0:
            still_open.append(bracket)
        elif not still_open or still_open.pop() != PAIRS[place - 1]:
            return None
    return "".join(still_open)


def words_task() -> TextTask:
    """A phrase of an adjective and a noun, letter by letter: the more pleasant, the better."""
    return TextTask("words", words_alphabet(), ("a ", "my ", "the ", "one "), 14, _pleasant, _phrase, _all_pleasant)


def _pleasant(prompt: str, response: str) -> float:
    return pleasantness(response)


def _all_pleasant(prompt: str, response: str) -> float:
    return float(pleasantness(response) == 1.0)


def _phrase(prompt: str, generator: np.random.Generator) -> str:
    return random_phrase(generator)


TASKS: dict[str, Callable[..., TextTask]] = {
    "copy": copy_task,
    "reverse": reverse_task,
    "sort": sort_task,
    "modular_addition": modular_addition_task,
    "brackets": brackets_task,
    "words": words_task,
}


def _check_size(name: str, size: Any, lowest: int, highest: int) -> None:
    if not isinstance(size, int | np.integer) or not lowest <= size <= highest:
        raise ValueError(f"{name} must be a whole number from {lowest} to {highest}, got {size!r}")
