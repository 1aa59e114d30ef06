"""The Python side of thurstone: a worker process that owns the weights and answers the verbs of a policy.

Importing the package loads neither torch nor transformers, so a worker greets its parent within a second.
"""

__version__ = "0.1.0"
