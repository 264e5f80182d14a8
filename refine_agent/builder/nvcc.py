"""Owns running nvcc's own passes side by side: for one architecture nvcc runs them in a row.

Which programs, with which arguments, is left to `nvcc --dryrun`, which lists them; where its list
is not the one known here (several architectures, another toolkit), nvcc runs it itself.

Host and device code are parsed by two front ends, a second each, that share nothing but a name for
the source, the module id: cudafe++ makes one up, and cicc waits for it. A name of our own lets both
begin at once. The object is, to the byte, what nvcc makes where it keeps its temporary files.

The host's compiler then parses for a third time what candidates include, as the front end wrote it
down: up to our own headers two megabytes that are the same for most candidates, and precompiled.
"""

import hashlib
import re
import shlex
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from refine_agent.builder import precompiled
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
exit $device
"""
_EMITTED = ".cudafe1.cpp"
# Less than this is compiled as fast as it is split.
_MUCH_TEXT = 1 << 18


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

    def run_script(text: str) -> Finished:
        script = own / "passes.sh"
        script.write_text(text, encoding="utf-8")
        done = run(["/bin/sh", str(script)])
        return msgspec.structs.replace(done, exit_code=_without_shell(done.exit_code))

    done = run_script(_script(plan, own, module_id=_module_id(argv, job)))
    said = done.output
    if done.exit_code == 0:
        done = _compiled_object(plan, job, run_script)
        said += done.output
    return msgspec.structs.replace(done, output=plan.remarks + said.replace(f"{own}/", ""))


def _compiled_object(plan: _Plan, job: Job, run_script: Callable[[str], Finished]) -> Finished:
    """Compile what the front end wrote for the host, all but what lies there precompiled."""
    *command, emitted, _, output = shlex.split(plan.passes["object"])
    if command.count("-c") != 1 or command.count("-x") != 1 or not emitted.endswith(_EMITTED):
        return run_script(_settings(plan) + plan.passes["object"])
    flags = [word for word in command if word not in ("-c", "-x", "c++")]
    text = Path(emitted).read_bytes()
    ours = _where_ours_begin(text, job)
    if ours < _MUCH_TEXT:
        return run_script(_settings(plan) + plan.passes["object"])
    header = precompiled.Header(text=text[:ours], command=tuple(flags))
    included = precompiled.including(job, header)
    if included:
        Path(emitted).write_bytes(text[ours:])
    compiling = [*flags, *included, "-c", "-x", "c++", emitted, "-o", output]
    with ThreadPoolExecutor(max_workers=1) as pool:
        making = pool.submit(precompiled.make, job, header)
        done = run_script(_settings(plan) + shlex.join(compiling))
    making.result()  # a full disk is no matter there, a mistake of ours is
    return done


def _where_ours_begin(text: bytes, job: Job) -> int:
    """Where the first line of the light headers lies in what the front end wrote."""
    named = text.find(b' "%s/' % bytes(job.toolchain.include))
    begins = text.rfind(b"\n", 0, named) + 1 if named > 0 else 0
    return begins if text[begins : begins + 2] == b"# " else 0


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
    return _SCRIPT.format(
        settings=_settings(plan),
        module_id=module_id,
        id_file=shlex.quote(plan.id_file),
        host=" && ".join(plan.passes[name] for name in _HOST),
        device=" && ".join(plan.passes[name] for name in _DEVICE),
        logs=shlex.quote(str(own)),
    )


def _settings(plan: _Plan) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in plan.settings.items())


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
