"""Work that is spread over processes and machines: a map over tasks, and workers that keep a state.

Ray is imported in `worldsim.scale.cluster` alone, and only when a cluster is opened. Everything else sees `Spread` and
`Cluster`.
"""
