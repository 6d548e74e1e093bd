"""The file of settings: where it is, what may stand in it, what its variables stand for, and a first one."""

from storage_admin.settings.keys import Settings, Target
from storage_admin.settings.reading import SettingsFile, find, read

__all__ = ["Settings", "SettingsFile", "Target", "find", "read"]
