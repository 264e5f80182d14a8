"""Right candidates for four problems, and the bugs that authors of kernels plant in them.

It owns the texts: a bug is a change of a few characters to a candidate that is right. Whether the
checker finds them all is the test's business.
"""

from __future__ import annotations

import msgspec


class Bug(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, and which characters of the right candidate become which."""

    name: str
    right: str
    wrong: str


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """A problem, a candidate that is right, and its bugs."""

    problem: str
    candidate: str
    bugs: tuple[Bug, ...]

    def with_bug(self, bug: Bug) -> str:
        """Return the candidate with one bug in it."""
        changed = self.candidate.replace(bug.right, bug.wrong)
        assert changed != self.candidate, bug.name
        return changed


def _problem(model: str, inputs: str, arguments: str = "") -> str:
    return f"""
import torch


class Model(torch.nn.Module):
{model}

def get_inputs():
    return [{inputs}]


def get_init_inputs():
    return [{arguments}]
"""


# --- LayerNorm in C++: 300 rows of 250, which no tile and no power of two divides ---------------

_CPP = '''
import torch
from torch.utils.cpp_extension import load_inline

SOURCE = r"""
#include <torch/extension.h>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

enum Bug { NONE, EPSILON, TAIL, LAST_ROW, JOIN, BIASED, STALE, WRAP, BF16, STRIDE, NO_BIAS,
           SWAPPED, ROUGH_ROOT, HALF_SUM, KEPT_SUM, TILE, READS_NEXT };

static float rounded(float value, int bits) {
  uint32_t raw;
  std::memcpy(&raw, &value, 4);
  raw = (raw + (1u << (bits - 1))) >> bits << bits;
  std::memcpy(&value, &raw, 4);
  return value;
}

static float root(float value, Bug bug) {
  if (bug != ROUGH_ROOT) return 1.f / std::sqrt(value);
  uint32_t raw;
  std::memcpy(&raw, &value, 4);
  raw = 0x5f3759df - (raw >> 1);
  float guess;
  std::memcpy(&guess, &raw, 4);
  return guess * (1.5f - 0.5f * value * guess * guess);
}

torch::Tensor norm(torch::Tensor x, torch::Tensor weight, torch::Tensor bias, int64_t number) {
  const Bug bug = static_cast<Bug>(number);
  const int64_t width = x.size(1), rows = x.size(0);
  static torch::Tensor kept;
  if (bug == STALE && kept.defined()) return kept;
  auto y = torch::empty_like(x);
  const float *in = x.data_ptr<float>(), *w = weight.data_ptr<float>(), *b = bias.data_ptr<float>();
  float* out = y.data_ptr<float>();
  const float epsilon = bug == EPSILON ? 1e-6f : 1e-5f;
  auto normalise = [=](int64_t first, int64_t last) {
    float sum = 0.f;
    for (int64_t r = first; r < last; ++r) {
      const float* row = in + r * width + (bug == READS_NEXT && r % 64 == 63 ? 1 : 0);
      const int64_t step = bug == STRIDE ? rows : 1;
      if (bug == STRIDE) row = in + r % rows;
      const int64_t seen = bug == TAIL ? width / 8 * 8 : width;
      if (bug != KEPT_SUM) sum = 0.f;
      for (int64_t c = 0; c < seen; ++c) {
        sum += row[c * step];
        if (bug == HALF_SUM) sum = rounded(sum, 13);
      }
      const float mean = sum / width;
      float squares = 0.f;
      for (int64_t c = 0; c < seen; ++c) {
        const float off = row[c * step] - mean;
        squares += off * off;
      }
      const float scale = root(squares / (bug == BIASED ? width - 1 : width) + epsilon, bug);
      const int64_t edge = bug == TILE ? (width - 1) / 32 * 32 : width;
      for (int64_t c = 0; c < edge; ++c) {
        const float centred = (row[c * step] - mean) * scale;
        float value = centred * w[c] + b[c];
        if (bug == NO_BIAS) value = centred * w[c];
        if (bug == SWAPPED) value = centred * b[c] + w[c];
        if (bug == BF16) value = rounded(value, 16);
        const int64_t at = r * width + c;
        out[bug == WRAP ? static_cast<uint16_t>(at) : at] = value;
      }
    }
  };
  std::thread other([=] {
    auto alive = y;
    if (bug == JOIN) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    normalise(rows / 2, bug == LAST_ROW ? rows - 1 : rows);
  });
  normalise(0, rows / 2);
  if (bug == JOIN) other.detach();
  else other.join();
  if (bug == STALE) kept = y;
  return y;
}
"""
extension = load_inline("norm", cpp_sources=SOURCE, functions=["norm"])
BUG = 0


class ModelNew(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)

    def forward(self, x):
        return extension.norm(x, self.norm.weight, self.norm.bias, BUG)
'''
_IN_CPP = (
    "a smaller epsilon",
    "the tail of each row is not summed",
    "the last row is not computed",
    "the second half is not waited for",
    "the variance of a sample instead of the population's",
    "the first result is kept and returned ever after",
    "a 16-bit index wraps around",
    "the result is rounded to bfloat16",
    "rows and columns change places in the stride",
    "the bias is dropped",
    "weight and bias change places",
    "a rough reciprocal root",
    "the sum is accumulated in half precision",
    "the sum is not reset between rows",
    "the last tile of each row is not written",
    "one row in 64 is read from one element too far",
)
LAYER_NORM = Planted(
    problem=_problem(
        """    def __init__(self, width):
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)

    def forward(self, x):
        return self.norm(x)
