"""Jinja2 as every part of the page uses it: all values escaped, an unknown name an error."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment(package: str, folder: str) -> Environment:
    """The templates of one folder of a package."""
    return Environment(
        loader=PackageLoader(package, folder),
        autoescape=True,  # names of images and folders are data
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
