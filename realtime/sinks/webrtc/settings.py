"""How peers are connected and what is sent to them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Literal

import ifaddr
from aiortc import RTCIceServer

from realtime.sinks.webrtc.codecs import BitrateConfig
from realtime.sinks.webrtc.extensions import PlayoutDelay


@dataclass(frozen=True, kw_only=True)
class RtcConfig:
    """How peers are connected and what is sent to them."""

    video_codec: Literal["auto", "VP8", "H264"] = "auto"
    """Preferred; the other is taken if the peer has only that."""
    bitrate: BitrateConfig = field(default_factory=BitrateConfig)
    playout_delay: PlayoutDelay = field(default_factory=PlayoutDelay)
    """Asked of receivers that know the playout-delay header extension."""
    loopback: bool = False
    """Receive media on 127.0.0.1 too. aioice leaves it out, but a browser or test on the same
    machine may have nothing else in common with us."""
    host_addresses: tuple[str, ...] | None = None
    """Receive media on exactly these addresses; overrides `loopback`."""
    ice_servers: tuple[RTCIceServer, ...] = ()
    connect_timeout_s: float = 20.0
    """A peer that is not connected by then has failed."""

    def addresses(self) -> list[str] | None:
        """Addresses to bind, or None to leave the choice to aioice."""
        if self.host_addresses is not None:
            return list(self.host_addresses)
        return local_addresses() if self.loopback else None


def local_addresses() -> list[str]:
    """Every IPv4 address of this machine, loopback first."""
    found = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    usable = [a for a in found if isinstance(a, str) and not ipaddress.ip_address(a).is_link_local]
    return list(dict.fromkeys(["127.0.0.1", *usable]))
