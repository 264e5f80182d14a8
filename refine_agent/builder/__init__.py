"""Owns building: captured sources and allowed flags in, a shared object in the shared cache out.

Spawning is left to the `Run` that the caller brings, loading to `refine_agent.worker`; nothing here
imports torch.
"""

import hashlib
import sys
import time
from pathlib import Path

import msgspec

from refine_agent.builder.flags import Refused, allowed_flags
from refine_agent.builder.gaps import gap_before_building, gap_in
from refine_agent.builder.job import Compiled, Job
from refine_agent.builder.light_build import compile_lightly
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

# Names become those of files below the build, and file systems have their limits.
MOST_NAME_BYTES, SHOWN_CHARS = 200, 80

__all__ = [
    "Artifact",
    "BuildRequest",
    "BuilderFault",
    "Device",
    "Finished",
    "Flavour",
    "Rejected",
    "Run",
    "Store",
    "Toolchain",
    "build",
    "prepare",
]


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
    flags = allowed_flags(request, roots=_roots(toolchain, include_roots))
    sentence = _refusal(request, device) or (flags.sentence if isinstance(flags, Refused) else None)
    if sentence is not None or isinstance(flags, Refused):
        seconds = time.monotonic() - started
        return Rejected(log=sentence or "", seconds=seconds, flavour=flavour)
    store = Store(cache)
    job = Job(
        request=request,
        flags=flags,
        toolchain=toolchain,
        run=run,
        deadline_s=deadline_s,
        store=store,
    )
    making = _Making(job=job, store=store, started=started)
    return making.stock("sealed rebuild") if flavour == "stock" else making.light()


class _Making(msgspec.Struct, frozen=True, kw_only=True):
    """One job on its way through the cache and the compilers."""

    job: Job
    store: Store
    started: float

    def light(self) -> Artifact | Rejected:
        """The light flavour, or torch's own where the stand-in has a gap."""
        digest = self._digest("light")
        if (found := self._found(digest)) is not None:
            return found
        gap = gap_before_building(self.job.request, self.job.toolchain)
        if gap is None:
            with self.store.making(digest) as folder:
                if (found := self._found(digest)) is not None:  # while the lock was waited for
                    return found
                home = self.store.entry(digest)
                compiled = self._checked(compile_lightly(self.job, folder, home))
                if compiled.built:
                    return self._published(compiled, digest, folder, why_stock=None)
            if (gap := self._gap(compiled)) is None:
                return self._rejected(compiled, "light")
        built = self.stock(gap)
        if isinstance(built, Artifact):
            self._point_to(built, digest)
        return built

    def stock(self, why: str) -> Artifact | Rejected:
        """The flavour that torch itself builds."""
        digest = self._digest("stock")
        if (found := self._found(digest)) is not None:
            return msgspec.structs.replace(found, why_stock=why)
        with self.store.making(digest) as folder:
            if (found := self._found(digest)) is not None:
                return msgspec.structs.replace(found, why_stock=why)
            home = self.store.entry(digest)
            compiled = self._checked(compile_with_torch(self.job, folder, home))
            if not compiled.built:
                return self._rejected(compiled, "stock")
            return self._published(compiled, digest, folder, why_stock=why)

    def _digest(self, flavour: Flavour) -> str:
        content = msgspec.json.encode((self.job.request, self.job.toolchain.key, flavour))
        return hashlib.sha256(content).hexdigest()[:40]

    def _found(self, digest: str) -> Artifact | None:
        entry = self.store.find(digest)
        if entry is None:
            return None
        artifact = msgspec.json.decode((entry / "artifact.json").read_bytes(), type=Artifact)
        if not Path(artifact.path).exists():  # it pointed to an entry that was evicted
            return None
        seconds = time.monotonic() - self.started
        return msgspec.structs.replace(artifact, cached=True, seconds=seconds)

    def _published(
        self, compiled: Compiled, digest: str, folder: Path, *, why_stock: str | None
    ) -> Artifact:
        name = self.job.request.name
        artifact = Artifact(
            module=name,
            path=str(self.store.entry(digest) / f"{name}.so"),
            digest=digest,
            flavour="light" if why_stock is None else "stock",
            why_stock=why_stock,
            seconds=time.monotonic() - self.started,
            cached=False,
            log=compiled.told,
        )
        (folder / "artifact.json").write_bytes(msgspec.json.encode(artifact))
        self.store.publish(digest, folder)
        self.store.keep_in_bounds()
        return artifact

    def _point_to(self, artifact: Artifact, digest: str) -> None:
        """Let the light digest find the stock entry, so that the gap is met once."""
        with self.store.making(digest) as folder:
            (folder / "artifact.json").write_bytes(msgspec.json.encode(artifact))
            self.store.publish(digest, folder)

    def _checked(self, compiled: Compiled) -> Compiled:
        if not compiled.built and "No space left on device" in compiled.log:
            raise disk_full(self.store.root)
        return compiled

    def _gap(self, compiled: Compiled) -> str | None:
        if compiled.timed_out or compiled.crashed:
            return None
        return gap_in(compiled.log, self.job.toolchain, self.job.unforeseen_headers())

    def _rejected(self, compiled: Compiled, flavour: Flavour) -> Rejected:
        log = compiled.told
        if compiled.timed_out:
            log += f"\nThe compiler was stopped after {self.job.deadline_s:.0f} s."
        elif compiled.crashed:
            log += "\nThe compiler was killed, most likely for want of memory."
        seconds = time.monotonic() - self.started
        return Rejected(log=log.strip(), seconds=seconds, flavour=flavour)


def _refusal(request: BuildRequest, device: Device) -> str | None:
    """What no compiler needs to be asked about, as one sentence."""
    if request.cuda_sources and device == "cpu":
        return "CUDA sources cannot be built for the CPU; write C++ in cpp_sources instead."
    name = request.name
    if not (name.isidentifier() and name.isascii() and len(name) <= MOST_NAME_BYTES):
        shown = name[:SHOWN_CHARS]
        return f"The extension's name {shown!r} is no C identifier of a file's length; rename it."
    return _refused_header(request)


def _refused_header(request: BuildRequest) -> str | None:
    """What is wrong with the names of the candidate's own headers, which become files."""
    paths = {name: Path(name) for name in request.headers}
    folders = {parent for path in paths.values() for parent in path.parents}
    for name, path in paths.items():
        if path.is_absolute() or ".." in path.parts:
            shown = name[:SHOWN_CHARS]
            return f"The header {shown!r} lies outside the candidate's folder; move it inside."
        too_long = len(name.encode("utf-8", "replace")) > MOST_NAME_BYTES
        if too_long or "\0" in name or not path.name or path in folders:
            return f"The header {name[:SHOWN_CHARS]!r} is no name of a file; rename it."
    return None


def _roots(toolchain: Toolchain, more: tuple[Path, ...]) -> list[Path]:
    """Folders that include and library flags may name."""
    package = Path(toolchain.facts.package)
    toolkit = [] if toolchain.toolkit is None else [toolchain.toolkit, Path("/usr/local/cuda")]
    # What an administrator installed there, no candidate can replace.
    return [package / "include", package / "lib", *more, *toolkit, Path("/usr"), Path("/opt")]