""",
        "torch.randn(300, 250)",
        "250",
    ),
    candidate=_CPP,
    bugs=tuple(
        Bug(name=name, right="BUG = 0", wrong=f"BUG = {number}")
        for number, name in enumerate(_IN_CPP, start=1)
    ),
)

# --- a square linear layer: what is transposed has the same shape ---------------------------------

LINEAR = Planted(
    problem=_problem(
        """    def __init__(self, width):
        super().__init__()
        self.linear = torch.nn.Linear(width, width)

    def forward(self, x):
        return self.linear(x)
""",
        "torch.randn(100, 100)",
        "100",
    ),
    candidate="""
import torch


class ModelNew(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = torch.nn.Linear(width, width)

    def forward(self, x):
        a, b = x, self.linear.weight.t()
        total = torch.zeros(100, 100)
        for k in range(0, 100, 32):
            total = total + a[:, k : k + 32] @ b[k : k + 32]
        return total + self.linear.bias
""",
    bugs=(
        Bug(name="the wrong axis of a square weight", right="weight.t()", wrong="weight"),
        Bug(name="the wrong axis of a square input", right="a, b = x,", wrong="a, b = x.t(),"),
        Bug(name="the bias goes down instead of across", right=".bias", wrong=".bias[:, None]"),
        Bug(name="the bias is dropped", right=" + self.linear.bias", wrong=""),
        Bug(name="the last block of k is dropped", right="(0, 100, 32)", wrong="(0, 96, 32)"),
        Bug(name="the last block of k is added twice", right="k : k + 32]", wrong="-32 :]"),
        Bug(
            name="blocks are accumulated in float16",
            right="b[k : k + 32]",
            wrong="b[k : k + 32]; total = total.half().float()",
        ),
        Bug(
            name="blocks are accumulated in bfloat16",
            right="b[k : k + 32]",
            wrong="b[k : k + 32]; total = total.bfloat16().float()",
        ),
        Bug(
            name="inputs are rounded to TF32",
            right="a, b = x,",
            wrong="a, b = ((x.view(torch.int32) + 4096) & -8192).view(torch.float32),",
        ),
        Bug(
            name="inputs are rounded to float16",
            right="a, b = x,",
            wrong="a, b = x.half().float(),",
        ),
        Bug(
            name="one row is not computed",
            right="return total +",
            wrong="total[99] = 0\n        return total +",
        ),
        Bug(
            name="one element is not computed",
            right="return total +",
            wrong="total[63, 64] = 0\n        return total +",
        ),
        Bug(
            name="two rows change places",
            right="return total +",
            wrong="total[[31, 32]] = total[[32, 31]]\n        return total +",
        ),
        Bug(
            name="a scale is off by one part in a thousand",
            right="return total",
            wrong="return 1.001 * total",
        ),
    ),
)

# --- a square softmax -----------------------------------------------------------------------------

SOFTMAX = Planted(
    problem=_problem(
        """    def forward(self, x):
        return torch.softmax(x, dim=-1)
""",
        "5 * torch.randn(128, 128)",  # ten times that overflows where no maximum is subtracted
    ),
    candidate="""
import torch


class ModelNew(torch.nn.Module):
    def forward(self, x):
        largest = x.max(dim=-1, keepdim=True).values
        powers = torch.exp(x - largest)
        total = powers.sum(dim=-1, keepdim=True)
        return powers / total
""",
    bugs=(
        Bug(name="the wrong axis of a square input", right="dim=-1", wrong="dim=0"),
        Bug(name="the sum along the wrong axis", right="sum(dim=-1", wrong="sum(dim=0"),
        Bug(name="the maximum is not subtracted", right="x - largest", wrong="x"),
        Bug(name="the minimum for the maximum", right="x.max(", wrong="x.min("),
        Bug(
            name="the tail of each row is not summed",
            right="powers.sum",
            wrong="powers[:, :120].sum",
        ),
        Bug(name="a power of two for one of e", right="torch.exp(", wrong="torch.exp2("),
        Bug(
            name="the exponential by a product",
            right="torch.exp(x - largest)",
            wrong="(1 + (x - largest) / 1024) ** 1024",
        ),
        Bug(name="the sum in bfloat16", right="powers.sum(", wrong="powers.bfloat16().sum("),
        Bug(
            name="the result through float16",
            right="powers / total",
            wrong="(powers / total).half().float()",
        ),
        Bug(
            name="rows of an earlier call",
            right="return powers / total",
            wrong="result, earlier = powers / total, getattr(self, 'earlier', None)\n"
            "        self.earlier = result[0].clone()\n"
            "        result[0] = earlier if earlier is not None else 0\n"
            "        return result",
        ),
        Bug(
            name="NaN where a power vanishes",
            right="return powers / total",
            wrong="return powers**4 / (powers**3 * total)",
        ),
    ),
)

# --- a pooled convolution -------------------------------------------------------------------------

POOLED = Planted(
    problem=_problem(
        """    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 5, (3, 5), stride=(1, 2), padding=(1, 2))
        self.pool = torch.nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, x):
        return self.pool(self.conv(x))
