"""An avatar's motion for rigs of others: ARKit's blendshapes, and VMC over OSC.

A client of a server, wherever that runs.
"""
