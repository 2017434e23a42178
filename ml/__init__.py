"""What can be learned from the past: features, regimes, learners, decisions.

For: pure functions and sockets of learning. Not for: orchestration, storage or networks.
"""
