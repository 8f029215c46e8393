"""The facts, kept: a file on one server, ordered through etcd on several."""
