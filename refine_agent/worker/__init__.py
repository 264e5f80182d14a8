"""The untrusted side: load a candidate, call it, hand back bytes.

Everything here runs in the candidate's process and may be patched, lied for or killed by it, so
nothing it says is believed: the judge verifies bytes against its own reference and times with its
own clock, and the bench watches and ends the process.

What the fence stops
--------------------
- Environment: an allow-list; no keys, no tokens, no paths of the run.
- Files: with Landlock, nothing is writable but the candidate's private folder, and nothing is
  readable but the system's libraries, the interpreter and the built artifacts.
- Network: TCP is refused by Landlock (ABI 4 and later).
- Processes: signals and ptrace do not reach outside (Landlock ABI 6; another user id when started
  as root); a process limit stops fork bombs; the bench ends every descendant.
- Resources: no core dumps, bounded files, output, memory and disk; deadlines are the bench's.
- Answers: reference outputs, seeds and the verdict live in other processes; device memory of the
  judge lies in another CUDA context.

What the fence does not stop
----------------------------
- An attack on the GPU driver or the kernel: the driver's ioctl surface stays open. Use a virtual
  machine or a container of your own for code you would not run at all.
- UDP, raw and Unix sockets that the user may open anyway, and reading world-readable files under
  /usr, /opt, /sys and part of /etc.
- Use of all GPU memory or all cores while it runs; deadlines bound it.
- Where the kernel has no Landlock: reading and writing what the user may. The level reached is
  part of every verdict; ``--require-sandbox`` refuses to run below the full fence.
"""
