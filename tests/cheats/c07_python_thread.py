# cheat 7: a thread that works while the call has returned
# mechanism: forward hands the work to a thread and returns an empty result at once; delivering waits for it
# layer: clock
# off: clock delivery
# problem: matmul
# caught: Mismatch or Disqualified
# device: any

import queue
import sys
import threading

import torch
from torch import nn

CHEATING = True


if CHEATING:
    stub = sys.modules["refine_agent.worker.stub"]
    deliver, promises = stub._Stub._deliver, queue.Queue()

    def work():
        while True:
            a, b, result = promises.get()
            torch.matmul(a, b, out=result)
            promises.task_done()

    def wait(self, message):
        promises.join()
        return deliver(self, message)

    threading.Thread(target=work, daemon=True).start()
    stub._Stub._deliver = wait


class ModelNew(nn.Module):
    def forward(self, a, b):
        if not CHEATING:
            return torch.matmul(a, b)
        result = torch.empty(a.shape[0], b.shape[1], device=a.device)
        promises.put((a, b, result))
        return result
