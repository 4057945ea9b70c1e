"""vivavoce avatars for LiveKit Agents.

`AvatarSession` belongs into the agent. It starts `worker` in a process of its own, which joins the
room as the avatar.
"""

from livekit.agents import Plugin
from livekit.plugins.vivavoce.avatar import AvatarError, AvatarSession
from livekit.plugins.vivavoce.generator import AvatarGenerator
from livekit.plugins.vivavoce.log import logger
from livekit.plugins.vivavoce.version import __version__

__all__ = ["AvatarError", "AvatarGenerator", "AvatarSession", "__version__"]


class VivavocePlugin(Plugin):
    """Tells LiveKit that we are here."""

    def __init__(self) -> None:
        super().__init__(__name__, __version__, __package__ or __name__, logger)


Plugin.register_plugin(VivavocePlugin())
