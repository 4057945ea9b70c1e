"""LSE-C and LSE-D: how well lips fit the sound in the eyes of a network that is not ours.

The network is SyncNet (Chung and Zisserman 2016) with the weights published in syncnet_python,
`syncnet_v2.model` (MIT), as the papers of this field use it. It measures and is used for nothing
else; without its file nothing here runs. Sound and distances are as published; where the crops
differ is said in `faces`.
"""
