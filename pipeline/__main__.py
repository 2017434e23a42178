"""Entry of ``python -m pipeline``.

For: machines where the script ``weathervane`` is not on the path. Not for: anything else.
"""

from pipeline.cli import main

if __name__ == "__main__":
    main(prog_name="weathervane")
