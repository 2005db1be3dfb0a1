"""Looking for trouble in labelled pictures, before training.

A check only reads. What it finds are `Finding`s: where, why it hurts, and the cure.
"""
