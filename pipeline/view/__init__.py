"""The local viewer behind `crface view`: all images of a split, read from the stores when they are asked for."""
