"""A network's forward in bounded memory: how much one takes, and tiles where an image is too much."""
