"""The version of the package, in a file of its own: ``setup.py`` reads it without an import."""

__version__ = '0.1.0'
