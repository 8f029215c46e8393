"""A world of real engines on this machine: servers as network namespaces, sites as bridges, fires as they are."""
