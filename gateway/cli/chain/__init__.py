"""The ``chain`` command, one module for each action."""
