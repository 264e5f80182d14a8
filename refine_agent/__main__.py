"""``python -m refine_agent``: the same as the ``refine_agent`` script.

Where this Python lacks what it needs, as before an environment is activated, it says so instead.
"""

import sys

MACHINE = 3  # the command line's exit code for it, which cannot be imported here

try:
    from refine_agent.cli import main
except ModuleNotFoundError as missing:
    if (missing.name or "").startswith("refine_agent"):
        raise
    sys.stderr.write(
        f"refine_agent: {sys.executable} has no {missing.name}; activate the environment that "
        "`make setup` makes (. .venv/bin/activate), or install this folder with pip\n"
    )
    sys.exit(MACHINE)

if __name__ == "__main__":
    main()
