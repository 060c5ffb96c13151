"""The version, in its one place: pyproject.toml reads it from here, and so does `show_config`."""

__version__ = "0.1.0"
