"""`python -m ragcli`."""

from ragcli.cli.app import main

if __name__ == "__main__":
    main()
