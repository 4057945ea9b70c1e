"""The avatar as virtual camera and microphone of this machine, for calls and streams.

A client of a server, wherever that runs: of ours it imports nothing but `vivavoce_client`.
"""
