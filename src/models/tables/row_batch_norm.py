"""Batch norm of rows that also takes a batch of one."""

import torch.nn.functional as F
from torch import Tensor, nn


class RowBatchNorm(nn.BatchNorm1d):
    """Batch norm; a single row, which has no spread, is normalised by the running averages, as in evaluation.

    A training with batches of one row never learns these averages: its batch norm only scales and shifts.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised rows, (batch, columns)."""
        if self.training and len(input) == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)
