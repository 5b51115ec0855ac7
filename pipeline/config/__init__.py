"""The configuration of a run: `sections` are its typed, frozen objects, `toml` reads and checks their files."""
