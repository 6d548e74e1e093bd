"""The version of the package, alone, so that importing it costs nothing."""

__version__ = "0.1.0"
