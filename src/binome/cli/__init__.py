"""The commands; the only place that assembles the parts."""
