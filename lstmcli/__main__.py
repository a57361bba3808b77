"""`python -m lstmcli`: the program, where its script is not on the path."""

from lstmcli.cli.app import main

if __name__ == "__main__":
    main()
