"""Mean cross-entropy of 8192 x 128256 bfloat16 logits, in float32: 2101 MB must be read, once.

Precision: logits are bfloat16 as a language model's head makes them; the loss is computed and
returned in float32, as training code does (`logits.float()` first). 128256 is Llama 3's vocabulary.
"""

import torch
from torch import nn
from torch.nn import functional as F

tokens = 8192
vocabulary = 128256


class Model(nn.Module):
    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits.float(), labels)


def get_inputs():
    logits = torch.randn(tokens, vocabulary, dtype=torch.bfloat16)
    return [logits, torch.randint(0, vocabulary, (tokens,))]


def get_init_inputs():
    return []
