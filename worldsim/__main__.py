"""`python -m worldsim` is the `worldsim` command."""

from worldsim.cli import main

if __name__ == "__main__":
    main()
