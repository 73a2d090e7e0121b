"""`python -m velcodec` is the `velcodec` command."""

from velcodec.cli import main

if __name__ == "__main__":
    main(prog_name="velcodec")
