"""Owns running nvcc's own passes side by side: for one architecture nvcc runs them in a row.

Which programs, with which arguments, is left to `nvcc --dryrun`, which lists them; where its list
is not the one known here (several architectures, another toolkit), nvcc runs it itself.

Host and device code are parsed by two front ends, a second each, that share nothing but a name for
the source, the module id: cudafe++ makes one up, and cicc waits for it. A name of our own lets both
begin at once. The object is, to the byte, what nvcc makes where it keeps its temporary files.
"""

import hashlib
import re
import shlex
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from refine_agent.builder.job import Job
from refine_agent.builder.records import Finished
from refine_agent.builder.toolchain import scrubbed_environment

_LISTED = "#$ "
_SETTING = re.compile(r"(\w+)=(.*)")
_USED_SETTING = re.compile(r"\$\{?(\w+)")
_ALWAYS_SET = frozenset(("PATH", "LD_LIBRARY_PATH"))
_MAKES_ID = " --gen_module_id_file "
_ID_FILE = re.compile(r'--module_id_file_name "([^"]+)"')
# What a pass is, by its text; of two that match, the first.
_PASSES = {
    "front end": re.compile(r'"?[^" ]*cudafe\+\+'),
    "compiler": re.compile(r'"?[^" ]*cicc'),
    "assembler": re.compile(r'"?[^" ]*ptxas'),
    "packer": re.compile(r'"?[^" ]*fatbinary'),
    "device text": re.compile(r".* -D__CUDA_ARCH__=.* -E "),
    "host text": re.compile(r".* -E "),
    "object": re.compile(r'.* -c .*\.cudafe1\.cpp"'),
}
_HOST = ("host text", "front end")
_DEVICE = ("device text", "compiler", "assembler", "packer")
# A shell adds it to the number of the signal that ended a command.
_SIGNALLED = 128

# Both halves are waited for, so that nothing of them is left; nvcc would stop at the first error.
_SCRIPT = """\
{settings}
printf %s {module_id} >{id_file}
{{ {host}; }} >{logs}/host.log 2>&1 &
{{ {device}; }} >{logs}/device.log 2>&1
device=$?
wait $!
host=$?
cat {logs}/host.log
[ $host = 0 ] || exit $host
cat {logs}/device.log
[ $device = 0 ] || exit $device
exec {object}
"""


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What nvcc would run."""

    passes: dict[str, str]
    settings: dict[str, str]
    id_file: str
    remarks: str
    """What nvcc itself says, of its arguments for instance."""


def compile_device_code(argv: Sequence[str], job: Job, folder: Path) -> Finished:
    """Run an nvcc command that compiles one source in `folder` to an object."""
    environment = scrubbed_environment(folder / "tmp")
    own = folder / "tmp" / "passes"
    own.mkdir()

    def run(command: Sequence[str]) -> Finished:
        # The fence around a shell is to let through the toolkit, as the one around nvcc does.
        toolkit = {"CUDA_HOME": str(job.toolchain.toolkit)}
        return job.run(command, cwd=folder, env=environment | toolkit, deadline_s=job.deadline_s)

    listed = run([*argv, "--dryrun", "--keep", "--keep-dir", str(own)])
    plan = _planned(listed.output) if listed.exit_code == 0 else None
    if plan is None:
        return run(argv)
    script = own / "passes.sh"
    script.write_text(_script(plan, own, module_id=_module_id(argv, job)), encoding="utf-8")
    done = run(["/bin/sh", str(script)])
    said = plan.remarks + done.output.replace(f"{own}/", "")
    return msgspec.structs.replace(done, exit_code=_without_shell(done.exit_code), output=said)


def _planned(listing: str) -> _Plan | None:
    """Read nvcc's list; ``None`` where it is not the one of one source and one architecture."""
    lines = listing.splitlines()
    listed = [line.removeprefix(_LISTED) for line in lines if line.startswith(_LISTED)]
    found = [_SETTING.fullmatch(line.strip()) for line in listed]
    commands = [line for line, setting in zip(listed, found, strict=True) if setting is None]
    named = [(_name_of(line), line) for line in commands if not line.startswith("rm ")]
    if Counter(name for name, _ in named) != Counter(list(_PASSES)):
        return None
    passes = {str(name): line for name, line in named}
    used = {name for line in passes.values() for name in _USED_SETTING.findall(line)}
    settings = {each[1]: each[2] for each in found if each is not None}
    id_files = {tuple(_ID_FILE.findall(passes[name])) for name in ("front end", "compiler")}
    (id_file, *others) = id_files.pop() or ("",)
    if not used <= settings.keys() or id_files or others or _MAKES_ID not in passes["front end"]:
        return None
    return _Plan(
        passes=passes | {"front end": passes["front end"].replace(_MAKES_ID, " ")},
        settings={name: settings[name] for name in settings.keys() & (used | _ALWAYS_SET)},
        id_file=id_file,
        remarks="".join(f"{line}\n" for line in lines if not line.startswith(_LISTED)),
    )


def _name_of(command: str) -> str | None:
    return next((name for name, looks in _PASSES.items() if looks.match(command)), None)


def _script(plan: _Plan, own: Path, *, module_id: str) -> str:
    set_all = (f"export {name}={shlex.quote(value)}" for name, value in plan.settings.items())
    return _SCRIPT.format(
        settings="\n".join(set_all),
        module_id=module_id,
        id_file=shlex.quote(plan.id_file),
        host=" && ".join(plan.passes[name] for name in _HOST),
        device=" && ".join(plan.passes[name] for name in _DEVICE),
        object=plan.passes["object"],
        logs=shlex.quote(str(own)),
    )


def _module_id(argv: Sequence[str], job: Job) -> str:
    """Return what tells this source's internal names from all others', as nvcc writes it."""
    told = "\0".join([*argv, *job.request.cuda_sources, *job.request.headers.values()])
    digest = hashlib.sha256(told.encode()).hexdigest()
    return f"_{digest[:8]}_7_cuda_cu_{digest[8:16]}"


def _without_shell(exit_code: int | None) -> int | None:
    """Return how the program ended that a shell ran: negative for the signal that ended it."""
    if exit_code is None or not 0 < exit_code - _SIGNALLED < signal.NSIG:
        return exit_code
    return _SIGNALLED - exit_code
