"""The facts, kept: in a file on one server, ordered through etcd on several."""
