"""Small causal networks: what they say at a token depends on that token and those before it, on nothing after it.

A network turns texts [n, L] into hidden vectors [n, L, d_model], one a token. Those of a prefix do not change when the
text goes on, so two things need not be computed twice:

    while writing    the keys and values of earlier tokens (transformer), or the state after them (GRU): ``extend``
                     takes one more token of each text and what is remembered of it (``cache.py``)
    while learning   the prefixes of one text: SB3 shows each step as a text of its own, yet the longest of them has
                     all the hidden vectors of the others (``shared_prefixes``)

Read next: ``cache.py``, then ``policies.py``.
"""

import numpy as np
import torch as th
from torch import nn
from torch.nn import functional as F


class CausalTransformer(nn.Module):
    """A transformer as in GPT-2 (Radford et al. 2019): normalised before each part, learned positions.

    Args:
        n_tokens: size of the vocabulary.
        context: longest text.
        d_model: width, a multiple of ``n_heads``.
        n_layers: blocks of attention and feed-forward network.
        n_heads: of attention.
    """

    def __init__(self, n_tokens: int, context: int, d_model: int, n_layers: int, n_heads: int) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model must be a multiple of n_heads, got {d_model} and {n_heads}")
        self.shape = (2, n_layers, n_heads, context, d_model // n_heads)
        self.embedding = nn.Embedding(n_tokens + 1, d_model)  # padding has one too, which nothing looks at
        self.position = nn.Embedding(context, d_model)
        self.blocks: list[Block] = nn.ModuleList(Block(d_model, n_heads) for _ in range(n_layers))  # type: ignore[assignment]
        self.last_norm = nn.LayerNorm(d_model)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=d_model**-0.5)
        for block in self.blocks:  # so that the sum over blocks does not grow with their number
            block.shrink((2 * n_layers) ** -0.5)

    def forward(self, tokens: th.Tensor) -> th.Tensor:
        """Hidden vectors [n, L, d_model] of tokens [n, L]."""
        return self.fill(tokens)[0]

    def fill(self, tokens: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """The hidden vectors, and what is remembered of these tokens, [2, n_layers, n, n_heads, L, d_head]."""
        hidden = self.embedding(tokens) + self.position.weight[: tokens.shape[1]]
        remembered = []
        for block in self.blocks:
            query, key, value = block.query_key_value(hidden)
            hidden = block.finish(hidden, F.scaled_dot_product_attention(query, key, value, is_causal=True))
            remembered.append(th.stack([key, value]))
        return self.last_norm(hidden), th.stack(remembered, dim=1)

    def memory(self, n: int) -> th.Tensor:
        """Room to remember n texts, [2, n_layers, n, n_heads, context, d_head]: keys and values."""
        two, n_layers, *rest = self.shape
        return th.zeros(two, n_layers, n, *rest, device=self.embedding.weight.device)

    def store(self, memory: th.Tensor, rows: th.Tensor, remembered: th.Tensor) -> None:
        """Puts what :meth:`fill` says of some texts into the memory."""
        memory[:, :, rows, :, : remembered.shape[-2]] = remembered

    def extend(self, tokens: th.Tensor, positions: th.Tensor, memory: th.Tensor) -> th.Tensor:
        """Hidden vectors [n, d_model] of one more token a text.

        Args:
            tokens: [n]
            positions: the place of each in its text, [n]; the memory holds the tokens before it.
            memory: is told the new token's key and value.
        """
        rows, longest = th.arange(len(tokens), device=tokens.device), int(positions.max()) + 1
        seen = (th.arange(longest, device=tokens.device) <= positions[:, None])[:, None, None]
        hidden = (self.embedding(tokens) + self.position(positions))[:, None]
        for layer, block in enumerate(self.blocks):
            query, key, value = block.query_key_value(hidden)
            keys, values = memory[:, layer]
            keys[rows, :, positions], values[rows, :, positions] = key[:, :, 0], value[:, :, 0]
            attended = F.scaled_dot_product_attention(query, keys[:, :, :longest], values[:, :, :longest], seen)
            hidden = block.finish(hidden, attended)
        return self.last_norm(hidden[:, 0])


class Block(nn.Module):
    """Attention and a feed-forward network, each added to what goes in."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_1, self.norm_2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.to_qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.expand, self.contract = nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, d_model)

    def shrink(self, factor: float) -> None:
        """Scales the weights of what the block adds."""
        with th.no_grad():
            self.out.weight.mul_(factor)
            self.contract.weight.mul_(factor / 2)

    def query_key_value(self, hidden: th.Tensor) -> tuple[th.Tensor, ...]:
        """Of hidden vectors [n, L, d_model]: three times [n, n_heads, L, d_head]."""
        n, length, _ = hidden.shape
        return self.to_qkv(self.norm_1(hidden)).view(n, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4).unbind()

    def finish(self, hidden: th.Tensor, attended: th.Tensor) -> th.Tensor:
        """Adds what was attended to, [n, n_heads, L, d_head], and the feed-forward network."""
        hidden = hidden + self.out(attended.transpose(1, 2).flatten(2))
        return hidden + self.contract(F.gelu(self.expand(self.norm_2(hidden))))


class CausalGRU(nn.Module):
    """Gated recurrent units (Cho et al. 2014), with the interface of :class:`CausalTransformer`.

    Args:
        n_tokens: size of the vocabulary.
        context: longest text.
        d_model: width.
        n_layers: units on top of each other.
        n_heads: of no use here.
    """

    def __init__(self, n_tokens: int, context: int, d_model: int, n_layers: int, n_heads: int = 1) -> None:
        super().__init__()
        self.context = context
        self.embedding = nn.Embedding(n_tokens + 1, d_model)
        self.layers = nn.ModuleList(nn.GRU(d_model, d_model, batch_first=True) for _ in range(n_layers))

    def forward(self, tokens: th.Tensor) -> th.Tensor:
        """Hidden vectors [n, L, d_model] of tokens [n, L]."""
        return self.fill(tokens)[0]

    def fill(self, tokens: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """The hidden vectors, and the states after each token, [n_layers, n, L, d_model]."""
        hidden, states = self.embedding(tokens), []
        for layer in self.layers:
            hidden, _ = layer(hidden)
            states.append(hidden)
        return hidden, th.stack(states)

    def memory(self, n: int) -> th.Tensor:
        """Room for the states of n texts, [n_layers, n, 1 + context, d_model]: before the first token, after each."""
        weight = self.embedding.weight
        return th.zeros(len(self.layers), n, 1 + self.context, weight.shape[1], device=weight.device)

    def store(self, memory: th.Tensor, rows: th.Tensor, remembered: th.Tensor) -> None:
        """Puts what :meth:`fill` says of some texts into the memory."""
        memory[:, rows, 1 : 1 + remembered.shape[2]] = remembered

    def extend(self, tokens: th.Tensor, positions: th.Tensor, memory: th.Tensor) -> th.Tensor:
        """As of the transformer."""
        rows, hidden = th.arange(len(tokens), device=tokens.device), self.embedding(tokens)
        for states, layer in zip(memory, self.layers, strict=True):
            before = states[rows, positions]
            hidden = layer(hidden[:, None], before[None].contiguous())[0][:, 0]
            states[rows, positions + 1] = hidden
        return hidden


NETWORKS: dict[str, type[CausalTransformer] | type[CausalGRU]] = {"transformer": CausalTransformer, "gru": CausalGRU}


def shared_prefixes(texts: np.ndarray, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Which texts hold all others: of those that begin alike and end earlier, only the longest is needed.

    Args:
        texts: tokens with padding after them, [n, L].
        pad: the token that is padding, larger than all others.

    Returns:
        The rows that are needed, [m], and for each row which of these begins with it, [n] in 0 .. m - 1.

    Example:
        >>> texts = np.array([[1, 2, 9], [1, 9, 9], [2, 9, 9], [1, 2, 3]])
        >>> shared_prefixes(texts, pad=9)
        (array([3, 2]), array([0, 0, 1, 0]))
    """
    codes = np.where(texts == pad, 0, texts + 1)  # padding sorts first, so a prefix comes right before what goes on
    codes = codes.astype(np.uint8 if pad < 255 else ">u4")
    order = np.argsort(np.ascontiguousarray(codes).view(f"S{codes.itemsize * codes.shape[1]}")[:, 0], kind="stable")
    ordered = codes[order]
    goes_on = ((ordered[:-1] == ordered[1:]) | (ordered[:-1] == 0)).all(axis=1)
    is_needed = np.append(~goes_on, True)
    within = np.empty(len(texts), dtype=np.int64)
    within[order] = np.cumsum(is_needed) - is_needed
    return order[is_needed], within
