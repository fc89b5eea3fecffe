"""``python -m blemish``: the command line, where its script is not on the path."""

from blemish.cli.app import main

if __name__ == "__main__":
    main()
