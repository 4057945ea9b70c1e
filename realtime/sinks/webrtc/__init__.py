"""A WebRTC peer: negotiation, RTP both ways, codecs, the event channel."""
