"""``python -m refine_agent``: the same as the ``refine_agent`` script."""

from refine_agent.cli import main

if __name__ == "__main__":
    main()
