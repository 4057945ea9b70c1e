"""`vivavoce camera` where pyvirtualcam has a back end that writes its pictures to a file.

camera_program.py OUT SERVER JSON     what is wanted: {"avatar": NAME} or {"session": ID}
"""

import asyncio
import json
import sys

import pyvirtualcam

from realtime.camera.run import Wanted, run


class FileCamera:
    """As pyvirtualcam wants its back ends: I420 pictures, one after another."""

    def __init__(self, *, width, height, fps, fourcc, device, **more):
        self._file = open(sys.argv[1], "wb", buffering=0)  # noqa: SIM115
        self._device = device or "a file"

    def device(self):
        return self._device

    def native_fourcc(self):
        return None

    def send(self, frame):
        self._file.write(frame.tobytes())

    def close(self):
        self._file.close()


pyvirtualcam.register_backend("file", FileCamera)
for name in [name for name in pyvirtualcam.camera.BACKENDS if name != "file"]:
    del pyvirtualcam.camera.BACKENDS[name]
whom = {"session": None, "avatar": None} | json.loads(sys.argv[3])
wanted = Wanted(server=sys.argv[2], frame="16:9", **whom)
asyncio.run(run(wanted, lambda words: print(words, flush=True)))  # noqa: T201
