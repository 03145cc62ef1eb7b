"""Words that are pleasant, unpleasant or neither: readable text whose reward a reader can check."""

import numpy as np

WORDS: dict[str, dict[int, tuple[str, ...]]] = {
    "adjective": {
        1: ("warm", "kind", "sweet", "bright", "calm", "happy"),
        0: ("big", "old", "round", "small", "tall", "new"),
        -1: ("cold", "cruel", "bitter", "dark", "harsh", "sad"),
    },
    "noun": {
        1: ("friend", "song", "smile", "gift", "garden", "sun"),
        0: ("table", "street", "box", "paper", "stone", "door"),
        -1: ("pain", "storm", "lie", "thief", "fear", "mud"),
    },
}
"""Words by their kind and what they are worth: 1 pleasant, 0 neither, -1 unpleasant."""

WORTH = {word: worth for of_kind in WORDS.values() for worth, words in of_kind.items() for word in words}
"""What each word is worth."""


def words_alphabet() -> str:
    """The letters of all words and prompts, and the space.

    Example:
        >>> len(words_alphabet())
        23
    """
    return " " + "".join(sorted(set("".join([*WORTH, "a", "my", "the", "one"]))))


def pleasantness(text: str) -> float:
    """The mean worth of the words of a text; what is no word is worth -1, and so is a text without any.

    Example:
        >>> pleasantness("warm smile"), pleasantness("sad song"), pleasantness("warm xyz"), pleasantness("")
        (1.0, 0.0, 0.0, -1.0)
    """
    words = text.split(" ")
    return sum(WORTH.get(word, -1) for word in words) / len(words)


def random_phrase(generator: np.random.Generator) -> str:
    """An adjective and a noun, each drawn uniformly from its kind.

    Example:
        >>> random_phrase(np.random.default_rng(0))
        'dark door'
    """
    drawn = []
    for of_kind in WORDS.values():
        words = [word for each in of_kind.values() for word in each]
        drawn.append(words[generator.integers(len(words))])
    return " ".join(drawn)