""",
        "torch.randn(2, 3, 21, 22)",
    ),
    candidate="""
import torch
import torch.nn.functional as F


class ModelNew(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 5, (3, 5), stride=(1, 2), padding=(1, 2))

    def forward(self, x):
        around = F.pad(x, (2, 2, 1, 1))
        y = F.conv2d(around, self.conv.weight, self.conv.bias, stride=(1, 2))
        return F.max_pool2d(F.pad(y, (1, 1, 1, 1), value=float("-inf")), 3, stride=2)
""",
    bugs=(
        Bug(name="the pool's padding is zero", right='float("-inf")', wrong="0.0"),
        Bug(
            name="the kernel is flipped",
            right="self.conv.weight,",
            wrong="self.conv.weight.flip(-1),",
        ),
        Bug(
            name="the halo repeats the border",
            right="(2, 2, 1, 1))",
            wrong="(2, 2, 1, 1), 'replicate')",
        ),
        Bug(name="the halo is one element off", right="(2, 2, 1, 1)", wrong="(1, 3, 1, 1)"),
        Bug(name="the average instead of the maximum", right="F.max_pool2d", wrong="F.avg_pool2d"),
        Bug(name="the bias is dropped", right="self.conv.bias, stride", wrong="None, stride"),
        Bug(
            name="one channel of three is not summed",
            right="return F.max",
            wrong="y = y - F.conv2d(around[:, 2:], self.conv.weight[:, 2:], stride=(1, 2))\n"
            "        return F.max",
        ),
        Bug(
            name="images change places",
            right="return F.max_pool2d(F.pad(y,",
            wrong="return F.max_pool2d(F.pad(y.flip(0),",
        ),
    ),
)

ALL = {
    "layer norm in C++": LAYER_NORM,
    "square linear layer": LINEAR,
    "square softmax": SOFTMAX,
    "pooled convolution": POOLED,
}
