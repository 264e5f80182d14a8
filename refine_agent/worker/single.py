"""A worker that was not forked: started anew because a profiler must start what it watches.

It owns the same fence and the same stub as a forked worker; the profiler around it is the bench's.
"""

from __future__ import annotations

import os
import socket
import sys

import msgspec

from refine_agent import wire
from refine_agent.worker import fence


def main() -> None:
    """Serve on the sockets whose numbers are the first two arguments, behind the given rules.

    With ``--at-once`` it ends without taking anything down, as no tool minds that has seen all.
    """
    orders, builds = (
        wire.Channel(socket.socket(fileno=int(fd)), takes_fds=True) for fd in sys.argv[1:3]
    )
    rules = msgspec.json.decode(sys.argv[3], type=fence.Rules)
    import torch.utils.cpp_extension  # noqa: F401, PLC0415 - before the fence closes

    from refine_agent.worker import stub  # noqa: PLC0415 - likewise

    level = fence.enter(rules)
    orders.send(wire.Ready(note=str(level)))
    stub.serve(orders, builds)
    if "--at-once" in sys.argv:
        # Nobody needs this process any more, and its page waits for its end: taking torch and a
        # CUDA context down takes 0.4 s (H200).
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
