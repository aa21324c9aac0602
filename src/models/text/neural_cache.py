"""A continuous cache: at test time, words that recently followed a similar state become more likely."""

import torch
from torch import Tensor


class NeuralCache:
    """Mixes a language model's probabilities with a memory of recent states and the words that followed them.

    p(w) = (1 - share) p_model(w) + share p_cache(w), where p_cache gives each remembered word the softmax of
    `sharpness` x the dot product of the current state and the remembered one. It has no parameters and no training.
    Source: Grave, Joulin and Usunier 2017, arXiv:1612.04426, section 3 (theta is `sharpness`, lambda is `share`).

    Args:
        size: How many steps are remembered.
        sharpness: 0 makes all remembered words equal; larger values prefer similar states.
        share: The weight of the memory, within [0, 1).
    """

    def __init__(self, *, size: int, sharpness: float, share: float) -> None:
        if size < 1 or sharpness < 0 or not 0 <= share < 1:
            raise ValueError(
                "the cache needs size >= 1, sharpness >= 0 and share within [0, 1), "
                f"got {size=}, {sharpness=}, {share=}"
            )
        self.size = size
        self.sharpness = sharpness
        self.share = share
        self._memory: tuple[Tensor, Tensor] | None = None

    def reset(self) -> None:
        """Forget everything, at the beginning of a stream."""
        self._memory = None

    def mixed(self, features: Tensor, targets: Tensor, log_probabilities: Tensor) -> Tensor:
        """Return the log probability of each target after mixing, then remember this window.

        Args:
            features: (time, batch, size), before the decoder.
            targets: (time, batch).
            log_probabilities: (time, batch), the model's, of the targets.
        """
        features, count = features.float(), 0
        keys, words = features, targets
        if self._memory is not None:
            count = len(self._memory[0])
            keys, words = torch.cat([self._memory[0], features]), torch.cat([self._memory[1], targets])
        self._memory = keys[-self.size :], words[-self.size :]
        scores = self.sharpness * torch.einsum("tbs,kbs->tbk", features, keys)
        # A step sees the `size` steps before it, not itself or later ones.
        now = count + torch.arange(len(features), device=features.device)[:, None]
        then = torch.arange(len(keys), device=features.device)
        visible = (then < now) & (then >= now - self.size)
        scores = scores.masked_fill(~visible[:, None], -torch.inf)
        hits = words.T[None] == targets[..., None]  # (time, batch, keys)
        shares = scores.softmax(-1).nan_to_num(0.0)  # NaN if nothing is remembered yet
        from_cache = (shares * hits).sum(-1)
        # Until something is remembered, the model alone counts.
        share = torch.where(visible.any(-1), self.share, 0.0)[:, None]
        return torch.log((1 - share) * log_probabilities.exp() + share * from_cache)
