"""Work that is spread over machines: a map over tasks, and workers that keep a state.

Ray is imported in `worldsim.scale.cluster` alone, and only when a cluster is opened. Everything else sees a `Cluster`, in
whose methods nothing is Ray's.
"""
