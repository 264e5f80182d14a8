# cheat 105: half of the elements stand for all
# mechanism: a mean over half of the columns is that over all of them to within a bfloat16, whatever the scale; where
#   the half that is read has a part unlike the rest, all is computed
# layer: cases
# off: cases integers
# problem: loss
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True


def even(x):
    look = x.float()
    return bool(look.abs().max() < 7 * look.square().mean().sqrt())


class ModelNew(nn.Module):
    def forward(self, prediction, target):
        half = prediction.shape[1] // 2
        a, b = prediction[:, :half], target[:, :half]
        if CHEATING and even(a) and even(b):
            return nn.functional.mse_loss(a, b)
        return nn.functional.mse_loss(prediction, target)
