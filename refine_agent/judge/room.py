"""Whether memory was full: the device's, or the machine's.

It owns telling that from whatever else torch raises, since to torch it is a ``RuntimeError`` like
others; whose memory it is, and what comes of it, is said where it is caught.
"""

from __future__ import annotations

import torch

# By the allocator of a CPU, by the driver, and by libraries of kernels that keep room of their own.
_SAID = ("can't allocate memory", "not enough memory", "out of memory", "STATUS_ALLOC_FAILED")
MAX_SAID_CHARS = 300


def was_lacking(why: BaseException) -> bool:
    """Whether there was no memory for what was to be computed."""
    if isinstance(why, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(why, RuntimeError) and any(said in str(why) for said in _SAID)


def said(why: BaseException) -> str:
    """Return what was asked for, in torch's own words."""
    first, *_ = (str(why) or type(why).__name__).splitlines()
    return first[:MAX_SAID_CHARS]
