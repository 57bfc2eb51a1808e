"""`python -m lsts_jax` is the console command `lsts`."""

from lsts_jax.commands import main

if __name__ == "__main__":
    main()
