"""The command `elenchus`, also as `python -m elenchus`: where the process begins."""

import sys


def run() -> None:
    """Run the command line. Ctrl-C ends it without a word, while it still imports too."""
    try:
        from elenchus.cli import main

        main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    run()
