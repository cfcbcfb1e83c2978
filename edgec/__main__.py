"""`python -m edgec`: the command line."""

from edgec.cli.app import main

if __name__ == "__main__":
    main()
