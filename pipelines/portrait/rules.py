"""How motion moves lids, lips, tongue and head: the numbers that both renderers go by.

Imports neither OpenCV nor what enrols faces: a GPU draws with this, `batched*` and `tables` alone.
"""

from __future__ import annotations

from pipelines.motion.space import BLENDSHAPES, MOTION_INDEX
from pipelines.portrait.teeth import MILLIMETRE

FIELDS: tuple[str, ...] = (*BLENDSHAPES, "lipsStick", "middleParted", "sidesParted", "rest")
"""What the fields of a face are of: blendshapes, what follows from how far the lips part, and what
closes the mouth of the photo."""
NODES = 65  # lattice of the canvas: NODES x NODES points, edge to edge
MARGIN = 0.15  # of the canvas's side: as far as a head cut by the photo's edge may move away
# Newton steps that following back takes: of the whole picture, of the mouth, of the eyes.
ITERATIONS, MOUTH_ITERATIONS, EYE_ITERATIONS = 4, 5, 2

# Partings in units of jawOpen: up to the first, lips part in their middle only; from the second on
# up to the corners.
HELD, WHOLE = 0.06, 0.32
LINE = (0.02, 0.14)  # partings by which the dark line between closed lips starts and has gone

JAW_DROP = 0.168  # lower lip at jawOpen 1, face units
# Where the pictures behind the lips lie with the jaw shut, mm below the line at which lips meet,
# and how far they go with a jaw fully open: lips are drawn off the lower teeth, so these follow
# less.
UPPER_EDGE, LOWER_EDGE, TONGUE_TOP = 2.2, 0.9, -1.5
LOWER_TRAVEL, TONGUE_TRAVEL = (share * JAW_DROP / MILLIMETRE for share in (0.75, 0.50))
TONGUE_TIP = 6.0  # mm that `tongueOut` 0.3 lifts the tip
FRONT, BACK = 3.5, 3.0  # mm that the tongue rises in spread vowels and sinks in round ones
JAW_SIDE = 8.0  # mm at jawLeft 1

BLINK = (MOTION_INDEX["eyeBlinkRight"], MOTION_INDEX["eyeBlinkLeft"])
WIDE = (MOTION_INDEX["eyeWideRight"], MOTION_INDEX["eyeWideLeft"])
SUNK = 0.3  # of the way down: so far the skin above comes with the lid, and below it has risen
FOLLOW = 1.0 / 50.0  # of the way down that a lid goes with each degree of a lowered gaze
MOST_FOLLOW = 0.3
RAISE = 1.0 / 30.0  # of `eyeWide` that an open lid rises with each degree of a raised gaze,
MOST_RAISE = 0.8  # half of the iris's way
EYE_RADIUS = 0.135  # of an eyeball, in interocular distances

HEAD = slice(MOTION_INDEX["headYaw"], MOTION_INDEX["headZ"] + 1)
CAMERA = 5.0  # distance of the camera in face units, for headZ
