"""A world in virtual time that the production code runs in, unchanged: seeds, faults, and checkers that look from outside.

    seed ─► schedule of faults ─► world: lookouts, links, disks, etcd, agents, people ─► history ─► checkers
                 ▲                                                                                     │
                 └───────────────── shrinking, when an invariant did not hold ◄────────────────────────┘

Everything that happens follows from the seed and the schedule. `docs/simulation.md` says what is simulated and how to
replay a night.
"""
