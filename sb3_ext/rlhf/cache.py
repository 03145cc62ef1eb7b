"""Writing token by token without reading the whole text again: a key-value cache, keyed to the prefix that it sees.

The policy is asked for the next token of n texts, over and over. What the network remembers of a text is used only if
the text now shown is that very text with one more token, read by the same weights: a callback may play episodes of its
own, an episode may end, a gradient step may be made at any time. Whatever does not fit is read from its beginning.
"""

import torch as th

from sb3_ext.rlhf.networks import CausalGRU, CausalTransformer

MAX_ROWS = 1024  # larger batches come from learning, not from writing; and their memory would be large


class PrefixCache:
    """What a network remembers of the texts that it was shown last."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forgets everything; needed only after weights were changed through ``parameter.data``, unseen by others."""
        self._weights: tuple[tuple[int, int], ...] = ()
        self._texts = th.zeros(0, 0, dtype=th.long)
        self._hidden = self._memory = th.zeros(0)

    def last_hidden(self, network: CausalTransformer | CausalGRU, texts: th.Tensor, lengths: th.Tensor) -> th.Tensor:
        """The hidden vector of each text's last token, [n, d_model], without gradient.

        Args:
            network: who reads.
            texts: tokens with padding after them, [n, context].
            lengths: tokens of each text, [n], at least 1.
        """
        weights = tuple((parameter.data_ptr(), parameter._version) for parameter in network.parameters())
        weights += ((int(th.is_inference_mode_enabled()), 0),)  # what is made in it cannot be written to outside of it
        if texts.shape != self._texts.shape or weights != self._weights:
            self._weights, self._texts = weights, th.full_like(texts, -1)
            self._memory = network.memory(len(texts))
        same = texts == self._texts
        if same.all():
            return self._hidden
        places = th.arange(texts.shape[1], device=texts.device)
        known = (same | (places >= lengths[:, None] - 1)).all(dim=1)  # all but the last token
        rows = th.arange(len(texts), device=texts.device)
        self._weights = ()  # should what follows be interrupted
        if known.any():  # the others are extended in vain, which costs less than to pick
            hidden = network.extend(texts[rows, lengths - 1], lengths - 1, self._memory)
        else:
            hidden = self._memory.new_empty(len(texts), network.embedding.weight.shape[1])
        new = th.nonzero(~known)[:, 0]
        if len(new):
            read, remembered = network.fill(texts[new, : int(lengths[new].max())])
            network.store(self._memory, new, remembered)
            hidden[new] = read[th.arange(len(new), device=texts.device), lengths[new] - 1]
        self._weights, self._texts, self._hidden = weights, texts.clone(), hidden
        return hidden

    def __reduce__(self) -> tuple[type["PrefixCache"], tuple[()]]:
        return PrefixCache, ()
