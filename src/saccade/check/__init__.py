"""Looking for trouble before training: in labelled pictures, and in a model.

A check only reads. What it finds are `Finding`s: where, why it hurts, and the cure.
"""
