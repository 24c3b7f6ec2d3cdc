"""`python -m crreid` is the command `crreid`."""

from crreid.cli import main

if __name__ == "__main__":
    main()
