"""Programs that measure Saccade beside its peers: ``python -m benchmarks [--quick] [NAME…]``."""
