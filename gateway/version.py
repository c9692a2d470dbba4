"""The version of this software, as the package metadata and the log name it."""

VERSION = "0.1.0"
SOFTWARE = f"meter-gateway {VERSION}"
