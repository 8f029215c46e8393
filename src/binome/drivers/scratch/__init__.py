"""Where copies are tried out: a sandbox, and engines that run in one."""
