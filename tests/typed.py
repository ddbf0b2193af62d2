"""What somebody else's typed program writes. Never run: `make check` reads it strictly."""
