"""A continuous cache: at test time, words that followed a similar state a short while ago become likelier."""

import torch
from torch import Tensor


class NeuralCache:
    """Mixes a language model's probabilities with those of a memory of the last `size` states and what followed each.

    p(w) = (1 - share) p_model(w) + share p_cache(w), where p_cache gives each remembered word the softmax of
    `flatness` x the dot product of the state now and the state then. No parameters, no training.
    Source: Grave, Joulin and Usunier 2017, arXiv:1612.04426, section 3 (theta is `flatness`, lambda is `share`).
    """

    def __init__(self, *, size: int, flatness: float, share: float) -> None:
        """Raises ValueError if a choice is out of range."""
        if size < 1 or flatness < 0 or not 0 <= share < 1:
            raise ValueError(
                f"the cache needs size >= 1, flatness >= 0 and share within [0, 1), got {size=}, {flatness=}, {share=}"
            )
        self.size = size
        self.flatness = flatness
        self.share = share
        self._memory: tuple[Tensor, Tensor] | None = None

    def reset(self) -> None:
        """Forget everything, as at the beginning of a stream."""
        self._memory = None

    def mixed(self, features: Tensor, targets: Tensor, log_probabilities: Tensor) -> Tensor:
        """The log probability of each target after mixing; then remember this window.

        features: (time, batch, size), before the decoder.  targets: (time, batch).  log_probabilities: (time, batch),
        the model's, of the targets.
        """
        features, count = features.float(), 0
        keys, words = features, targets
        if self._memory is not None:
            count = len(self._memory[0])
            keys, words = torch.cat([self._memory[0], features]), torch.cat([self._memory[1], targets])
        self._memory = keys[-self.size :], words[-self.size :]
        scores = self.flatness * torch.einsum("tbs,kbs->tbk", features, keys)
        # A step sees the `size` steps before it, and neither itself nor what comes.
        now = count + torch.arange(len(features), device=features.device)[:, None]
        then = torch.arange(len(keys), device=features.device)
        visible = (then < now) & (then >= now - self.size)
        scores = scores.masked_fill(~visible[:, None], -torch.inf)
        hits = words.T[None] == targets[..., None]  # (time, batch, keys)
        shares = scores.softmax(-1).nan_to_num(0.0)  # nothing is remembered yet
        from_cache = (shares * hits).sum(-1)
        # Before anything is remembered the model speaks alone.
        share = torch.where(visible.any(-1), self.share, 0.0)[:, None]
        return torch.log((1 - share) * log_probabilities.exp() + share * from_cache)
