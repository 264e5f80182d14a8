"""Owns text that many builds compile, compiled once: precompiled headers.

They are half of what a light build takes, and no candidate changes them: the standard library's
headers, and what nvcc makes of them. They are made beside the first build that could have used
them; a compiler that finds them unfit (other macros, another language) reads the text instead, so
nothing depends on them but time.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Sequence

import msgspec

from refine_agent.builder.job import Job
from refine_agent.builder.records import BuilderFault
from refine_agent.builder.store import Store
from refine_agent.builder.toolchain import scrubbed_environment

_FILE = "precompiled.h"
# What the light headers include, and what candidates do; torch's own bring along all of them.
_NAMES = """algorithm array atomic cmath cstddef cstdint cstdio cstdlib cstring exception functional
    initializer_list iostream iterator limits map math.h memory mutex new numeric optional ostream
    sstream stdexcept stdlib.h string string_view tuple type_traits unordered_map utility vector"""
_STANDARD = "".join(f"#include <{name}>\n" for name in _NAMES.split())
# Who names a machine for its vector instructions uses them; these take longer than all else.
_VECTORS = "#if __has_include(<x86intrin.h>)\n#include <x86intrin.h>\n#endif\n"
# Of the candidate's own flags; the compiler itself sees whether a macro makes a difference.
_OF_ONE_BUILD = ("-D", "-U", "-I", "-L", "-l", "-Wl,", "-isystem")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """A text, and the compiler and the flags that it and the rest of a source are compiled with."""

    text: bytes
    command: tuple[str, ...]


def standard(job: Job, flags: Sequence[str]) -> Header:
    """Return the standard library's headers for builds by the host's compiler with these flags."""
    has_vectors = any(flag.startswith("-m") for flag in flags)
    text = _STANDARD + _VECTORS if has_vectors else _STANDARD
    kept = (flag for flag in flags if not flag.startswith(_OF_ONE_BUILD))
    return Header(text=text.encode(), command=(job.toolchain.cxx, *kept))


def including(job: Job, header: Header) -> list[str]:
    """Return the flags that include what was made of a header; none if nothing was."""
    store = _store_for(job)
    entry = None if store is None else store.find(_digest(job, header))
    return [] if entry is None else ["-include", str(entry / _FILE)]


def make(job: Job, header: Header) -> None:
    """Make it for the builds to come; where that cannot be, those read the text."""
    store, digest = _store_for(job), _digest(job, header)
    if store is None or store.find(digest) is not None:
        return
    with contextlib.suppress(BuilderFault, OSError), store.making(digest) as folder:
        if store.find(digest) is not None:  # another process was faster
            return
        (folder / _FILE).write_bytes(header.text)
        (folder / "tmp").mkdir()
        done = job.run(
            [*header.command, "-x", "c++-header", _FILE, "-o", f"{_FILE}.gch"],
            cwd=folder,
            env=scrubbed_environment(folder / "tmp"),
            deadline_s=job.deadline_s,
        )
        shutil.rmtree(folder / "tmp")
        if done.exit_code == 0:
            store.publish(digest, folder)


def _store_for(job: Job) -> Store | None:
    """Where a build finds them; one that includes no more than it names is not to see them."""
    return None if job.request.no_implicit_headers else job.store


def _digest(job: Job, header: Header) -> str:
    content = msgspec.json.encode((job.toolchain.key, header))
    return hashlib.sha256(content).hexdigest()[:38]
