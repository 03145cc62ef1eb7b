"""Text generation as a Markov decision process: the environment that language models are aligned in.

The state is the prompt and the tokens so far, an action is the next token, the reward comes at the end. Small sizes are
enumerable: ``responses()`` lists every text that a policy can write, so expectations over texts are sums.

    S_t = (x, y_1 .. y_t)     A_t = y_{t+1}     R = score(x, y) at the last token, else 0     Ziegler et al. 2019
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ext.envs.text.tasks import Score, TextTask, make_text_task

END = 0  # the token that ends a text
MAX_RESPONSES = 1_000_000

Tokens = NDArray[np.int64]


class TokenWorld(gym.Env[Tokens, np.int64]):
    """Writes a response to a prompt, a token at a time.

    ### Action space
    ``Discrete(n_tokens)``: the next token. Token 0 ends the text, token i is character i - 1 of the task's alphabet.

    ### Observation space
    ``MultiDiscrete([n_tokens + 1] * context)``: the tokens of the prompt, then those written so far, then padding,
    which is ``n_tokens``. (SB3's ``MlpPolicy`` gets it one-hot; ``sb3_ext.rlhf.CausalLMPolicy`` reads the tokens.)

    ### Starting state
    A prompt, drawn uniformly from the task's.

    ### Rewards
    0 until the last token, which gets the score of the response: 1 for a right answer and 0 for another; with
    ``task="words"`` from -1 to 1, how pleasant the words are. Or what ``reward`` says.

    ### Episode end
    Termination with token 0, or after ``max_new_tokens`` tokens. Both are ends, not time limits: the text is scored as
    it is, and the state shows how long it is.

    ### Information
    At the end ``is_success`` (whether the answer is right), ``prompt`` and ``response``, as text.

    Args:
        task: "copy", "reverse", "sort", "modular_addition", "brackets" or "words"; or a ``TextTask``.
        prompts: those of the task's prompts to keep. Default: all.
        max_new_tokens: longest response, with the token that ends it. Default: the task's.
        context: length of the observation. Default: what the longest prompt and response need.
        reward: a function of your own, from prompt and response (without the token that ends it) to a number.
        render_mode: "ansi" (prompt and response with a bar between), "rgb_array" (the same as a picture) or None.
        **sizes: of the task, see :func:`sb3_ext.envs.text.tasks.make_text_task`.

    Raises:
        ValueError: for an unknown task or size, or a prompt that does not fit into the context.

    Example:
        >>> world = TokenWorld("sort", length=2, n_symbols=2, prompts=["ba>"])
        >>> world.reset(seed=0)[0]
        array([2, 1, 3, 4, 4, 4])
        >>> for token in world.task.encode("ab") + [0]:
        ...     observation, reward, terminated, _, info = world.step(token)
        >>> reward, terminated, info
        (1.0, True, {'is_success': True, 'prompt': 'ba>', 'response': 'ab'})
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}

    def __init__(
        self,
        task: str | TextTask = "sort",
        prompts: Sequence[str] | None = None,
        max_new_tokens: int | None = None,
        context: int | None = None,
        reward: Score | None = None,
        render_mode: str | None = None,
        **sizes: Any,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be 'ansi', 'rgb_array' or None, got {render_mode!r}")
        if isinstance(task, TextTask) and (prompts is not None or sizes):
            raise ValueError(
                f"a TextTask has its prompts and sizes; leave out {['prompts'] * bool(prompts) + list(sizes)}"
            )
        self.task = task if isinstance(task, TextTask) else make_text_task(task, prompts, **sizes)
        self.max_new_tokens = _length("max_new_tokens", max_new_tokens, self.task.max_new_tokens, 1)
        longest = max(map(len, self.task.prompts))
        self.context = _length("context", context, longest + self.max_new_tokens, 1)
        if longest + self.max_new_tokens > self.context:
            raise ValueError(
                f"a prompt of {longest} tokens and a response of {self.max_new_tokens} are longer than the context of "
                f"{self.context}"
            )
        self.reward = self.task.score if reward is None else reward
        self.render_mode = render_mode
        self.n_tokens = self.task.n_tokens
        self.pad = self.n_tokens
        self.observation_space = spaces.MultiDiscrete(np.full(self.context, self.n_tokens + 1))
        self.action_space = spaces.Discrete(self.n_tokens)
        self.prompt_lengths = np.array([len(prompt) for prompt in self.task.prompts])
        self.prompts = np.full((len(self.task.prompts), self.context), self.pad)
        for row, prompt in zip(self.prompts, self.task.prompts, strict=True):
            row[: len(prompt)] = self.task.encode(prompt)
        self._prompt = 0
        self._tokens: Tokens | None = None

    def draw_prompt(self, generator: np.random.Generator) -> int:
        """The number of a prompt, each equally likely."""
        return int(generator.integers(len(self.prompts)))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Tokens, dict[str, Any]]:
        """Draws a prompt."""
        super().reset(seed=seed)
        self._prompt = self.draw_prompt(self.np_random)
        self._tokens = self.prompts[self._prompt].copy()
        self._length = int(self.prompt_lengths[self._prompt])
        return self._tokens.copy(), {}

    def step(self, action: Any) -> tuple[Tokens, float, bool, bool, dict[str, Any]]:
        """Appends a token.

        Raises:
            ValueError: for a token outside the vocabulary, or a reward that is not finite.
            RuntimeError: before ``reset``, or after the end of the text.
        """
        if self._tokens is None:
            raise RuntimeError("call reset() before step(), and after the end of a text")
        token = int(action)
        if not 0 <= token < self.n_tokens:
            raise ValueError(f"the tokens are 0 to {self.n_tokens - 1}, got {action}")
        self._tokens[self._length] = token
        self._length += 1
        observation, n_new = self._tokens.copy(), self._length - self.prompt_lengths[self._prompt]
        if token != END and n_new < self.max_new_tokens:
            return observation, 0.0, False, False, {}
        reward, info = self.judge(self._prompt, observation)
        self._tokens = None
        return observation, reward, True, False, info

    def judge(self, prompt: int, tokens: Tokens) -> tuple[float, dict[str, Any]]:
        """The reward of a finished text, and what is to be said about it.

        Args:
            prompt: number of the prompt.
            tokens: of prompt and response, [context].

        Raises:
            ValueError: for a reward that is not finite.
        """
        question, response = self.task.prompts[prompt], self.task.decode(tokens[self.prompt_lengths[prompt] :].tolist())
        info = {"is_success": bool(self.task.is_right(question, response)), "prompt": question, "response": response}
        reward = float(self.reward(question, response))
        if not math.isfinite(reward):
            raise ValueError(f"the reward of {response!r} in answer to {question!r} is {reward}, no finite number")
        return reward, info

    # --- all texts, demonstrations

    def responses(self) -> Tokens:
        """Every response that can be written, one a row, [n_responses, max_new_tokens], with padding after the end.

        Raises:
            ValueError: if there are more than a million.

        Example:
            >>> TokenWorld("sort", length=2, n_symbols=2, max_new_tokens=1).responses().T
            array([[0, 1, 2, 3]])
        """
        n_characters, longest = self.n_tokens - 1, self.max_new_tokens
        total = sum(n_characters**length for length in range(longest)) + n_characters**longest
        if total > MAX_RESPONSES:
            raise ValueError(
                f"{total:,} responses are too many to enumerate, at most {MAX_RESPONSES:,}; take a smaller task"
            )
        rows = []
        for length in range(longest + 1):
            body = np.array(list(product(range(1, self.n_tokens), repeat=length)), dtype=np.int64)
            block = np.full((n_characters**length, longest), self.pad)
            block[:, :length] = body.reshape(len(block), length)
            if length < longest:
                block[:, length] = END
            rows.append(block)
        return np.concatenate(rows)

    def scores(self, responses: Tokens) -> NDArray[np.float64]:
        """The reward of every response to every prompt, [n_prompts, n_responses].

        Args:
            responses: as :meth:`responses` gives them.
        """
        texts = [self.task.decode(row) for row in responses.tolist()]
        return np.array([[self.reward(prompt, text) for text in texts] for prompt in self.task.prompts], dtype=float)

    def score_texts(self, texts: Tokens, prompt_lengths: Tokens) -> NDArray[np.float64]:
        """The reward of finished texts, [n].

        Args:
            texts: tokens of prompt and response, [n, context].
            prompt_lengths: [n]
        """
        return self._of_texts(self.reward, texts, prompt_lengths)

    def successes(self, texts: Tokens, prompt_lengths: Tokens) -> NDArray[np.float64]:
        """1 where a finished text is right, else 0, [n]; arguments as of :meth:`score_texts`."""
        return self._of_texts(self.task.is_right, texts, prompt_lengths)

    def _of_texts(self, function: Score, texts: Tokens, prompt_lengths: Tokens) -> NDArray[np.float64]:
        split = [(row[:n], row[n:]) for row, n in zip(texts.tolist(), prompt_lengths, strict=True)]
        decode = self.task.decode
        return np.array([function(decode(prompt), decode(response)) for prompt, response in split], dtype=np.float64)

    def demonstrations(self, n: int, seed: int | None = None, error_rate: float = 0.0) -> tuple[Tokens, Tokens]:
        """Prompts drawn like an episode's, each with a good response.

        Args:
            n: how many.
            seed: of prompts, responses and errors.
            error_rate: the share of responses whose characters are shuffled and then, with even chances each, replaced
                by any others: what demonstrations of mixed quality look like.

        Returns:
            Texts [n, context], prompt and response with padding after it; lengths of the prompts, [n].

        Raises:
            ValueError: if n is below 1, error_rate outside [0, 1] or a response longer than max_new_tokens.

        Example:
            >>> world = TokenWorld("sort", prompts=["cab>"])
            >>> world.task.decode(world.demonstrations(1, seed=0)[0][0])
            'cab>abc'
        """
        if n < 1 or not 0 <= error_rate <= 1:
            raise ValueError(f"n must be at least 1 and error_rate in [0, 1], got n={n}, error_rate={error_rate}")
        generator = np.random.default_rng(seed)
        chosen = generator.integers(len(self.prompts), size=n)
        texts = self.prompts[chosen].copy()
        for row, number in zip(texts, chosen, strict=True):
            tokens = self.task.encode(self.task.demonstrate(self.task.prompts[number], generator))
            if generator.random() < error_rate:
                tokens = generator.permutation(tokens).tolist()
                others = generator.integers(1, self.n_tokens, size=len(tokens))
                tokens = np.where(generator.random(len(tokens)) < 0.5, tokens, others).tolist()
            if len(tokens) > self.max_new_tokens:
                raise ValueError(f"a demonstration has {len(tokens)} tokens, max_new_tokens={self.max_new_tokens}")
            tokens = [*tokens, END][: self.max_new_tokens]
            row[self.prompt_lengths[number] :][: len(tokens)] = tokens
        return texts, self.prompt_lengths[chosen]

    # --- pictures, other forms

    def render(self) -> Any:
        """Prompt and response as text, or as a picture; None without a render mode."""
        if self.render_mode is None:
            return None
        tokens = self.prompts[self._prompt] if self._tokens is None else self._tokens
        text = self.task.decode(tokens.tolist())
        n_prompt = int(self.prompt_lengths[self._prompt])
        text = f"{text[:n_prompt]}|{text[n_prompt:]}"
        return text if self.render_mode == "ansi" else draw_text(text, self.context + 2)

    @staticmethod
    def sb3_vec_env(**kwargs: Any) -> Any:
        """The class that writes many texts at once behind SB3's ``VecEnv``."""
        from sb3_ext.envs.text.world_vec import TokenWorldVecEnv

        return TokenWorldVecEnv


def draw_text(text: str, width: int) -> NDArray[np.uint8]:
    """A picture of a line of text, [24, 12 * width, 3]."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (12 * width, 24), "white")
    ImageDraw.Draw(picture).text((6, 4), text, fill="black", font_size=16)
    return np.asarray(picture)


def _length(name: str, value: int | None, default: int, lowest: int) -> int:
    if value is None:
        return default
    if not isinstance(value, int | np.integer) or value < lowest:
        raise ValueError(f"{name} must be a whole number, at least {lowest}, got {value!r}")
    return int(value)
