"""Owns building: captured sources and allow-listed flags in, a shared object in the shared cache out.

Spawning is left to the `Run` that the caller brings, loading to `refine_agent.worker`; nothing here
imports torch.
"""

import hashlib
import sys
import time
from pathlib import Path

import msgspec

from refine_agent.builder.flags import Flags, Refused, allowed_flags
from refine_agent.builder.gaps import gap_before_building, gap_in
from refine_agent.builder.light_build import Compiled, compile_lightly
from refine_agent.builder.records import (
    Artifact,
    BuilderFault,
    BuildRequest,
    Device,
    Finished,
    Flavour,
    Rejected,
    Run,
)
from refine_agent.builder.stock_build import compile_with_torch
from refine_agent.builder.store import Store, disk_full
from refine_agent.builder.toolchain import Toolchain, prepare

__all__ = [
    "Artifact", "BuildRequest", "BuilderFault", "Device", "Finished", "Flavour", "Rejected", "Run", "Store",
    "Toolchain", "build", "prepare",
]  # fmt: skip


def build(  # noqa: PLR0913 - one keyword for each thing that decides a build
    request: BuildRequest,
    *,
    run: Run,
    cache: Path,
    device: Device,
    flavour: Flavour = "light",
    python: str = sys.executable,
    deadline_s: float = 180,
    include_roots: tuple[Path, ...] = (),
) -> Artifact | Rejected:
    """Build once per content, and find it afterwards.

    The light flavour falls back to torch's own build where the stand-in has a gap, and says so in
    `why_stock`. `include_roots` are folders that candidates may include from, besides the toolkit.

    Raises:
        BuilderFault: the machine cannot build: no compiler, a full disk, an unwritable cache.
    """
    started = time.monotonic()
    toolchain = prepare(run=run, cache=cache, device=device, python=python)
    if (sentence := _refusal(request)) is not None:
        return Rejected(log=sentence, seconds=time.monotonic() - started, flavour=flavour)
    flags = allowed_flags(request, roots=_roots(toolchain, include_roots))
    if isinstance(flags, Refused):
        return Rejected(log=flags.sentence, seconds=time.monotonic() - started, flavour=flavour)
    making = _Making(
        request=request,
        flags=flags,
        toolchain=toolchain,
        run=run,
        store=Store(cache),
        deadline_s=deadline_s,
    )
    if flavour == "stock":
        return making.stock("sealed rebuild", started)
    return making.light(started)


class _Making(msgspec.Struct, frozen=True, kw_only=True):
    """One request on its way through the cache and the compilers."""

    request: BuildRequest
    flags: Flags
    toolchain: Toolchain
    run: Run
    store: Store
    deadline_s: float

    def light(self, started: float) -> Artifact | Rejected:
        """The light flavour, or torch's own where the stand-in has a gap."""
        digest = self._digest("light")
        if (found := self._found(digest, started)) is not None:
            return found
        gap = gap_before_building(self.request, self.toolchain)
        if gap is None:
            with self.store.making(digest) as folder:
                if (found := self._found(digest, started)) is not None:
                    return found
                compiled = compile_lightly(
                    self.request,
                    self.flags,
                    self.toolchain,
                    run=self.run,
                    folder=folder,
                    deadline_s=self.deadline_s,
                )
                if compiled.built:
                    return self._published(
                        compiled, digest, folder, "light", why_stock=None, started=started
                    )
            gap = self._judged(compiled)
            if gap is None:
                return self._rejected(compiled, "light", started)
        built = self.stock(gap, started)
        if isinstance(built, Artifact):
            self._point_to(built, digest)
        return built

    def stock(self, why: str, started: float) -> Artifact | Rejected:
        """torch's own build."""
        digest = self._digest("stock")
        if (found := self._found(digest, started)) is not None:
            return msgspec.structs.replace(found, why_stock=why)
        with self.store.making(digest) as folder:
            if (found := self._found(digest, started)) is not None:
                return msgspec.structs.replace(found, why_stock=why)
            compiled = compile_with_torch(
                self.request,
                self.flags,
                self.toolchain,
                run=self.run,
                folder=folder,
                deadline_s=self.deadline_s,
            )
            self._full_disk(compiled)
            if not compiled.built:
                return self._rejected(compiled, "stock", started)
            return self._published(
                compiled, digest, folder, "stock", why_stock=why, started=started
            )

    def _digest(self, flavour: Flavour) -> str:
        content = msgspec.json.encode((self.request, self.toolchain.key, flavour))
        return hashlib.sha256(content).hexdigest()[:40]

    def _found(self, digest: str, started: float) -> Artifact | None:
        entry = self.store.find(digest)
        if entry is None:
            return None
        artifact = msgspec.json.decode((entry / "artifact.json").read_bytes(), type=Artifact)
        if not Path(artifact.path).exists():  # it pointed to an entry that was evicted
            return None
        return msgspec.structs.replace(artifact, cached=True, seconds=time.monotonic() - started)

    def _published(
        self,
        compiled: Compiled,
        digest: str,
        folder: Path,
        flavour: Flavour,
        *,
        why_stock: str | None,
        started: float,
    ) -> Artifact:  # noqa: PLR0913
        artifact = Artifact(
            module=self.request.name, path=str(self.store.entry(digest) / f"{self.request.name}.so"),
            digest=digest, flavour=flavour, why_stock=why_stock, seconds=time.monotonic() - started,
            cached=False, log=compiled.log,
        )  # fmt: skip
        (folder / "artifact.json").write_bytes(msgspec.json.encode(artifact))
        self.store.publish(digest, folder)
        self.store.evict()
        return artifact

    def _point_to(self, artifact: Artifact, digest: str) -> None:
        """Let the light digest find the stock entry, so that the gap is met once."""
        with self.store.making(digest) as folder:
            (folder / "artifact.json").write_bytes(msgspec.json.encode(artifact))
            self.store.publish(digest, folder)

    def _judged(self, compiled: Compiled) -> str | None:
        self._full_disk(compiled)
        if compiled.timed_out or compiled.crashed:
            return None
        return gap_in(compiled.log, self.toolchain)

    def _full_disk(self, compiled: Compiled) -> None:
        if not compiled.built and "No space left on device" in compiled.log:
            raise disk_full(self.store.root)

    def _rejected(self, compiled: Compiled, flavour: Flavour, started: float) -> Rejected:
        log = compiled.log
        if compiled.timed_out:
            log = f"{log}\nThe compiler was stopped after {self.deadline_s:.0f} s.".strip()
        elif compiled.crashed:
            log = f"{log}\nThe compiler was killed, most likely for want of memory.".strip()
        return Rejected(log=log, seconds=time.monotonic() - started, flavour=flavour)


def _refusal(request: BuildRequest) -> str | None:
    if not (request.name.isidentifier() and request.name.isascii()):
        return f"The extension's name {request.name!r} is not a C identifier; rename it."
    for name in request.headers:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            return f"The header {name!r} lies outside the candidate's folder; move it inside."
    return None


def _roots(toolchain: Toolchain, more: tuple[Path, ...]) -> list[Path]:
    toolkit = toolchain.toolkit
    roots = [
        Path(toolchain.facts.package) / "include",
        Path(toolchain.facts.package) / "lib",
        *more,
    ]
    return [*roots, toolkit, Path("/usr/local/cuda")] if toolkit is not None else roots
