"""The file of settings: where it is, what may stand in it, what its variables stand for, and a first one."""
